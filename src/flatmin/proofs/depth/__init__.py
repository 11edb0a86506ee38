"""Certificates of models with depth: products of vectors, entry by entry, and linear networks."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

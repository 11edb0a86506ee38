"""Sums of powers: products of vectors, entry by entry, and of more than two matrices."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

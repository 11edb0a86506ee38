"""Noise of unknown size: the strength that follows from it, the rank that passes for it, and the refit."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

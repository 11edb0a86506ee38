"""Robust PCA: a matrix of low rank plus sparse gross errors."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

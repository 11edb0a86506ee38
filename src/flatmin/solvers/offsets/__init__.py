"""Offsets: a constant and one number for every row and column, added to a matrix of low rank."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

"""Offsets: a constant and one number for every row and column, added to a matrix of low rank."""

__all__: list[str] = []
__dir__ = __all__.copy

"""A constant and one number for every row and column, beside a matrix of low rank."""

__all__: list[str] = []
__dir__ = __all__.copy

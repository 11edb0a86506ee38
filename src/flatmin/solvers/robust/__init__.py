"""Robust PCA: a matrix of low rank plus sparse gross errors."""

__all__: list[str] = []
__dir__ = __all__.copy

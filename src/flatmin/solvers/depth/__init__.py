"""Solvers for deep models: entrywise products of vectors, and products of more than two matrices."""

__all__: list[str] = []
__dir__ = __all__.copy

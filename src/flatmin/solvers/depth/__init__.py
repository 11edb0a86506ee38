"""Sums of powers: products of vectors, entry by entry, and of more than two matrices."""

__all__: list[str] = []
__dir__ = __all__.copy

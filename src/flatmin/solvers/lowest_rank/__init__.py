"""Matrices of the lowest rank that fits, by reweighting; they are not flat."""

__all__: list[str] = []
__dir__ = __all__.copy

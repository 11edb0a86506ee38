"""Rounding: bounds on the errors of the matrices and norms that a certificate computes."""

__all__: list[str] = []
__dir__ = __all__.copy

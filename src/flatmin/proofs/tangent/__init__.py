"""Tangent spaces of a solution: the measured map on them, and what a nearly optimal dual vector proves there."""

__all__: list[str] = []
__dir__ = __all__.copy

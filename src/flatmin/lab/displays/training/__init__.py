"""Displays of training: courses in the plane of flatness and error, and the loss along directions of curvature."""

__all__: list[str] = []
__dir__ = __all__.copy

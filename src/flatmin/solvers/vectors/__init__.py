"""Positive semidefinite matrices measured by vectors: every fit is flat, and uniqueness is what takes work."""

__all__: list[str] = []
__dir__ = __all__.copy

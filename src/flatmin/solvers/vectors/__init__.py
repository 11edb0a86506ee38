"""Positive semidefinite matrices measured by vectors: every fit is flat, and uniqueness has to be proved."""

__all__: list[str] = []
__dir__ = __all__.copy

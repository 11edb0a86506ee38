"""Noise of unknown level: alpha and rank that follow from it, and refits without penalty."""

__all__: list[str] = []
__dir__ = __all__.copy

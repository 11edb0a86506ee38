"""Noise of unknown level: its estimate, the alpha and the rank that follow from it, and refits without penalty."""

__all__: list[str] = []
__dir__ = __all__.copy

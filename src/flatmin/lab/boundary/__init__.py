"""The boundary between failure and success: phase maps, its posterior distribution, estimates, adaptive sweeps."""

__all__: list[str] = []
__dir__ = __all__.copy

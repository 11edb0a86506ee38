"""The boundary between failure and success: its posterior, phase maps, estimates with intervals, adaptive sweeps."""

__all__: list[str] = []
__dir__ = __all__.copy

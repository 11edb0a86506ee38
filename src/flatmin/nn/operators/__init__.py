"""The curvature of a network as a symmetric operator: its products, exact traces, and roots of losses."""

__all__: list[str] = []
__dir__ = __all__.copy

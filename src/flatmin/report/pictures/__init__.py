"""Pictures of a report: matrices, curves, and how they are drawn in light and dark."""

__all__: list[str] = []
__dir__ = __all__.copy

"""The convex programme of flat minima: rounds of an augmented Lagrangian, scaling, and steps onto the data."""

__all__: list[str] = []
__dir__ = __all__.copy

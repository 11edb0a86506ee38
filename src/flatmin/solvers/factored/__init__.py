"""Convex problems over factors: a quadratic map for each cone, Newton steps, and how a solve ends."""

__all__: list[str] = []
__dir__ = __all__.copy

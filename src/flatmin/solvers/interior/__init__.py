"""An interior point method for the convex programme of a cone, for small instances near the recovery threshold."""

__all__: list[str] = []
__dir__ = __all__.copy

"""Comparison of training methods at equal tuning budget, for the recipes about networks."""

__all__: list[str] = []
__dir__ = __all__.copy

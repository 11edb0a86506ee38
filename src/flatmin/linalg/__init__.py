"""Numerical linear algebra below the models: metrics, subspaces, bounds from random starts, compiled loops."""

__all__: list[str] = []
__dir__ = __all__.copy

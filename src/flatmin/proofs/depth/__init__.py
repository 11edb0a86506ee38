"""Certificates of models with depth: products of vectors, entry by entry, and linear networks."""

__all__: list[str] = []
__dir__ = __all__.copy

"""Certificates of models with depth: entrywise products of vectors, and linear networks."""

__all__: list[str] = []
__dir__ = __all__.copy

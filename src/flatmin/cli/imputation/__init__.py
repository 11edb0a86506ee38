"""A completed table, and the model that fills it."""

__all__: list[str] = []
__dir__ = __all__.copy

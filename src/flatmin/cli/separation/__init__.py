"""Data that are separated into a low-rank part and gross errors, and the model that separates them."""

__all__: list[str] = []
__dir__ = __all__.copy

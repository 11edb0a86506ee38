"""Predicted values of pairs and recommendations, and the model that makes them."""

__all__: list[str] = []
__dir__ = __all__.copy

"""Maps of a user's function over a grid, without a recipe."""

__all__: list[str] = []
__dir__ = __all__.copy

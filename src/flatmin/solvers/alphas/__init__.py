"""Many values of alpha: paths of solutions, and the alpha that predicts best."""

__all__: list[str] = []
__dir__ = __all__.copy

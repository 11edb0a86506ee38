"""Training methods compared at equal tuning budget, as recipes about networks need them."""

__all__: list[str] = []
__dir__ = __all__.copy

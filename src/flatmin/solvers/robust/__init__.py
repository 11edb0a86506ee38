"""Low rank beside gross errors."""

__all__: list[str] = []
__dir__ = __all__.copy

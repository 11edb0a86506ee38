"""One file for each group of commands."""

__all__: list[str] = []
__dir__ = __all__.copy

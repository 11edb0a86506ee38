"""The kept runs and the progress of a race."""

__all__: list[str] = []
__dir__ = __all__.copy

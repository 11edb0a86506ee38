"""Running experiments: the cell and its grid, the store of trials, executors, and the sweep that joins them."""

__all__: list[str] = []
__dir__ = __all__.copy

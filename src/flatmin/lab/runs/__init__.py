"""Running experiments: the experiment, the store of trials, the executors, and the sweep that uses all three."""

__all__: list[str] = []
__dir__ = __all__.copy

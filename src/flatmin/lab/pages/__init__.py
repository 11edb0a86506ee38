"""The HTML page about experiments: claims with verdicts, figures, and the settings of each experiment."""

__all__: list[str] = []
__dir__ = __all__.copy

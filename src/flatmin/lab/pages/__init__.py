"""The HTML page of experiments: claims with verdicts, figures, and the settings of each experiment."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

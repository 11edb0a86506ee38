"""One file for each group of commands."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

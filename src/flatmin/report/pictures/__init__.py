"""Pictures of a report: matrices, curves, and how they are drawn in light and dark."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

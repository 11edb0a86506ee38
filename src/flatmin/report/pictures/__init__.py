"""Pictures of a report: heat maps, curves and images, for light and dark pages."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

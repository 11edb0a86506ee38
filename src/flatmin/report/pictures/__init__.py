"""Pictures of a report: heat maps, curves and images, for light and dark pages."""

__all__: list[str] = []
__dir__ = __all__.copy

"""What is proved about a solution: flatness, certificates, uniqueness, the radius, and bounds on norms."""

__all__: list[str] = []
__dir__ = __all__.copy

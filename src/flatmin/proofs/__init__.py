"""What is proved about a solution: flatness, certificates, uniqueness, the radius, and bounds on norms."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

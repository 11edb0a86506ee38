"""The convex programme of flat minima: rounds of an augmented Lagrangian, scaling, and steps onto the data."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

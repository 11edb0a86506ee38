"""Curvature of a model as a symmetric operator, and what its products need."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

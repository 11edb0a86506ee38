"""Numerical linear algebra below the models: metrics, subspaces, bounds from random starts, compiled loops."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

"""Traces, eigenvalues and spectral densities of a curvature."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

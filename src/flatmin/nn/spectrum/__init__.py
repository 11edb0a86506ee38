"""Traces, extreme eigenvalues and spectral densities of symmetric operators, such as the curvature of a network."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

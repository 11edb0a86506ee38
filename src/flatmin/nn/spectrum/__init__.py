"""Traces, extreme eigenvalues and spectral densities of symmetric operators, such as the curvature of a network."""

__all__: list[str] = []
__dir__ = __all__.copy

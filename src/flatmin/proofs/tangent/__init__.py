"""Proofs on the tangent space of a solution: injectivity of the measurement map, and the lemma of the inexact dual."""

__all__: list[str] = []
__dir__ = __all__.copy

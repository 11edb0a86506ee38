"""Proofs about a solution: flatness, certificates, uniqueness, error radii, and bounds on norms."""

__all__: list[str] = []
__dir__ = __all__.copy

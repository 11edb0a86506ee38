"""Exact proofs: theorems about a solution that a short program checks in integers (docs/theory/exact.md)."""

from flatmin.proofs.exact.assembly import prove, prove_point
from flatmin.proofs.exact.theorems import ExactStatement, Proof, files_of

__all__ = ["ExactStatement", "Proof", "files_of", "prove", "prove_point"]
__dir__ = __all__.copy

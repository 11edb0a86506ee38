"""Bounds on singular values and eigenvalues from a whole decomposition, whose errors are measured, not assumed."""

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import defect_of_columns, gamma, norm_of_blocks, rounded_up, spread

__all__ = ["ProvedBlocks", "leading_count"]

#: Singular values above this share of the largest one count as leading, because the bound for the others is less
#: accurate.
TOGETHER = 1 - 1e-6
#: If the Gram matrix of the leading columns is at least this far from the identity, the Frobenius norm of S is used for
#: all bounds.
CROOKED = 1e-3


def leading_count(values: Array, given: int, unit: float) -> int:
    """Return the number of leading values: at least ``given``, all above ``unit``, and all close to the largest."""
    top = float(values[0]) if len(values) else 0.0
    return min(len(values), max(given, int(np.count_nonzero(values > min(unit * max(1.0, top), TOGETHER * top)))))


@dataclass(frozen=True)
class ProvedBlocks:
    """Bounds on a matrix S and on its blocks for p leading computed singular vectors and their complements.

    ``norm`` bounds ``‖S‖_op`` (or the largest eigenvalue, if positive), and ``rest`` does so for S between the
    orthogonal complements of the leading vectors. ``slack`` bounds the norms of ``S V − U s`` and ``U*S − s V*`` for
    the leading triplets.
    """

    norm: float
    rest: float
    slack: float

    @classmethod
    def from_triplets(
        cls, S: Array, U: Array, s: Array, V: Array, p: int, by_eigenvalue: bool = False
    ) -> "ProvedBlocks":
        """Return the bounds from all computed singular triplets.

        With ``by_eigenvalue``, V is U, and s holds all eigenvalues in descending order.

        The proof is in docs/theory/bounds.md. The bounds hold for any U, s and V; inaccurate triplets only make them
        larger.
        """
        is_complex = any(map(np.iscomplexobj, (S, U, V)))
        size = float(np.linalg.norm(S)) * (1 + gamma(S.size, is_complex))
        left, right = _Part.from_columns(U, p), _Part.from_columns(V, p)
        if max(left.lead, right.lead) >= CROOKED:
            return cls(size, size, size)
        U1, V1, top = U[:, :p], V[:, :p], float(np.max(np.abs(s[:p]), initial=0.0))
        across, down = S.conj().T @ U1 - V1 * s[:p], S @ V1 - U1 * s[:p]
        formed = 1.01 * float(np.sqrt(1.5 * p)) * (gamma(max(S.shape) + 2, is_complex) * size + gamma(4) * top)
        sides = [float(np.linalg.norm(block)) * (1 + gamma(block.size)) + formed for block in (across, down)]
        inner = top + 1.01 * (max(left.lead, right.lead) * top + max(sides)) if p else 0.0
        if by_eigenvalue and p:
            inner = max(0.0, float(s[0]) + inner - top)
        shrink = 1 - max(left.lead, right.lead)
        across_norm, down_norm = (side / float(np.sqrt(shrink)) for side in sides)
        rest = cls._rest(S, U, s, V, p, left, right, is_complex, by_eigenvalue)
        norm = norm_of_blocks(inner / shrink, across_norm, down_norm, rest)
        if by_eigenvalue:
            coupling = max(across_norm, down_norm)
            norm = norm_of_blocks(inner / shrink, coupling, coupling, rest, lopsided=True)
        return cls(rounded_up(norm, 16), rounded_up(rest, 16), rounded_up(max(sides), 16))

    @staticmethod
    def _rest(
        S: Array, U: Array, s: Array, V: Array, p: int, left: "_Part", right: "_Part", is_complex: bool, signed: bool
    ) -> float:
        """Return a bound on ``(I − P) S (I − P')``: the largest other value plus S's distance from all triplets."""
        others = s[p:] if signed else np.abs(s[p:])
        following = max(0.0, float(np.max(others, initial=0.0)))
        following *= float(np.sqrt((1 + left.others) * (1 + right.others)))
        apart = float(np.linalg.norm(S - (U * s) @ V.conj().T)) * (1 + gamma(S.size, is_complex))
        lengths = 1.01 * float(np.sqrt((1 + left.largest) * (1 + right.largest)))
        return following + apart + gamma(len(s) + 4, is_complex) * lengths * spread(s)


@dataclass(frozen=True)
class _Part:
    """Bounds on ``‖U*U − I‖`` for the leading columns of a matrix (``lead``) and for its other columns (``others``)."""

    lead: float
    others: float

    @classmethod
    def from_columns(cls, U: Array, p: int) -> "_Part":
        return cls(defect_of_columns(U[:, :p]), defect_of_columns(U[:, p:]))

    @property
    def largest(self) -> float:
        return max(self.lead, self.others)

"""Polish: a solution with the smallest residual that floating-point factors can have, in bases that suit the proofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.metric import Metric
from flatmin.measurements import Dense, Entries, Measurement, RankOne
from flatmin.parametrizations.base import Factors, Metrics
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.tangent import TangentMap
from flatmin.proofs.whitening import whiten

__all__ = ["Point", "accurate_forward", "polished"]

#: Singular values below this share of the largest are rounding errors.
SMALLEST = 1e-12
#: Steps of Gauss-Newton's method before and after the bases are made orthonormal.
STEPS = (2, 3)
#: Number of blocks in which dense sensing matrices are converted to extended precision.
BLOCKS = 64


@dataclass(frozen=True, eq=False)
class Point:
    """The matrix ``L C R*`` with bases L and R that are orthonormal in the metric up to rounding.

    For positive semidefinite models it is ``L L*``, the core is the identity, and the metric is not used.

    Attributes
    ----------
    L, C, R : ndarray, shapes (d1, r), (r, r) and (d2, r)
        The factors and the core. For Hermitian models ``R = L`` and C is diagonal, with a sign for each column.
    metric : tuple of Metric
        The pair (D1, D2) to the power of the explicit.
    tangent : TangentMap
        The map around the point in whitened coordinates.
    """

    L: Array
    C: Array
    R: Array
    metric: Metrics
    tangent: TangentMap

    @property
    def rank(self) -> int:
        """The number of columns."""
        return len(self.C)

    @property
    def matrix(self) -> Array:
        """The matrix ``L C R*``, rounded."""
        return np.asarray(self.L @ self.C @ self.R.conj().T)


def polished(explicit: ExplicitProblem, factors: Factors) -> Point | None:
    """Return the point nearest to the factors that fits the data best, None for the zero matrix."""
    problem = explicit.problem
    whitened, metric = whiten(problem, explicit.metric_power)
    hermitian = problem.parametrization.cone.is_hermitian
    P, s, Q = problem.parametrization.singular(factors, metric)
    keep = s > SMALLEST * s[0] if len(s) and s[0] > 0 else np.zeros(len(s), bool)
    if not keep.any():
        return None
    P, s, Q = P[:, keep], s[keep], Q[:, keep]
    fits = explicit.objective != "penalised"
    for _ in range(STEPS[0] if fits else 0):
        tangent = TangentMap(whitened, P, P if hermitian else Q, hermitian)
        residual = problem.data - whitened.forward_factors(P * s, Q)
        F, E = tangent.parts(tangent.step(residual))
        if hermitian:
            signs = np.sign(np.einsum("ij,ij->j", P.conj(), Q).real)
            F = E / (signs * s)
            moved = problem.parametrization.cone.decompose((P + F) * (signs * s), P + F)
        else:
            moved = problem.parametrization.cone.decompose((P + F / s) * s, Q + E / s)
        if not (len(moved[1]) == len(s) and np.all(np.isfinite(moved[1]))):
            break
        P, s, Q = moved
    if explicit.cone == "semidefinite":
        U, whitened = metric[0].power(-1) @ (P * np.sqrt(s)), problem.measurement
        identity = Metric(np.ones(len(U)))
        metric, P, s, Q = (identity, identity), U, np.ones(len(s)), U
    return _settled(explicit, metric, whitened, P, s, Q, fits)


def _settled(
    explicit: ExplicitProblem,
    metric: Metrics,
    whitened: Measurement,
    P: Array,
    s: Array,
    Q: Array,
    fits: bool,
) -> Point:
    """Return the point in the bases P and Q, moved by last steps that are too small to spoil the bases."""
    hermitian = explicit.cone != "rectangular"
    tangent = TangentMap(whitened, P, P if hermitian else Q, hermitian)
    signs = np.sign(np.einsum("ij,ij->j", P.conj(), Q).real) if hermitian else np.ones(len(s))
    first, second = metric[0].power(-1), metric[1].power(-1)
    L, R, core = first @ P, first @ P if hermitian else second @ Q, signs * s
    best, smallest = (L, R), np.inf
    for _ in range(STEPS[1] if fits else 0):
        residual = explicit.problem.data - accurate_forward(explicit.problem.measurement, L, core, R)
        size = float(np.linalg.norm(residual.astype(float)))
        if size >= smallest:
            break
        best, smallest = (L, R), size
        F, E = tangent.parts(tangent.step(residual.astype(float)))
        if hermitian:
            L = R = L + first @ (E / core)
        else:
            L, R = L + first @ (F / core), R + second @ (E / core)
    return Point(best[0], np.diag(core), best[1], metric, tangent)


def accurate_forward(measurement: Measurement, L: Array, core: Array, R: Array) -> Array:
    """Return ``A(L diag(core) R*)`` in extended precision, where the machine has it."""
    wide = np.clongdouble if np.iscomplexobj(L) else np.longdouble
    left, right = L.astype(wide) * core, R.astype(wide)
    if isinstance(measurement, Entries):
        values = np.einsum("ij,ij->i", left[measurement.rows], right[measurement.cols])
        return np.asarray(values if measurement.weights is None else measurement.weights * values)
    if isinstance(measurement, RankOne):
        x = measurement.left.conj() @ left
        y = right.conj().T @ measurement.right.T
        return np.asarray(np.einsum("mj,jm->m", x, y).real)
    assert isinstance(measurement, Dense)
    X = (left @ right.conj().T).ravel()
    blocks = np.array_split(measurement.tensor, min(BLOCKS, measurement.size))
    return np.concatenate([(A.reshape(len(A), -1) @ X.conj()).real for A in blocks])

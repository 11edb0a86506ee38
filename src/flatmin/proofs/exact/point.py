"""Polish: a solution with the smallest residual that floating-point factors can have, in bases that suit the proofs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.base import Triplets
from flatmin.linalg.metric import Metric
from flatmin.measurements import Dense, Entries, Measurement, RankOne
from flatmin.parametrizations.base import Factors, Metrics
from flatmin.proofs.certificate import ratio
from flatmin.proofs.exact.duals import without_traces
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.tangent_equations import TangentEquations
from flatmin.proofs.whitening import whiten

__all__ = ["PolishedPoint", "accurate_forward", "polished"]

#: Pairs (share, steps) that are tried in turn: singular values below this share of the largest are dropped as rounding
#: errors, and so many Gauss-Newton steps follow.
DROPPED = ((1e-6, 2), (1e-9, 2), (1e-12, 2))
#: The pair (share, steps) without any step, for problems in which steps would change the value of the solution.
UNTOUCHED = ((1e-12, 0),)
#: Relative residuals below GOOD count as equal, and so do norms with a relative difference below SAME.
GOOD, SAME = 1e-12, 1e-11
#: Entries of factors below this share of the largest are set to zero.
VANISHING = 1e-50
#: Largest number of last steps, which are so small that the bases stay orthonormal up to rounding.
LAST = 3
#: Number of blocks in which dense sensing matrices are converted to extended precision.
BLOCKS = 64


@dataclass(frozen=True, eq=False)
class PolishedPoint:
    """The matrix ``L C R*`` with bases L and R that are orthonormal in the metric up to rounding.

    For positive semidefinite models it is ``L L*``, the core is the identity, and the metric is not used.

    Attributes
    ----------
    L, C, R : ndarray, shapes (d1, r), (r, r) and (d2, r)
        The factors and the core. For Hermitian models ``R = L`` and C is diagonal, with a sign for each column.
    metric : tuple of Metric
        The pair (D1, D2), to the power ``metric_power`` of the explicit problem.
    tangent : TangentEquations
        The tangent equations at the point; in whitened coordinates, unless the model is positive semidefinite.
    misfit, norm : float
        The relative residual, and the nuclear norm of the core.
    """

    L: Array
    C: Array
    R: Array
    metric: Metrics
    tangent: TangentEquations
    misfit: float
    norm: float

    @property
    def rank(self) -> int:
        """The number of columns."""
        return len(self.C)

    @property
    def matrix(self) -> Array:
        """The matrix ``L C R*``, rounded."""
        return np.asarray(self.L @ self.C @ self.R.conj().T)


def polished(explicit: ExplicitProblem, factors: Factors, *, moves: bool = True) -> PolishedPoint | None:
    """Return the point near the factors that fits the data best, None for the zero matrix.

    Among points of several ranks that fit equally well and are equally flat it is the one of lowest rank. If ``moves``
    is False or the problem is penalised, only the bases change.
    """
    whitened, metric = whiten(explicit.problem, explicit.metric_power)
    P, s, Q = explicit.problem.parametrization.singular(factors, metric)
    if not len(s) or s[0] == 0:
        return None
    points: dict[tuple[int, int], PolishedPoint] = {}
    for share, steps in (*DROPPED, *UNTOUCHED) if moves and explicit.objective != "penalised" else UNTOUCHED:
        rank = int(np.count_nonzero(s > share * s[0]))
        if (rank, steps) not in points:
            start = P[:, :rank], s[:rank], Q[:, :rank]
            points[rank, steps] = _polished(explicit, whitened, metric, start, steps)
    misfit = max(GOOD, min(point.misfit for point in points.values()))
    fitting = [point for point in points.values() if point.misfit <= misfit]
    flattest = min(point.norm for point in fitting)
    return next(point for point in fitting if point.norm <= flattest * (1 + SAME))


def _polished(
    explicit: ExplicitProblem, whitened: Measurement, metric: Metrics, start: Triplets, steps: int
) -> PolishedPoint:
    """Return the point that is reached from a start by Gauss-Newton steps, each with new bases, and last steps."""
    problem, (P, s, Q) = explicit.problem, start
    cone = problem.parametrization.cone
    for _ in range(steps):
        tangent = TangentEquations(whitened, P, P if cone.is_hermitian else Q, cone.is_hermitian)
        F, E = tangent.parts(tangent.step(problem.data - whitened.forward_factors(P * s, Q)))
        core = s * _signs(P, Q) if cone.is_hermitian else s
        left = P + F / core
        moved = cone.decompose(left * core, left if cone.is_hermitian else Q + E / core)
        if not (len(moved[1]) == len(s) and np.all(np.isfinite(moved[1]))):
            break
        P, s, Q = moved
    if not cone.is_semidefinite:
        core = s * _signs(P, Q) if cone.is_hermitian else s
        return _settled(explicit, whitened, metric, (P, core, Q), LAST if steps else 0)
    U, identity = metric[0].power(-1) @ (P * np.sqrt(s)), Metric(np.ones(len(P)))
    found = _settled(explicit, problem.measurement, (identity, identity), (U, np.ones(len(s)), U), LAST if steps else 0)
    return replace(found, norm=float(s.sum()))


def _signs(P: Array, Q: Array) -> Array:
    """Return the signs of the eigenvalues of a Hermitian matrix ``P diag(s) Q*``."""
    return np.asarray(np.sign(np.einsum("ij,ij->j", P.conj(), Q).real))


def _settled(
    explicit: ExplicitProblem, whitened: Measurement, metric: Metrics, whitened_point: Triplets, steps: int
) -> PolishedPoint:
    """Return the point ``P diag(core) Q*``, moved by last steps that are too small to spoil the bases."""
    P, core, Q = whitened_point
    problem, hermitian = explicit.problem, explicit.cone != "rectangular"
    tangent = TangentEquations(whitened, P, P if hermitian else Q, hermitian)
    first, second = metric[0].power(-1), metric[1].power(-1)
    L, R = first @ P, first @ P if hermitian else second @ Q
    best, smallest = (L, R), np.inf
    for left in reversed(range(steps + 1)):
        residual = (problem.data - accurate_forward(problem.measurement, L, core, R)).astype(float)
        size = float(np.linalg.norm(residual))
        if size >= smallest:
            break
        best, smallest = (L, R), size
        if left:
            F, E = tangent.parts(tangent.step(residual))
            L = L + first @ (F / core)
            R = L if hermitian else R + second @ (E / core)
    misfit, norm = ratio(smallest, float(np.linalg.norm(problem.data))), float(np.sum(np.abs(core)))
    L, R = (without_traces(F, VANISHING) for F in best)
    return PolishedPoint(L, np.diag(core), R, metric, tangent, misfit, norm)


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

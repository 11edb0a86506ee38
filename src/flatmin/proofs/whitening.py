"""Whitened coordinates ``Z = D1 X D2``, in which flatness is a plain norm."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones import Cone
from flatmin.linalg.forward_error import UNIT, gamma, rounded_up
from flatmin.linalg.metric import Metric
from flatmin.linalg.nuclear_bound import nuclear_bound
from flatmin.measurements import Measurement
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import OVERLOOKED, Fit
from flatmin.proofs.radius import gain_bound

__all__ = ["ALIKE", "WhitenedSolution", "measurement_sizes", "row_sizes", "whiten"]

#: The norms of whitened sensing matrices are estimated, not computed, if they differ by at most this factor.
ALIKE = 100.0
#: Singular values below this share of the largest count as rounding errors and are dropped.
SMALLEST = 1e-13


def whiten(problem: Problem, metric_power: float = 1.0) -> tuple[Measurement, tuple[Metric, Metric]]:
    """Return the map ``B(Z) = A(D1⁻¹ Z D2⁻¹)`` and the pair (D1, D2), both to the power ``metric_power``."""
    if metric_power == 1:
        return problem.whitened, problem.metric
    left, right = problem.metric
    D1 = left.tempered(metric_power)
    D2 = D1 if right is left else right.tempered(metric_power)
    return problem.measurement.congruence(D1.power(-1), D2.power(-1)), (D1, D2)


def measurement_sizes(problem: Problem, whitened: Measurement, metric: tuple[Metric, Metric]) -> Array:
    """Return the Frobenius norms of the whitened sensing matrices, or estimates if all norms are similar."""
    plain = problem.measurement.norms()
    largest = plain.max(initial=0.0)
    smallest = plain.min(where=plain > 0, initial=np.inf)
    if largest > 0 and largest / smallest * metric[0].condition * metric[1].condition <= ALIKE:
        typical = [np.sqrt(D.values.max()) * np.sqrt(D.values[D.values > 0].min()) for D in metric]
        if plain.strides == (0,):  # all the same number
            return np.broadcast_to(plain[0] / typical[0] / typical[1], plain.shape)
        return np.asarray(plain / typical[0] / typical[1])
    return whitened.norms()


def row_sizes(problem: Problem) -> tuple[Array, Array]:
    """Return bounds on the norm of each row (d1,) and of each column (d2,) in all sensing matrices together."""
    m, (d1, d2), sizes = problem.measurement.size, problem.shape, []
    shared = (m, m) if problem.parametrization.cone.is_hermitian else (m * d2, m * d1)
    for D, times in zip(problem.metric, shared, strict=True):
        if D.square is None:
            sizes.append(np.sqrt(times) * D.values)
            continue
        diagonal = D.square if D.square.ndim == 1 else np.diagonal(D.square).real
        sizes.append(np.sqrt(times * np.maximum(diagonal, 0)) * (1 + D.rounding + 4 * UNIT))
    return sizes[0], sizes[1]


@dataclass(frozen=True, eq=False)
class WhitenedSolution:
    """A solution ``Z = D1^p X D2^p``, decomposed into ``U, s, V``, for the map ``B(Z) = A(D1^-p Z D2^-p)``.

    The metric holds D1^p and D2^p, and p is ``metric_power``. The residual (m,) is ``A(X) − b``; for ``sizes`` see
    `measurement_sizes`. The factors make ``X = P Q*`` with the ``pair`` (P, Q).
    """

    problem: Problem
    metric_power: float
    whitened: Measurement
    metric: tuple[Metric, Metric]
    Z: tuple[Array, Array, Array]
    residual: Array
    sizes: Array
    pair: tuple[Array, Array]

    @classmethod
    def from_factors(cls, problem: Problem, factors: Factors, metric_power: float = 1.0) -> WhitenedSolution:
        """Return the whitened solution with these factors."""
        whitened, metric = whiten(problem, metric_power)
        U, s, V = problem.parametrization.singular(factors, metric)
        keep = s > SMALLEST * s[0] if len(s) else np.zeros(0, bool)
        Z, sizes = (U[:, keep], s[keep], V[:, keep]), measurement_sizes(problem, whitened, metric)
        pair = problem.parametrization.pair(factors)
        return cls(problem, metric_power, whitened, metric, Z, problem.residual(factors), sizes, pair)

    @property
    def cone(self) -> Cone:
        """The cone of matrices that the model can represent."""
        return self.problem.parametrization.cone

    @property
    def blind(self) -> tuple[Array, Array]:
        """Orthonormal bases of the directions on either side in which the metric vanishes."""
        return self.metric[0].blind, self.metric[1].blind

    @cached_property
    def gain(self) -> float:
        """A bound on ``‖B(Z)‖ / ‖Z‖_*``, with the error of the metric."""
        m, plain = self.problem.measurement.size, self.problem.metric
        found = gain_bound(m, plain, self.metric, self.cone.is_hermitian)
        for D, other in zip(self.metric, plain, strict=True):
            weakest = float(np.min(D.values[D.values > 0], initial=np.inf))
            found *= (1 + D.defect + other.defect) * (D.whitening_norm * weakest if np.isfinite(weakest) else 1.0)
        return rounded_up(found, 16)

    @cached_property
    def unwhiten(self) -> float:
        """A bound on ``‖W1‖ ‖W2‖`` for the stored whitenings."""
        return rounded_up(self.metric[0].whitening_norm * self.metric[1].whitening_norm)

    @cached_property
    def norm(self) -> float:
        """An upper bound on the nuclear norm of Z, and of every Z' that is at least as flat in the exact metric."""
        low, high = self.stretch
        known = low > 0 and np.isfinite(self.norm_bound)
        return self.norm_bound * high / low if known else float(self.Z[1].sum())

    @property
    def is_hidden(self) -> bool:
        """Whether rounding hides the metric, so that nothing can be proved about flatness."""
        return self.is_blind or not (self.stretch[0] > 0 and np.isfinite(self.norm_bound))

    @property
    def is_complex(self) -> bool:
        """Whether the sensing matrices or the factors are complex."""
        return self.problem.measurement.is_complex or any(map(np.iscomplexobj, self.pair))

    @property
    def defects(self) -> tuple[float, float]:
        """`Metric.defect` of D1 and D2."""
        return self.metric[0].defect, self.metric[1].defect

    @cached_property
    def stretch(self) -> tuple[float, float]:
        """Bounds a ≤ 1 ≤ b with ``a ‖Z‖_* ≤ ‖D1 X D2‖_* ≤ b ‖Z‖_*`` for ``X = W1 Z W2*`` and the exact D1 and D2.

        W1 and W2 are the stored `Metric.whitening`. The lower bound is 0 if rounding hides the metric.
        """
        low, high = (np.prod([max(0.0, 1 + sign * defect) for defect in self.defects]) for sign in (-1.0, 1.0))
        return float(np.sqrt(low)) * (1 - 4 * UNIT), float(np.sqrt(high)) * (1 + 4 * UNIT)

    @cached_property
    def norm_bound(self) -> float:
        """An upper bound on ``‖W1⁻¹ X W2⁻¹‖_*``, rounding counted; infinite if rounding hides the inverses."""
        found = nuclear_bound(self.metric, self.pair, self.Z)
        lost = [1 - (D.inverse_defect if D.is_whole else 0.0) for D in self.metric]
        return rounded_up(found / lost[0] / lost[1]) if min(lost) > 0 else float("inf")

    @cached_property
    def residual_error(self) -> Array:
        """Bounds (m,) on the rounding errors of the residual."""
        problem, ranges = self.problem, [not D.is_whole for D in self.metric]
        error = problem.measurement.forward_error(*self.pair) + 2 * UNIT * np.abs(self.residual)
        if not any(ranges):
            return error
        inside = [
            D.whitening @ (D.coordinates @ F) if smaller else F
            for D, F, smaller in zip(self.metric, self.pair, ranges, strict=True)
        ]  # the certificate is about this part of X
        seen = problem.measurement.forward_factors(*inside) - problem.data
        return np.asarray(2 * error + np.abs(seen - self.residual))

    @cached_property
    def misfit(self) -> float:
        """A bound on ``‖A(X) − b‖``."""
        sizes = float(np.linalg.norm(self.residual)) + float(np.linalg.norm(self.residual_error))
        return sizes * (1 + gamma(len(self.residual) + 4))

    @property
    def size(self) -> float:
        """The Frobenius norm of X."""
        U, s, V = self.Z
        P, Q = self.metric[0].power(-1) @ (U * s), self.metric[1].power(-1) @ V
        return float(np.sqrt(abs(np.sum((P.conj().T @ P) * (Q.conj().T @ Q).conj()))))

    def fit(self, dual: Array) -> Fit:
        """Return how well the solution fits its data, given a dual vector."""
        norm, error = float(np.linalg.norm(self.Z[1])), self.residual_error
        return Fit.from_residual(self.problem.data, self.residual, self.sizes, norm, dual, error)

    def flattest(self, pair: tuple[Array, Array] | None) -> Factors | None:
        """Return the flattest factors of the matrix X whose Z is ``P Q*`` for the pair (P, Q); None without a pair."""
        model = self.problem.parametrization
        return None if pair is None else model.flattest(*self.cone.decompose(*pair), self.metric)

    @cached_property
    def is_blind(self) -> bool:
        """Whether measurements see a direction that the metric counts as unseen, only because of rounding.

        The sensing matrices are scaled to unit norm and stacked, and the columns of the stack are scaled to unit
        length. The rank of the stack is compared with the rank of the metric. The metric is formed from squares and
        therefore loses half of the digits.
        """
        measurement = self.problem.measurement
        for side, D in enumerate(self.problem.metric):
            if D.is_diagonal or D.rank == len(D.values):
                continue
            norms, triangle = measurement.norms(), np.asarray(np.zeros((0, len(D.values))))
            weights = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
            for blocks in measurement.stacked(weights):
                triangle = np.asarray(np.linalg.qr(np.vstack([triangle, blocks[side]]), mode="r"))
            lengths = np.linalg.norm(triangle, axis=0)
            values = np.linalg.svd(triangle / np.where(lengths > 0, lengths, 1), compute_uv=False)
            if np.count_nonzero(values > OVERLOOKED * np.max(values, initial=0.0)) > D.rank:
                return True
        return False

"""Whitened coordinates ``Z = D1 X D2``, in which flatness is a plain norm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones import Cone
from flatmin.linalg.metric import Metric
from flatmin.measurements import Measurement
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Fit
from flatmin.proofs.radius import gain_bound

__all__ = ["ALIKE", "WhitenedSolution", "measurement_sizes", "whiten"]

#: Directions count as unseen only if no measurement sees more than this share of its size in them.
OVERLOOKED = 1e-9
#: Sensing matrices whose sizes differ by less than this factor need not be told apart.
ALIKE = 100.0
#: Singular values below this share of the largest are rounding errors.
SMALLEST = 1e-13


def whiten(problem: Problem, metric_power: float = 1.0) -> tuple[Measurement, tuple[Metric, Metric]]:
    """Return the map ``B(Z) = A(D1⁻¹ Z D2⁻¹)`` and the pair (D1, D2), both to the power p."""
    if metric_power == 1:
        return problem.whitened, problem.metric
    left, right = problem.metric
    D1 = left.tempered(metric_power)
    D2 = D1 if right is left else right.tempered(metric_power)
    return problem.measurement.congruence(D1.power(-1), D2.power(-1)), (D1, D2)


def measurement_sizes(problem: Problem, whitened: Measurement, metric: tuple[Metric, Metric]) -> Array:
    """Return the Frobenius norms of the whitened sensing matrices, approximately if they are of similar size."""
    plain = problem.measurement.norms()
    largest = plain.max(initial=0.0)
    smallest = plain.min(where=plain > 0, initial=np.inf)
    if largest > 0 and largest / smallest * metric[0].condition * metric[1].condition <= ALIKE:
        typical = [np.sqrt(D.values.max()) * np.sqrt(D.values[D.values > 0].min()) for D in metric]
        if plain.strides == (0,):  # all the same number
            return np.broadcast_to(plain[0] / typical[0] / typical[1], plain.shape)
        return np.asarray(plain / typical[0] / typical[1])
    return whitened.norms()


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
        """Return the whitened solution that factors make."""
        whitened, metric = whiten(problem, metric_power)
        U, s, V = problem.parametrization.singular(factors, metric)
        keep = s > SMALLEST * s[0] if len(s) else np.zeros(0, bool)
        Z, sizes = (U[:, keep], s[keep], V[:, keep]), measurement_sizes(problem, whitened, metric)
        pair = problem.parametrization.pair(factors)
        return cls(problem, metric_power, whitened, metric, Z, problem.residual(factors), sizes, pair)

    @property
    def cone(self) -> Cone:
        """The matrices that the model can make."""
        return self.problem.parametrization.cone

    @property
    def blind(self) -> tuple[Array, Array]:
        """Orthonormal bases of the directions on either side in which the metric vanishes."""
        return self.metric[0].blind, self.metric[1].blind

    @property
    def gain(self) -> float:
        """A bound on ``‖B(Z)‖ / ‖Z‖_*``."""
        m, plain = self.problem.measurement.size, self.problem.metric
        return gain_bound(m, plain, self.metric, self.cone.is_hermitian)

    @property
    def unwhiten(self) -> float:
        """``‖D1^-p‖ ‖D2^-p‖``."""
        return float(np.prod([np.max(D.power(-1).values, initial=0.0) for D in self.metric]))

    @property
    def norm(self) -> float:
        """``‖Z‖_*``."""
        return float(self.Z[1].sum())

    @property
    def size(self) -> float:
        """The Frobenius norm of X."""
        U, s, V = self.Z
        P, Q = self.metric[0].power(-1) @ (U * s), self.metric[1].power(-1) @ V
        return float(np.sqrt(abs(np.sum((P.conj().T @ P) * (Q.conj().T @ Q).conj()))))

    def fit(self, dual: Array) -> Fit:
        """Return how well the solution fits its data, given a dual vector."""
        return Fit.from_residual(self.problem.data, self.residual, self.sizes, float(np.linalg.norm(self.Z[1])), dual)

    def flattest(self, pair: tuple[Array, Array] | None) -> Factors | None:
        """Return the flattest factors of the matrix with ``Z = P Q*``; None for None."""
        model = self.problem.parametrization
        return None if pair is None else model.flattest(*self.cone.decompose(*pair), self.metric)

    @property
    def is_blind(self) -> bool:
        """Whether rounding hides that some measurement sees, in units of its size, what the metric counts as unseen."""
        measurement, metric = self.problem.measurement, self.metric
        if all(D.is_diagonal for D in metric):  # sums of squares, exactly zero where nothing is seen
            return False
        blind = self.blind
        sides = [measurement.products(blind[1])] if blind[1].shape[1] else []
        if blind[0].shape[1] and metric[0] is not metric[1]:
            nothing = np.zeros((measurement.shape[1], blind[0].shape[1]))
            J = measurement.jacobian(blind[0].conj(), nothing)  # ‖A_iᵀ conj(P)‖ = ‖A_i* P‖
            sides.append(None if J is None else J[..., measurement.shape[0] :])
        known = [np.linalg.norm(side, axis=(1, 2)) for side in sides if side is not None]
        if not known:
            return False
        sizes = measurement.norms()
        return bool(np.max(known) > 0 and np.max(np.max(known, axis=0) / np.where(sizes > 0, sizes, 1)) > OVERLOOKED)

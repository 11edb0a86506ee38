"""An interior point method for the semidefinite programme of a quadratic map.

    min ½ tr X  s.t.  ½ tr(K_i X) = b_i,  X ⪰ 0;        max ⟨b, y⟩  s.t.  D = ½ (I − K(y)) ⪰ 0.

A flat minimum Z is an element of the cone that belongs to a solution X.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh, lapack

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.solvers.interior.face import SplitBlock, symmetric
from flatmin.solvers.interior.schur_complement import FIRST_SHIFT
from flatmin.solvers.interior.step_equations import StepEquations

__all__ = ["InteriorPoint"]

#: X starts as the identity times this number times the norm of a matrix that fits nearly.
FIRST_SIZE = 2.0
#: Share of the distance to the boundary that a step takes.
SHARE = 0.95
#: Power in Mehrotra's rule: the centring weight is ``(mu after an affine step / mu)`` to this power.
CENTRING_POWER = 2
#: Largest number of corrections of a step. A correction is kept if it makes the product of both step lengths longer by
#: the factor ``WORTHWHILE``.
MOST_CORRECTIONS = 3
#: Factor of the product of the step lengths from which another correction pays.
WORTHWHILE = 1.05
#: Error of the equations of a step, relative to the gap.
ACCURACY = 1e-4


@dataclass(frozen=True, eq=False)
class _Direction:
    """A step of y, D and X, and the longest lengths, at most one, that keep X and D positive definite."""

    y: Array
    D: Array
    X: Array
    lengths: tuple[float, float]

    @property
    def progress(self) -> float:
        """The product of both lengths."""
        return self.lengths[0] * self.lengths[1]


class InteriorPoint:
    """The iterate of the primal-dual method with the HKM direction and Mehrotra's predictor and correctors.

    X and D hold the diagonal blocks of positive definite matrices. y is always strictly feasible, so that ``⟨b, y⟩`` is
    a lower bound on the norm of every matrix that fits.

    References
    ----------
    Todd, Toh and Tütüncü, "On the Nesterov-Todd direction in semidefinite programming", SIAM J. Optim. 8, 1998.
    """

    def __init__(self, model: QuadraticMap, b: Array) -> None:
        self.model, self.b = model, b
        K = model.dual_blocks(b)
        value = model.lifted_value(K)
        size = float(value @ b) / float(value @ value) * float(np.abs(np.linalg.eigvalsh(K)).max())
        self.identity = np.broadcast_to(np.eye(K.shape[1]), K.shape)
        self.X, self.D = FIRST_SIZE * size * self.identity, self.identity / 2
        self._spectrum: tuple[Array, Array] = np.full(K.shape[:2], 0.5), self.identity
        self.y = np.zeros_like(b)
        self.shift, self.lengths = FIRST_SHIFT, (1.0, 1.0)
        self.order = K.shape[0] * K.shape[1]

    @property
    def value(self) -> float:
        """The objective ``½ tr X``, an upper bound on the norm once X fits the data."""
        return float(np.einsum("pii->", self.X)) / 2

    @property
    def gap(self) -> float:
        """The gap ``⟨X, D⟩`` relative to ``½ tr X``. It is the relative duality gap once X fits the data."""
        return float(np.vdot(self.X, self.D)) / self.value

    @property
    def slack(self) -> Array:
        """The eigenvalues of D, shape (number, size), ascending."""
        return self._spectrum[0]

    @property
    def misfit(self) -> float:
        """The relative distance of the measurements of X from the data."""
        return float(np.linalg.norm(self.model.lifted_value(self.X) - self.b) / np.linalg.norm(self.b))

    @property
    def point(self) -> tuple[Array, Array, Array]:
        """The element ``U, s, V`` of the cone that belongs to X."""
        return self.model.lifted_canonical(self.X)

    def step(self) -> bool:
        """Take a step, and return whether one was possible; otherwise nothing changes."""
        values, Q = self._spectrum
        try:
            factors = np.linalg.cholesky(self.X)
        except np.linalg.LinAlgError:
            return False
        roots = np.stack([lapack.dtrtri(L, lower=1)[0] for L in factors]), _transposed(Q / np.sqrt(values)[:, None, :])
        blocks = [SplitBlock.from_eigenvectors(*parts) for parts in zip(self.X, values, Q, strict=True)]
        equations = StepEquations.from_blocks(self.model, blocks, self.shift)
        if equations is None:
            return False
        self.shift, inverse = equations.system.shift, equations.inverse
        mu = float(np.vdot(self.X, self.D)) / self.order
        best = self._direction(equations, roots, np.zeros_like(self.X))
        after = np.vdot(self.X + best.lengths[0] * best.X, self.D + best.lengths[1] * best.D) / self.order
        centre, last = min(1.0, float(after) / mu) ** CENTRING_POWER * mu * inverse, best
        for number in range(MOST_CORRECTIONS):
            last = self._direction(equations, roots, centre - symmetric(last.X @ last.D @ inverse))
            if number and last.progress < WORTHWHILE * best.progress:
                break
            best = last
            if WORTHWHILE * best.progress > SHARE**2:
                break  # both lengths are nearly the largest ones, unless they reach one
        X, y = self.X + best.lengths[0] * best.X, self.y + best.lengths[1] * best.y
        D = (self.identity - self.model.dual_blocks(y)) / 2
        if not (np.isfinite(X).all() and np.isfinite(D).all()):
            return False
        values, Q = self.model.dual_spectrum(y)
        spectrum = (1 - values) / 2, Q
        if not spectrum[0].min() > 0:
            return False  # y is so large that rounding makes it infeasible: the data contradict each other
        self.lengths, self.X, self.y, self.D, self._spectrum = best.lengths, X, y, D, spectrum
        return True

    def _direction(self, equations: StepEquations, roots: tuple[Array, Array], target: Array) -> _Direction:
        """Return the step to a target, with its longest lengths; the roots are inverse roots of X and D."""
        dy, dX = equations.step(self.b, self.X, target, ACCURACY * self.gap)
        dD = -self.model.dual_blocks(dy) / 2
        lengths = (min(1.0, SHARE * _distance(root, d)) for root, d in zip(roots, (dX, dD), strict=True))
        return _Direction(dy, dD, dX, (next(lengths), next(lengths)))


def _distance(inverse_root: Array, d: Array) -> float:
    """Return the largest t for which ``X + t d`` is positive semidefinite, infinite if there is none."""
    low = min(map(_smallest_eigenvalue, inverse_root @ d @ _transposed(inverse_root)))
    return -1 / low if low < 0 else np.inf


def _smallest_eigenvalue(matrix: Array) -> float:
    """Return the smallest eigenvalue of a symmetric matrix, in single precision: steps end well before the boundary."""
    values, *_, failed = lapack.ssyevr(matrix, compute_v=0, range="I", il=1, iu=1)
    if failed or not np.isfinite(values[0]):
        values = eigvalsh(matrix, subset_by_index=[0, 0], check_finite=False)
    return float(values[0])


def _transposed(blocks: Array) -> Array:
    return blocks.swapaxes(1, 2)

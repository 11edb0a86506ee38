"""An interior point method for the semidefinite programme of a quadratic map.

    min ½ tr X  s.t.  ½ tr(K_i X) = b_i,  X ⪰ 0;        max ⟨b, y⟩  s.t.  D = ½ (I − K(y)) ⪰ 0.

A flat minimum Z is an element of the cone that belongs to a solution X.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.solvers.interior.schur_complement import FIRST_SHIFT, SchurComplement

__all__ = ["InteriorPoint"]

#: X starts as the identity times this number times the norm of a matrix that fits nearly.
FIRST_SIZE = 2.0
#: Share of the distance to the boundary that a step takes.
SHARE = 0.95
#: Power in Mehrotra's rule: the centring weight is ``(mu after an affine step / mu)`` to this power.
CENTRING_POWER = 3
#: Largest number of corrections of a step. A correction is kept if it makes the product of both step lengths longer by
#: the factor ``WORTHWHILE``.
MOST_CORRECTIONS = 4
#: Factor of the product of the step lengths from which another correction pays.
WORTHWHILE = 1.05
#: Relative gap below which steps are refined until X fits the data.
REFINED_GAP = 1e-4
#: Largest number of such refinements of a step.
MOST_REFINEMENTS = 5


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
        self.y = np.zeros_like(b)
        self.shift, self.lengths = FIRST_SHIFT, (1.0, 1.0)
        self.order = K.shape[0] * K.shape[1]

    @property
    def gap(self) -> float:
        """The gap ``⟨X, D⟩`` relative to ``½ tr X``. It is the relative duality gap once X fits the data.

        It is zero where rounding errors in D, which are large once y is, make it negative.
        """
        return max(0.0, 2 * float(np.vdot(self.X, self.D)) / float(np.einsum("pii->", self.X)))

    @property
    def misfit(self) -> float:
        """The relative distance of the measurements of X from the data."""
        return float(np.linalg.norm(self.model.lifted_value(self.X) - self.b) / np.linalg.norm(self.b))

    @property
    def point(self) -> tuple[Array, Array, Array]:
        """The element ``U, s, V`` of the cone that belongs to X."""
        return self.model.lifted_canonical(self.X)

    @property
    def rank(self) -> int:
        """The number of singular values s_j with ``s_j / s_1 > 1 − t_j``, where t_j are those of the dual matrix.

        At a solution, s_j or ``1 − t_j`` vanishes (complementarity).
        """
        s, slack = self.point[1], 2 * np.sort(np.linalg.eigvalsh(self.D).ravel())
        return int(np.count_nonzero(s > slack[: len(s)] * s[0]))

    def step(self) -> bool:
        """Take a step, and return whether the linear system could be solved."""
        equations = _StepEquations.at(self)
        if equations is None:
            return False
        self.shift, inverse = equations.system.shift, equations.inverse
        mu = float(np.vdot(self.X, self.D)) / self.order
        best = equations.direction(np.zeros_like(self.X))
        after = np.vdot(self.X + best.lengths[0] * best.X, self.D + best.lengths[1] * best.D) / self.order
        centre, last = min(1.0, float(after) / mu) ** CENTRING_POWER * mu * inverse, best
        for number in range(MOST_CORRECTIONS):
            last = equations.direction(centre - _symmetric(last.X @ last.D @ inverse))
            if number and last.progress < WORTHWHILE * best.progress:
                break
            best = last
        self.lengths = best.lengths
        self.X = self.X + best.lengths[0] * best.X
        self.y = self.y + best.lengths[1] * best.y
        self.D = (self.identity - self.model.dual_blocks(self.y)) / 2
        return bool(np.isfinite(self.X).all() and np.isfinite(self.y).all())


@dataclass(frozen=True, eq=False)
class _StepEquations:
    """The linear equations of a step: the iterate, the inverse roots of X and D, the inverse of D and the system."""

    path: InteriorPoint
    roots: tuple[Array, Array]
    inverse: Array
    system: SchurComplement

    @classmethod
    def at(cls, path: InteriorPoint) -> _StepEquations | None:
        """Return the equations at an iterate, or None if X, D or the system cannot be factorized."""
        try:
            roots = _inverse_root(path.X), _inverse_root(path.D)
        except np.linalg.LinAlgError:
            return None
        inverse = _transposed(roots[1]) @ roots[1]
        system = SchurComplement.from_lower(0.25 * path.model.normal_matrix(path.X, inverse), path.shift)
        return None if system is None else cls(path, roots, inverse, system)

    def direction(self, target: Array) -> _Direction:
        """Return the step for which ``X D`` is ``target D`` to first order and X fits the data.

        It is refined once the gap is small.
        """
        path, model = self.path, self.path.model
        dy = self.system.solve(path.b - model.lifted_value(target))
        dX = target - path.X + self._change(dy)
        left = path.b - model.lifted_value(path.X + dX)
        for _ in range(MOST_REFINEMENTS if path.gap < REFINED_GAP else 0):
            more = self.system.solve(left)
            longer = dX + self._change(more)
            after = path.b - model.lifted_value(path.X + longer)
            if not np.linalg.norm(after) < np.linalg.norm(left) / 2:
                break
            dy, dX, left = dy + more, longer, after
        dD = -model.dual_blocks(dy) / 2
        lengths = (min(1.0, SHARE * _distance(root, d)) for root, d in zip(self.roots, (dX, dD), strict=True))
        return _Direction(dy, dD, dX, (next(lengths), next(lengths)))

    def _change(self, dy: Array) -> Array:
        """Return the change of X that a step of y causes."""
        return _symmetric(self.path.X @ self.path.model.dual_blocks(dy) @ self.inverse) / 2


def _inverse_root(X: Array) -> Array:
    """Return the inverses of the lower Cholesky factors of blocks, or raise `LinAlgError`."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(X)))


def _distance(inverse_root: Array, d: Array) -> float:
    """Return the largest t for which ``X + t d`` is positive semidefinite, infinite if there is none."""
    low = float(np.linalg.eigvalsh(inverse_root @ d @ _transposed(inverse_root)).min())
    return -1 / low if low < 0 else np.inf


def _transposed(blocks: Array) -> Array:
    return blocks.swapaxes(1, 2)


def _symmetric(blocks: Array) -> Array:
    return (blocks + _transposed(blocks)) / 2

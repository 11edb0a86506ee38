"""Douglas-Rachford splitting with Anderson's extrapolation, for exact completion of middle tables.

In cells whose weights are divided out, the programme is ``min ‖Z‖_*`` subject to ``Z = z`` on the observed cells. A
point W holds both solutions: ``Z / σ = W − clip(W)``, and the dual matrix ``S = clip(W)``, where clip cuts singular
values at one. At a fixed point of the step, Z fits and S vanishes outside the observed cells.
"""

import numpy as np
from scipy.linalg import eigh

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.linalg.subspaces import DENSE
from flatmin.measurements import Entries
from flatmin.solvers.factored.exact_end import ExactEnd
from flatmin.solvers.factored.extrapolation import Extrapolation
from flatmin.solvers.factored.outcome import Outcome

__all__ = ["DouglasRachford", "applies_to", "split_minimum"]

#: Number of observed cells up to which the interior point method, or a few rounds, are as fast.
FEW_CELLS = 2000
#: Number of earlier steps that an extrapolation combines.
MEMORY = 15
#: Number of first steps in which σ may change.
BALANCED = 30
#: Number of steps between two changes of σ.
EVERY = 5
#: Ratio of the misfits of both conditions from which σ changes, and the largest factor of a change.
UNBALANCED, LARGEST_CHANGE = 3.0, 2.0
#: Largest number of steps.
MOST_STEPS = 600
#: Every so many steps have to reduce the move by the factor ``GAIN``.
WINDOW = 40
#: Factor by which the move has to fall in a window.
GAIN = 4.0
#: Number of steps after which the degrees of freedom of Z may be at most ``WIDE`` times the number of data.
SETTLED = 15
#: Largest ratio of the degrees of freedom of Z to the number of data for which an exact fit may be special in the end.
WIDE = 2.0


def applies_to(model: QuadraticMap, limits: Limits) -> bool:
    """Return whether a decomposition a step is cheap, there are more than a few cells, and no weight is zero."""
    cells = model.whitened
    return (
        isinstance(cells, Entries)
        and cells.size > FEW_CELLS
        and min(cells.shape) <= DENSE
        and sum(cells.shape) <= 3 * DENSE
        and limits.max_rank is None
        and float(cells.norms().min()) > 0
    )


class DouglasRachford:
    """A point W, its move in the last step relative to W, and σ, the unit of Z.

    σ balances the misfit of Z with the part of S outside the observed cells.
    """

    def __init__(self, model: QuadraticMap, b: Array) -> None:
        cells = model.whitened
        assert isinstance(cells, Entries)
        self.place = cells.rows, cells.cols
        self.weights = model.measured(np.ones(cells.shape))
        self.z = b / self.weights
        self.W = np.zeros(cells.shape)
        self.W[self.place] = self.z
        self.sigma = float(np.linalg.norm(self.W, 2))
        self.W /= self.sigma
        self.count, self.move, self.rank = 0, np.inf, 0
        self.extrapolation = Extrapolation(self.W.size, MEMORY, overshot=np.inf)

    def step(self) -> None:
        """Take a step."""
        Z = self._shrunk()
        S, image = self.W - Z, Z.copy()
        inside = S[self.place]
        image[self.place] = inside + self.z / self.sigma
        move = image - self.W
        self.move = float(np.linalg.norm(move)) / float(np.linalg.norm(self.W))
        self.count += 1
        if self.count <= BALANCED and self.count % EVERY == 0:
            misfit = float(np.linalg.norm(Z[self.place] - self.z / self.sigma) / np.linalg.norm(self.z / self.sigma))
            outside = float(np.sqrt(max(0.0, np.vdot(S, S) - inside @ inside)) / np.linalg.norm(inside))
            ratio = misfit / max(outside, 1e-300)
            if not 1 / UNBALANCED < ratio < UNBALANCED:
                factor = float(np.clip(np.sqrt(ratio), 1 / LARGEST_CHANGE, LARGEST_CHANGE))
                self.W, self.sigma = S + factor * Z, self.sigma / factor
                self.extrapolation.forget()
                return
        self.W = self.extrapolation.advance(move, image)

    def solution(self) -> tuple[tuple[Array, Array, Array], Array]:
        """Return the singular triplets of Z, and the multiplier whose dual matrix is S on the observed cells."""
        Z = self._shrunk()
        U, s, Vt = np.linalg.svd(Z, full_matrices=False)
        kept = slice(self.rank)
        return (U[:, kept], self.sigma * s[kept], Vt[kept].T), (self.W - Z)[self.place] / self.weights

    def _shrunk(self) -> Array:
        """Return ``W − clip(W)``: singular values above one, less one. The Gram matrix of the short side decides."""
        wide = self.W.shape[0] <= self.W.shape[1]
        gram = self.W @ self.W.T if wide else self.W.T @ self.W
        values, V = eigh(gram, subset_by_value=[1.0, np.inf], check_finite=False)
        self.rank = len(values)
        shares = (V * (1 - 1 / np.sqrt(values))) @ V.T
        return np.asarray(shares @ self.W if wide else self.W @ shares)


def split_minimum(model: QuadraticMap, b: Array, clock: Clock, limits: Limits, outcome: Outcome) -> None:
    """Solve ``min ‖Z‖_* s.t. q = b``; ``outcome`` gets the fit and the multiplier, and whether they are good enough.

    Whenever the move has fallen tenfold, an exact fit near the point is tried. The steps end early if Z has so many
    columns that no exact fit would be special, or if they are slow, as where the programme is degenerate. An outcome
    that has not converged is no worse than before.
    """
    point, end, moves = DouglasRachford(model, b), ExactEnd(model, b, outcome, limits), []
    for number in range(MOST_STEPS):
        if clock.exhausted:
            break
        clock.iterations += 1
        point.step()
        moves.append(point.move)
        if number >= BALANCED and end.is_due(point.move) and _tried(point, end):
            break
        wide = number >= SETTLED and model.freedom(point.rank) > WIDE * len(b)
        if wide or (number >= 2 * WINDOW and min(moves[-WINDOW:]) > min(moves[:-WINDOW]) / GAIN):
            break
    if end.is_exact:
        outcome.converged = True
        end.record(clock)


def _tried(point: DouglasRachford, end: ExactEnd) -> bool:
    """Try exact fits, at the rank of a sharp drop and at that of Z; return whether one ends the search."""
    solution, y = point.solution()
    if end.early(solution, y):
        return True
    if end.model.freedom(point.rank) < len(end.b):
        end.attempt(point.rank, solution, y)
    return end.is_exact

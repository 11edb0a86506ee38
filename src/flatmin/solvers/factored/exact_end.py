"""Exact ends of iterations: fits at candidates for the rank, and multipliers that make the fits optimal."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.factored.refine import ARTEFACT_RATIO, EXACT, correct_dual, fit_exactly, fit_widely, largest_drop

__all__ = ["ExactEnd"]

#: Shares of the largest singular value above which singular values count, if all other candidates fail.
SHARES = (1e-10, 1e-8, 1e-6, 1e-4)
#: Relative gap at which an exact fit ends the search.
REFINED_GAP = 1e-11
#: Accuracy of an iterate above which no exact fit is tried, times ten.
ASKED_FIRST = 0.1
#: Relative misfit up to which fits are compared by their norms.
FITTED = 1e-12


class ExactEnd:
    """The best exact fit so far, and the search for better ones near the iterates of a method that does not fit.

    An iterate is a point, ``U, s, V`` with many singular values, and a multiplier y. ``point`` holds the best fit, and
    ``misfit`` its relative residual in the units of the data.
    """

    def __init__(self, model: QuadraticMap, b: Array, outcome: Outcome, limits: Limits) -> None:
        self.model, self.b, self.outcome, self.limits = model, b, outcome, limits
        self.point: tuple[Array, Array, Array] | None = None
        self.misfit, self.asked = np.inf, ASKED_FIRST

    @property
    def gap(self) -> float:
        """The relative gap between the best fit and the best multiplier."""
        return np.inf if self.point is None else self.outcome.gap(float(self.point[1].sum()))

    @property
    def is_exact(self) -> bool:
        """Whether the gap and the misfit are negligible."""
        return abs(self.gap) <= REFINED_GAP and self.misfit <= FITTED

    def record(self, clock: Clock) -> None:
        """Move the outcome to the best fit and append a row to its history."""
        assert self.point is not None
        progress = {"residual": self.misfit, "gap": self.gap, "rank": len(self.point[1])}
        self.outcome.record(self.point, clock, self.limits.callback, **progress)

    def is_due(self, accuracy: float) -> bool:
        """Return whether the accuracy of an iterate is ten times that at the last call that returned True."""
        due = accuracy <= self.asked / 10
        self.asked = accuracy if due else self.asked
        return due

    def early(self, point: tuple[Array, Array, Array], y: Array) -> bool:
        """Try the rank after which singular values drop sharply; return whether this ends the search.

        It finds a truth that is the flat minimum while the iterate is far from it.
        """
        s = point[1]
        rank = largest_drop(s)
        if rank < len(s) and s[rank] < ARTEFACT_RATIO * s[rank - 1] and self.model.freedom(rank) < len(self.b):
            self.attempt(rank, point, y)
        return self.is_exact

    def late(self, point: tuple[Array, Array, Array], y: Array, *ranks: int) -> None:
        """Try these ranks, and then the numbers of singular values above `SHARES`, until a fit has a negligible gap."""
        counts = (int(np.count_nonzero(point[1] > share * point[1].max(initial=0.0))) for share in SHARES)
        for rank in dict.fromkeys((*ranks, *counts)):
            if self.is_exact:
                break
            if rank:
                self.attempt(rank, point, y, nearly=True)

    def attempt(self, rank: int, point: tuple[Array, Array, Array], y: Array, nearly: bool = False) -> None:
        """Fit the data exactly near the leading singular triplets, and make the multiplier optimal there.

        If they fit ``nearly``, the nearest fit in their tangent space is taken, whose norm differs least.
        """
        model, b = self.model, self.b
        x = model.stack(*(F[..., :rank] for F in point))
        if nearly:
            x, _ = fit_widely(model, b, x, EXACT)
        else:
            x, _ = fit_exactly(model, b, x, model.value(x), self.outcome.bound * (1 + self.limits.tol))
        found = model.canonical(x)
        if self.keep(found):
            self.outcome.improve_bound(b, *correct_dual(model, model.stack(*found), y, self.limits.seed))

    def keep(self, found: tuple[Array, Array, Array]) -> bool:
        """Keep a fit if it is better than the best one, and return whether it is at least as good."""
        x = self.model.stack(*found)
        misfit = float(np.linalg.norm(self.b - self.model.value(x)) / np.linalg.norm(self.b))
        misfit = misfit if self.model.units is None else max(misfit, self.model.relative_residual(x, self.b))
        norm, best = float(found[1].sum()), np.inf if self.point is None else float(self.point[1].sum())
        comparable = misfit <= FITTED and self.misfit <= FITTED
        if (norm < best) if comparable else (misfit < self.misfit):
            self.point, self.misfit = found, misfit
            return True
        return comparable and norm <= best * (1 + REFINED_GAP)

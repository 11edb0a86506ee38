"""Relaxation: the choice of a refit, a weaker penalty or offsets alone by the error on held-out cells."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._completion.observations import Observations
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Noise, Solution
from flatmin.solvers import flat_minimum, refit
from flatmin.solvers.alphas.folds import splits

__all__ = ["Relaxation", "relaxation"]

#: One of this number of cells is held out.
ONE_IN = 5
#: The smallest number of held-out cells.
MIN_HELD_OUT = 20
#: The penalties that are tried, in this order, as multiples of the penalty that follows from the noise.
SHARES = (1.0, 0.55, 0.3, 0.17, 0.1, 0.055, 0.03, 0.017, 0.01)
#: The search stops once the next weaker penalty lowers the held-out error by less than this share.
MIN_FALL = 0.002
#: Relative duality gap to which the candidates are solved.
TRIAL_TOL = 1e-3
#: The largest number of Newton steps of a refit.
REFIT_STEPS = 50


@dataclass(frozen=True)
class Relaxation:
    """The errors of fits on held-out cells, and the best fit.

    Attributes
    ----------
    errors : dict of str to float
        Root mean squared errors in the units of the fit by name: "offsets" alone, "refit" (least squares at the rank
        found), and the tried multiples of the penalty, such as "0.3".
    chosen : str
        The name of the candidate with the smallest error. The choice is "offsets" if no other candidate is better by
        more than one standard error.
    """

    errors: Mapping[str, float]
    chosen: str

    @property
    def share(self) -> float | None:
        """The chosen multiple of the penalty; None for "offsets" and "refit"."""
        return None if self.chosen in ("offsets", "refit") else float(self.chosen)


def relaxation(cells: Observations, noise: Noise, settings: Mapping[str, Any]) -> Relaxation | None:
    """Choose between offsets alone, a refit, and penalties of several strengths; None if there are too few cells.

    The penalty that follows from the noise suppresses everything that noise alone could produce, and with it a part of
    the matrix. If the rank is low, a refit restores the suppressed part. If the rank is only approximately low, a
    weaker penalty that overfits a little predicts better.
    """
    split = _split(cells, settings["seed"])
    if split is None:
        return None
    training, judge = cells.pair(*split)
    squares = {"offsets": _squares(judge, tuple(np.zeros((d, 0)) for d in cells.entries.shape))}
    solution, before = None, np.inf
    for share in SHARES:
        solution = flat_minimum(training, alpha=share * noise.alpha, tol=TRIAL_TOL, warm_start=solution, **settings)
        found = squares[f"{share:g}"] = _squares(judge, solution.factors)
        if share == 1:
            squares["refit"] = _squares(judge, _refit(training, solution, noise.rank))
        error = float(np.sqrt(found.mean()))
        if error > (1 - MIN_FALL) * before:
            break
        before = error
    errors = {name: float(np.sqrt(found.mean())) for name, found in squares.items()}
    chosen = min(errors, key=lambda name: errors[name])
    gain = squares["offsets"] - squares[chosen]
    gain = gain / (float(np.max(np.abs(gain))) or 1.0)  # so that its square does not overflow
    clear = gain.mean() > gain.std() / np.sqrt(len(gain))
    return Relaxation(errors, chosen if clear else "offsets")


def _split(cells: Observations, seed: int) -> tuple[Array, Array] | None:
    if cells.entries.size < ONE_IN * MIN_HELD_OUT:
        return None
    try:
        first = splits(cells.cells, ONE_IN, None, seed)[0]
    except InputError:  # every cell is the last one of its row or column
        return None
    return (first.training, first.held_out) if len(first.held_out) >= MIN_HELD_OUT else None


def _squares(judge: Problem, factors: Factors) -> Array:
    return np.asarray(judge.residual(factors) ** 2)


def _refit(problem: Problem, solution: Solution, rank: int) -> Factors:
    """Return the refit of a solution at a rank, or at its own rank if that is lower."""
    L, R = solution.factors
    return refit(problem, replace(solution, factors=(L[:, :rank], R[:, :rank])), max_iter=REFIT_STEPS)

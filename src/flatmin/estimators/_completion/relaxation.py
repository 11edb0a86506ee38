"""The share of the penalty that predicts held-out cells best."""

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

#: One cell in ONE_IN is held out, if these are at least FEWEST cells.
ONE_IN, FEWEST = 5, 20
#: Shares of the penalty that are tried while the error falls by FALL, relatively; COARSE is the gap of their solves.
SHARES, FALL, COARSE = (1.0, 0.55, 0.3, 0.17, 0.1, 0.055, 0.03, 0.017, 0.01), 0.002, 1e-3
#: Number of Newton steps of a refit.
STEPS = 50


@dataclass(frozen=True)
class Relaxation:
    """The fit that predicts held-out cells best.

    Attributes
    ----------
    errors : dict of str to float
        Root mean squared errors on the held-out cells, in the units of the fit, by name: "offsets" alone, "refit"
        (least squares at the rank found), and the shares of the penalty that were tried, such as "0.3".
    chosen : str
        The name of the smallest error, or "offsets" if it is less than one standard error below theirs.
    """

    errors: Mapping[str, float]
    chosen: str

    @property
    def share(self) -> float | None:
        """The chosen share of the penalty; None for "offsets" and "refit"."""
        return None if self.chosen in ("offsets", "refit") else float(self.chosen)


def relaxation(cells: Observations, noise: Noise, settings: Mapping[str, Any]) -> Relaxation | None:
    """Choose between offsets alone, a refit and weaker penalties than that of the noise; None with too few cells.

    The square-root rule gives the penalty that suppresses the noise. For a matrix of low rank a refit removes its bias.
    A matrix of only nearly low rank also has structure below the level of the noise; then a weaker penalty, which
    overfits a little, predicts best.

    Parameters
    ----------
    cells : Observations
        All observed cells; a fifth of them is held out.
    noise : Noise
        The estimates of the square-root rule for all cells.
    settings : dict
        The arguments metric_power, max_rank, max_iter and seed of `flat_minimum`.
    """
    split = _split(cells, settings["seed"])
    if split is None:
        return None
    training, judge = cells.pair(*split)
    squares = {"offsets": _squares(judge, tuple(np.zeros((d, 0)) for d in cells.entries.shape))}
    solution, before = None, np.inf
    for share in SHARES:
        solution = flat_minimum(training, alpha=share * noise.alpha, tol=COARSE, warm_start=solution, **settings)
        found = squares[f"{share:g}"] = _squares(judge, solution.factors)
        if share == 1:
            squares["refit"] = _squares(judge, _refit(training, solution, noise.rank))
        error = float(np.sqrt(found.mean()))
        if error > (1 - FALL) * before:
            break
        before = error
    errors = {name: float(np.sqrt(found.mean())) for name, found in squares.items()}
    chosen = min(errors, key=lambda name: errors[name])
    gain = squares["offsets"] - squares[chosen]
    gain = gain / (float(np.max(np.abs(gain))) or 1.0)  # whose square does not overflow
    clear = gain.mean() > gain.std() / np.sqrt(len(gain))
    return Relaxation(errors, chosen if clear else "offsets")


def _split(cells: Observations, seed: int) -> tuple[Array, Array] | None:
    if cells.entries.size < ONE_IN * FEWEST:
        return None
    try:
        first = splits(cells.cells, ONE_IN, None, seed)[0]
    except InputError:  # every cell is needed for the fit
        return None
    return (first.training, first.held_out) if len(first.held_out) >= FEWEST else None


def _squares(judge: Problem, factors: Factors) -> Array:
    return np.asarray(judge.residual(factors) ** 2)


def _refit(problem: Problem, solution: Solution, rank: int) -> Factors:
    """Return the refit of a solution at a rank, or at its own rank if that is lower."""
    L, R = solution.factors
    return refit(problem, replace(solution, factors=(L[:, :rank], R[:, :rank])), max_iter=STEPS)

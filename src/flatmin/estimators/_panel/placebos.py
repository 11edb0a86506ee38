"""Placebos: the error of an average effect, measured on controls that are treated in the pattern of treated units."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.errors import InputError
from flatmin.estimators._completion.fitting import regularization
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.estimators._completion.table import observed
from flatmin.estimators._panel.panel import Panel, mean_along
from flatmin.parametrizations.base import Factors
from flatmin.solvers.alphas.path import Prepared
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.noise.refit import least_squares, unscaled
from flatmin.solvers.offsets.cell_features import CellFree, CellTerm
from flatmin.solvers.offsets.offsets import Offsets
from flatmin.solvers.task import Task

__all__ = ["MIN_PLACEBOS", "Placebos", "cells_of", "expect_variation", "modelled"]

#: The smallest number of placebos. The smallest rank p-value of n placebos is 1 / (n + 1).
MIN_PLACEBOS = 9
#: Draws that determine no effect are replaced by others, as long as draws are at most this multiple of those wanted.
MOST_DRAWS = 10
#: A path of strengths ends when this number of strengths in a row have larger errors than the best one before them.
PATIENCE = 2
#: Relative duality gap to which placebos are solved.
GAP = 1e-3
#: Accuracy of the least-squares fits of placebos, and their largest number of Newton steps.
REFIT_TOL, REFIT_STEPS = 1e-3, 50


@dataclass(frozen=True, eq=False)
class Placebos:
    """Placebo treatments of controls, whose true effects are zero, fitted by each of several candidates.

    Attributes
    ----------
    units : ndarray, shape (n, k)
        Labels of the controls of each placebo, in the order of the k treated units whose pattern they take.
    alphas, refits : ndarray, shape (c,)
        The candidates: the strength of the penalty, and whether a refit predicts.
    errors : ndarray, shape (n, c)
        Mean squared errors of the cells that a placebo hides.
    chosen : int
        The candidate that all placebos choose: the penalised fit with the smallest mean error, or the refit with the
        smallest one if that is smaller by more than one standard error.
    own : ndarray of int, shape (n,)
        For each placebo, the candidate that the other placebos choose.
    effects : ndarray, shape (n,)
        The average effect that is estimated for each placebo, by its own candidate. It is an error of estimation.
    pre_rmse : ndarray, shape (n,)
        Root mean squared residual before the placebo treatment, by the own candidate.
    gaps : ndarray, shape (n, t)
        The mean outcome minus the mean counterfactual of the placebo's units in each period, by the own candidate.
    """

    units: Array
    alphas: Array
    refits: Array
    errors: Array
    chosen: int
    own: Array
    effects: Array
    pre_rmse: Array
    gaps: Array

    @classmethod
    def fitted(
        cls,
        panel: Panel,
        count: int,
        paths: Iterable[tuple[bool, Array]],
        metric_power: float,
        limits: Limits,
        callback: Callable[[dict[str, float]], Any] | None = None,
    ) -> Self:
        """Fit up to ``count`` placebos along paths of candidates: whether a refit predicts, and descending strengths.

        Raises
        ------
        InputError
            If the controls are too few.
        """
        drawn = _drawn(panel, count, np.random.default_rng(limits.seed))
        fits = [_PlaceboFit.of(panel.placebo(units), metric_power, limits) for units in drawn]
        tried: list[tuple[float, bool]] = []
        rows: list[list[tuple[float, float, float, Array]]] = []
        for refit, alphas in paths:
            means: list[float] = []
            for alpha in map(float, alphas):
                tried.append((alpha, refit))
                rows.append([fit.judged(alpha, refit) for fit in fits])
                means.append(float(np.mean([row[0] for row in rows[-1]])))
                if callback is not None:
                    callback({"alpha": alpha, "refit": float(refit), "placebo error": means[-1] ** 0.5})
                if len(means) > int(np.argmin(means)) + PATIENCE:
                    break
        errors, effects, residuals, gaps = (np.array([[row[k] for row in step] for step in rows]) for k in range(4))
        alphas, refits = (np.array(side) for side in zip(*tried, strict=True))
        chosen = _best(errors, refits)
        own = np.array([_best(np.delete(errors, k, axis=1), refits) for k in range(len(fits))])
        at = own, np.arange(len(fits))
        units = panel.units[np.array(drawn)]
        return cls(units, alphas, refits, errors.T, chosen, own, effects[at], residuals[at], gaps[at])

    @property
    def candidate(self) -> tuple[float, bool]:
        """The chosen strength, and whether a refit predicts."""
        return float(self.alphas[self.chosen]), bool(self.refits[self.chosen])

    def half_width(self, confidence_level: float) -> float:
        """Return the half-width of the interval of an average effect, or raise `InputError` if placebos are too few.

        The interval has all constant effects that the rank test does not reject.
        """
        return float(self.quantile(np.abs(self.effects), confidence_level))

    def band(self, confidence_level: float) -> Array:
        """Return the half-widths of the intervals of the effects in each period, shape (t,)."""
        return self.quantile(np.abs(self.gaps), confidence_level)

    def quantile(self, errors: Array, confidence_level: float) -> Array:
        """Return the ``⌈(n + 1) level⌉``-th smallest error of n placebos, by column."""
        n = len(errors)
        rank = int(np.ceil((n + 1) * confidence_level - 1e-9))
        if rank > n:
            raise InputError(
                f"{n} placebos allow a confidence_level of at most {n / (n + 1):.3g}, not {confidence_level:g}; "
                "expected a smaller one, or more controls"
            )
        return np.asarray(np.sort(errors, axis=0)[rank - 1])

    def p_value(self, effect: float) -> float:
        """Return the rank of an average effect among the placebos by absolute value, divided by their number plus 1."""
        return float((1 + np.sum(np.abs(self.effects) >= abs(effect))) / (1 + len(self.effects)))


def cells_of(panel: Panel) -> Observations:
    """Return the untreated outcomes, with unpenalised offsets of units and periods, and slopes of covariates."""
    terms = CellTerm(panel.covariates.values) if len(panel.covariates) else None
    return Observations.from_cells(observed(panel.untreated), None, Strengths(True, 0.0, 0.0, cells=terms))


def expect_variation(panel: Panel, cells: Observations) -> None:
    """Raise `InputError` if the untreated cells do not determine the slopes of the covariates."""
    free = cells.model.free
    if isinstance(free, CellFree):
        slopes = free.slopes
        panel.covariates.expect_variation(slopes.spectrum[0], np.sum(slopes.left**2, axis=0), cells.entries.size)


def modelled(factors: Factors, offsets: Offsets) -> Array:
    """Return the fitted panel, shape (n, t)."""
    L, R = factors
    return np.asarray(L @ R.T + offsets.constant + offsets.rows[:, None] + offsets.columns + offsets.cell_means)


def _best(errors: Array, refits: Array) -> int:
    """Return the candidate that errors (c, n) choose; a refit, which has no certificate, must be clearly better."""
    means = errors.mean(axis=1)
    best = [
        int(kind[np.argmin(means[kind])]) for kind in (np.flatnonzero(~refits), np.flatnonzero(refits)) if len(kind)
    ]
    gain = errors[best[0]] - errors[best[-1]]
    return best[-1] if gain.mean() > gain.std() / np.sqrt(len(gain)) else best[0]


def _drawn(panel: Panel, count: int, rng: np.random.Generator) -> list[Array]:
    """Return draws of controls that determine placebo effects, or raise `InputError` if there are too few."""
    draws = islice(panel.draws(rng), count * MOST_DRAWS)
    found = list(islice((units for units in draws if panel.placebo(units).undetermined() is None), count))
    if len(found) < MIN_PLACEBOS:
        n, k = len(panel.controls), len(panel.treated_units)
        raise InputError(
            f"{n} controls for {k} treated unit(s) allow {len(found)} placebo treatments, expected at least "
            f"{MIN_PLACEBOS}, since the smallest rank p-value of n placebos is 1 / (n + 1); use more controls, with "
            "outcomes in the periods of the treatment"
        )
    return found


@dataclass(eq=False)
class _PlaceboFit:
    """A placebo panel and its penalised fits so far, from strong to weak penalties."""

    panel: Panel
    cells: Observations
    prepared: Prepared
    max_iter: int | None
    outcomes: dict[float, Outcome] = field(default_factory=dict)

    @classmethod
    def of(cls, panel: Panel, metric_power: float, limits: Limits) -> Self:
        """Prepare a placebo panel for fits at many strengths."""
        cells = cells_of(panel)
        task = Task(cells.problem, 1.0, metric_power, limits=limits)
        return cls(panel, cells, Prepared.from_task(task), limits.max_iter)

    def judged(self, alpha: float, refit: bool) -> tuple[float, float, float, Array]:
        """Return the mean squared error, the average effect, the root mean squared residual before, and the gaps."""
        factors = self._factors(alpha, refit)
        model = modelled(factors, self.cells.offsets(factors))
        effects, before = self.panel.effects(model), self.panel.errors_before(model)
        error, residual = float(mean_along(effects**2)), float(np.sqrt(mean_along(before**2)))
        return error, float(mean_along(effects)), residual, self.panel.gaps(model)

    def _factors(self, alpha: float, refit: bool) -> Factors:
        strength = alpha / regularization(1.0, self.cells.entries.shape)
        if alpha not in self.outcomes:
            last = next(reversed(self.outcomes.values()), None)
            self.outcomes[alpha] = self.prepared.outcome(strength, GAP, last, Clock(self.max_iter))
        found, scaled = self.outcomes[alpha], self.prepared.scaled
        if not (refit and len(found.s)):
            return self.prepared.factors(found)
        start = scaled.model.stack(found.U, found.s, found.V)
        end = least_squares(scaled, start, scaled.penalty(strength), Clock(REFIT_STEPS), REFIT_TOL)
        return unscaled(self.cells.problem, scaled, end.x)

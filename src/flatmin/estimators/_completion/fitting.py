"""Fits to observed cells, with a penalty that is given, follows from the noise, or predicts held-out cells best."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import shown
from flatmin.errors import InputError
from flatmin.estimators._completion.normal import NormalRows, TableRows
from flatmin.estimators._completion.observations import Observations
from flatmin.estimators._completion.offsets import OffsetFit, fit_with_offsets
from flatmin.estimators._completion.projection import RowModel
from flatmin.estimators._completion.relaxation import Relaxation, relaxation
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import check_alpha
from flatmin.solution import Solution
from flatmin.solvers import flat_minimum, refit
from flatmin.solvers.alphas.path import alpha_max
from flatmin.solvers.noise.refit import UNBIASED
from flatmin.solvers.offsets.offsets import Offsets

__all__ = ["ZERO_MARGIN", "Completed", "Settings", "complete", "fit_cells", "plain", "regularization"]

#: The smallest strength for which the matrix is 0 is multiplied by this number, as a margin for rounding.
ZERO_MARGIN = 1.001
#: Names of the settings that fits to a part of the cells share with the final fit.
SHARED = ("metric_power", "max_rank", "max_iter", "seed")


@dataclass(frozen=True)
class Settings:
    """Arguments of `flat_minimum` that apply to every solve."""

    metric_power: float
    max_rank: int | None
    tol: float
    max_iter: int | None
    seed: int
    callback: Callable[[dict[str, float]], Any] | None = None
    stop: str = "gap"

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric_power", check_alpha(1.0, self.metric_power)[1])


@dataclass(frozen=True, eq=False)
class Completed:
    """A fit to observed cells, with the factors, the offsets and the row model that make predictions.

    ``factors`` are those of the solution or, if ``refits``, of a refit, or if ``phantoms`` is a number, of a normal
    distribution of rows with this number of phantom rows for each row. ``offsets`` and ``rows`` belong to these
    factors. ``cells`` are the observations, with the penalties on offsets that the fit used. With ``alpha="auto"`` the
    solution has estimates of the noise, even if held-out cells then chose a strength other than the one found from the
    noise. ``relaxation`` has the candidates that were tried on held-out cells. ``folds`` has penalised fits of the same
    strength to parts of the cells: the indices of the cells, and the factors.
    """

    cells: Observations
    problem: Problem
    solution: Solution
    factors: Factors
    offsets: Offsets
    rows: RowModel
    relaxation: Relaxation | None = None
    refits: bool = False
    phantoms: float | None = None
    folds: tuple[tuple[Array, Factors], ...] = ()

    @classmethod
    def penalised(cls, cells: Observations, fit: OffsetFit, tried: Relaxation | None = None) -> Self:
        """Return the fit that predicts with the penalised solution."""
        return cls._from_factors(cells, fit, fit.solution.factors, fit.offsets, 1.0, tried)

    @classmethod
    def refitted(cls, cells: Observations, fit: OffsetFit, tried: Relaxation | None = None) -> Self:
        """Return the fit that predicts with the least-squares fit at the estimated rank."""
        noise = fit.solution.noise
        if noise is None:
            factors = refit(fit.problem, fit.solution)
            offsets = cells.like(fit.model).offsets(factors)
        else:
            factors = noise.refit
            offsets = fit.offsets if fit.refit_offsets is None else fit.refit_offsets
        found = replace(cls._from_factors(cells, fit, factors, offsets, 1 / UNBIASED, tried), refits=True)
        rows = cells.drawn_rows(factors, offsets) if fit.solution.settings["alpha"] else None
        return found if rows is None else replace(found, rows=rows)

    @classmethod
    def normal(
        cls, cells: Observations, fit: "OffsetFit | Completed", phantoms: float, tried: Relaxation | None = None
    ) -> Self:
        """Return the fit that predicts with a normal distribution of rows, which applies to the cells."""
        table = TableRows.from_cells(cells)
        assert table is not None
        found = NormalRows.fitted(table, phantoms * len(table.values))
        entries, rows = cells.entries, found.rows
        left, _ = rows.fit(entries.adjoint_operator(cells.values - found.mean[entries.cols]))
        constant, seen = float(np.mean(found.mean[entries.cols])), entries.gram_diagonals()[1] > 0
        offsets = Offsets(constant, np.zeros(len(left)), np.where(seen, found.mean - constant, 0.0))
        factors = left, rows.columns
        return cls(cells, fit.problem, fit.solution, factors, offsets, rows, tried, phantoms=phantoms)

    @classmethod
    def _from_factors(
        cls,
        cells: Observations,
        fit: OffsetFit,
        factors: Factors,
        offsets: Offsets,
        share: float,
        tried: Relaxation | None,
    ) -> Self:
        settings = fit.solution.settings
        alpha, power = share * float(settings["alpha"]), float(settings["metric_power"])
        rows = RowModel.from_fit(cells.entries, factors, alpha, power, fit.model.rows)
        rows = cells.like(fit.model).with_slopes(rows)
        return cls(cells, fit.problem, fit.solution, factors, offsets, rows, tried)


def regularization(alpha: float, shape: tuple[int, int]) -> float:
    """Return the regParam of ALS-WR and Spark for a strength of the scaled trace: ``2 alpha / √(d1 d2)``."""
    return 2 * alpha / float(np.sqrt(np.prod(shape)))


def complete(cells: Observations, alpha: Any, wanted: Any, settings: Settings) -> Completed:
    """Fit a matrix and offsets to cells.

    ``alpha`` is a strength in the units of Spark's regParam, or "auto". ``wanted`` says whether a refit predicts. If
    both are "auto", held-out cells decide; if only ``wanted`` is, there is no refit.
    """
    auto = isinstance(alpha, str) and alpha == "auto"
    if isinstance(alpha, str) and not auto:
        raise InputError(f"alpha is {shown(alpha)}, expected a finite number of at least 0, or 'auto'")
    strength = "auto" if auto else check_alpha(alpha, 1.0)[0] / regularization(1.0, cells.entries.shape)
    fit = fit_cells(cells, strength, settings)
    cells, noise = cells.like(fit.model), fit.solution.noise
    if not isinstance(wanted, str):
        return (Completed.refitted if wanted else Completed.penalised)(cells, fit)
    if noise is None or noise.alpha == 0:
        return Completed.penalised(cells, fit)
    tried, near = relaxation(cells, noise, {name: value for name, value in vars(settings).items() if name in SHARED})
    if tried is not None and tried.chosen == "refit":
        return Completed.refitted(cells, fit, tried)
    if tried is not None and tried.phantoms is not None:
        return Completed.normal(cells, fit, tried.phantoms, tried)
    if tried is not None and tried.share != 1:
        power, seed = settings.metric_power, settings.seed
        top = ZERO_MARGIN * alpha_max(fit.problem, metric_power=power, seed=seed) if tried.share is None else 0.0
        start = fit.solution if near is None else replace(fit.solution, factors=near)
        found = fit_cells(cells, top or (tried.share or 0.0) * noise.alpha, settings, start)
        fit = replace(found, solution=replace(found.solution, noise=noise))
    return Completed.penalised(cells, fit, tried)


def fit_cells(cells: Observations, alpha: float | str, settings: Settings, start: Any = None) -> OffsetFit:
    """Return the joint fit of matrix and offsets at a given strength, or with "auto" at the strength from the noise."""
    shared = vars(settings) | {"alpha": alpha, "warm_start": start}
    if cells.strengths.present:
        return fit_with_offsets(cells, **shared)
    return plain(cells, flat_minimum(cells.problem, **shared))


def plain(cells: Observations, solution: Solution) -> OffsetFit:
    """Return a solution of ``cells.problem`` with its offsets."""
    return OffsetFit(cells.model, cells.problem, solution, cells.offsets(solution.factors))

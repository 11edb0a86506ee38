"""FoldFits: fits to all cells but those of one fold, and their predictions of this fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._completion.fitting import Completed, Settings, fit_cells, plain
from flatmin.estimators._completion.predictor import CellPredictor
from flatmin.estimators._completion.relaxation import SHARES
from flatmin.solvers.alphas.folds import splits

__all__ = ["FoldFits", "fit_like", "fold_fits"]

#: Relative duality gap to which fits to a part of the cells are solved, unless the fit is exact.
FOLD_TOL = 1e-3
#: If only one fold is held out, it has one of this number of cells.
ONE_IN = 5


@dataclass(frozen=True, eq=False)
class FoldFits:
    """Held-out cells (n,): positions, values, predictions, and the leverages of the predictions times `noise`.

    ``fits`` are the fits to the other cells, and ``folds`` has the position in ``fits`` of the one that made each
    prediction. ``weights`` are the relative numbers of cells that the held-out cells stand for.
    """

    fits: Sequence[CellPredictor]
    rows: Array
    columns: Array
    values: Array
    predictions: Array
    leverages: Array
    folds: Array
    weights: Array

    def take(self, index: Array) -> Self:
        """Return a part of the cells."""
        parts = (self.rows, self.columns, self.values, self.predictions, self.leverages, self.folds, self.weights)
        return type(self)(self.fits, *(part[index] for part in parts))

    @property
    def errors(self) -> Array:
        """Values minus predictions."""
        return self.values - self.predictions


def fold_fits(found: Completed, folds: int, row_weights: Array | None = None) -> FoldFits:
    """Fit all cells but those of one fold, for every fold, like a fit to all cells (`fit_like`).

    If ``folds`` is 1, a single fold with a fifth of the cells is held out. Cells whose row or column has no others are
    never held out. ``row_weights`` (d1,) are the weights of the cells of each row, by default 1.

    Raises
    ------
    InputError
        If no cell can be held out.
    """
    cells, seed = found.cells, found.solution.settings["seed"]
    try:
        dealt = splits(cells.cells, min(ONE_IN if folds == 1 else folds, cells.entries.size), None, seed)[:folds]
    except InputError:
        raise InputError(
            f"of the {cells.entries.size} observed cells none can be held out to calibrate intervals, expected rows "
            "and columns with two of them"
        ) from None
    parts, fits, weights = [], [], np.ones(cells.entries.shape[0]) if row_weights is None else row_weights
    for k, split in enumerate(dealt):
        fit = CellPredictor.from_fit(fit_like(found, split.training))
        hidden = cells.take(split.held_out)
        i, j = hidden.entries.rows, hidden.entries.cols
        parts.append(
            (i, j, hidden.values, fit.at(i, j), fit.noise * fit.leverages_and_own(i, j), np.full(len(i), k), weights[i])
        )
        fits.append(fit)
    return FoldFits(fits, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def fit_like(found: Completed, training: Array) -> Completed:
    """Fit a part of the cells like another fit and, if the other one is a refit, refit at its rank.

    The penalty is larger by the root of the ratio of the numbers of cells: so much larger is noise, relative to the
    matrix, in the mean over fewer cells, and at the same penalty the fit to fewer cells would fit more of it. A fit to
    this part that the other one has kept is taken instead.

    The refit starts from the fit with the strongest of the penalties in `SHARES` that has this rank, because a fit to
    fewer cells may need a weaker penalty for it.
    """
    cells, given, rank = found.cells.take(training), found.solution.settings, found.factors[0].shape[1]
    if found.phantoms is not None:
        return Completed.normal(cells, found, found.phantoms)
    for known, factors in found.folds:
        if np.array_equal(known, training):
            return Completed.penalised(cells, plain(cells, replace(found.solution, factors=factors)))
    growth = float(np.sqrt(found.cells.entries.size / len(training)))
    alpha, tol = growth * float(given["alpha"]), float(given["tol"])
    shared = Settings(
        given["metric_power"], given["max_rank"], max(tol, FOLD_TOL) if alpha else tol, given["max_iter"], given["seed"]
    )
    start = found.solution.factors if alpha else None
    for share in SHARES if found.refits and alpha else SHARES[:1]:
        fit = fit_cells(cells, share * alpha, shared, start)
        start = fit.solution.factors
        if fit.solution.rank >= rank:
            break
    if not found.refits:
        return Completed.penalised(cells, fit)
    L, R = fit.solution.factors
    settings = {**fit.solution.settings, "alpha": alpha}
    solution = replace(fit.solution, factors=(L[:, :rank], R[:, :rank]), settings=settings)
    return Completed.refitted(cells, replace(fit, solution=solution))

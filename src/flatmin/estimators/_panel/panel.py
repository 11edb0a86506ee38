"""Panel: outcomes of units over periods, some cells of which were treated."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._panel.covariates import Covariates
from flatmin.estimators._panel.tables import expect_labels, labels_of, numbers_of

__all__ = ["Panel", "mean_along"]


@dataclass(frozen=True, eq=False)
class Panel:
    """Outcomes (n units, t periods), NaN where they are missing, and which cells were treated.

    A unit is treated if any of its cells is, and a control otherwise. ``units`` and ``periods`` are their labels.
    ``covariates`` describes the cells.
    """

    outcomes: Array
    treated: Array
    units: Array
    periods: Array
    covariates: Covariates

    @classmethod
    def from_tables(cls, outcomes: Any, treated: Any, covariates: Any = None) -> Self:
        """Read two tables of the same shape and covariates of their cells, or raise `InputError`."""
        Y, cells = numbers_of(outcomes, "Y"), numbers_of(treated, "treated")
        if Y.ndim != 2 or not Y.size or cells.shape != Y.shape:
            raise InputError(
                f"Y has shape {Y.shape} and treated {cells.shape}, expected the same number of units and of periods"
            )
        own = labels_of(outcomes) or (np.arange(Y.shape[0]), np.arange(Y.shape[1]))
        expect_labels(treated, own, "treated")
        if np.isinf(Y).any():
            raise InputError("Y contains infinity, expected finite numbers, and NaN in missing cells")
        if not np.isin(cells, (0, 1)).all():
            raise InputError(
                "treated has values other than 0 and 1, expected True in treated cells and False elsewhere"
            )
        panel = cls(Y, cells == 1, own[0], own[1], Covariates.from_tables(covariates, ~np.isnan(Y), own))
        if (reason := panel.undetermined()) is not None:
            raise InputError(reason)
        return panel

    @property
    def untreated(self) -> Array:
        """The outcomes with NaN in place of the treated ones, shape (n, t)."""
        return np.where(self.treated, np.nan, self.outcomes)

    @property
    def before(self) -> Array:
        """Which cells of treated units precede the first treated cell of their unit, shape (n, t)."""
        begun: Array = np.cumsum(self.treated, axis=1) > 0
        return np.asarray(~begun & begun[:, -1:])

    @property
    def treated_units(self) -> Array:
        """The positions of treated units."""
        return np.flatnonzero(self.treated.any(axis=1))

    @property
    def controls(self) -> Array:
        """The positions of controls."""
        return np.flatnonzero(~self.treated.any(axis=1))

    def undetermined(self) -> str | None:
        """Return why the other cells do not determine the effects in treated cells, or None if they do."""
        seen, known = ~np.isnan(self.outcomes), ~np.isnan(self.untreated)
        judged, earlier = self.treated & seen, np.any(self.before & seen, axis=1)
        if not self.treated.any():
            return "treated is False throughout, expected True in the cells whose effect is wanted"
        if not len(self.controls):
            return "every unit is treated at some time, expected controls, which are units that are never treated"
        for unit in self.treated_units:
            if not earlier[unit]:
                return (
                    f"unit {self.units[unit]} has no outcome before its treatment, expected a pre-period: "
                    "without it the level of the unit is unknown"
                )
        if not judged.any():
            return "Y is missing in all treated cells, expected outcomes there"
        for period in np.flatnonzero(judged.any(axis=0) & ~known.any(axis=0)):
            return f"period {self.periods[period]} has treated outcomes only, expected outcomes of controls in it"
        return None

    def placebo(self, units: Array) -> Self:
        """Return the panel of the controls, in which ``units`` are treated as the treated units of this panel are."""
        treated, kept = np.zeros_like(self.treated), self.controls
        treated[units] = self.treated[self.treated_units]
        return type(self)(
            self.outcomes[kept], treated[kept], self.units[kept], self.periods, self.covariates.take(kept)
        )

    def draws(self, rng: np.random.Generator) -> Iterator[Array]:
        """Yield different random draws of controls, one control for each treated unit, without end if there are many.

        A round of draws takes every control at most once. For one treated unit there is one round, of all controls.
        """
        size = len(self.treated_units)
        known: set[tuple[int, ...]] = set()
        new = True
        while new:
            order, new = rng.permutation(self.controls), False
            for drawn in order[: len(order) // size * size].reshape(-1, size):
                if tuple(drawn) not in known:
                    known.add(tuple(drawn))
                    new = True
                    yield drawn

    def effects(self, counterfactual: Array) -> Array:
        """Return outcomes minus counterfactuals in treated cells, and NaN elsewhere, shape (n, t)."""
        return np.where(self.treated, self.outcomes - counterfactual, np.nan)

    def errors_before(self, counterfactual: Array) -> Array:
        """Return outcomes minus fitted values before treatment, and NaN elsewhere, shape (n, t)."""
        return np.where(self.before, self.outcomes - counterfactual, np.nan)

    def gaps(self, counterfactual: Array) -> Array:
        """Return the mean outcome minus the mean counterfactual of treated units in each period, shape (t,)."""
        units = self.treated_units
        return mean_along(self.outcomes[units] - counterfactual[units], 0)


def mean_along(cells: Array, axis: int | None = None) -> Array:
    """Return the mean of the cells that are not NaN, along an axis or of all of them; NaN if all of them are NaN."""
    seen = ~np.isnan(cells)
    count = seen.sum(axis=axis)
    total = np.where(seen, cells, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))

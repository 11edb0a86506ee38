"""Covariates: numbers that describe the cells of a panel, such as prices by state and year."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._panel.tables import expect_labels, numbers_of

__all__ = ["Covariates"]

#: Share of a covariate's variance that effects of units and periods must leave, for it to count as varying.
LEAST_VARIATION = 1e-10


@dataclass(frozen=True, eq=False)
class Covariates:
    """Covariates (n units, t periods, p) of mean 0 and variance 1, and their names, means and standard deviations."""

    values: Array
    names: Array
    means: Array
    deviations: Array

    @classmethod
    def from_tables(cls, tables: Any, seen: Array, own: tuple[Array, Array]) -> Self:
        """Read a mapping from names to tables (n, t), or an array (n, t, p), or raise `InputError`.

        ``seen`` (n, t) says where there are outcomes, and there covariates must be finite. ``own`` are the labels.
        """
        if tables is None:
            tables = {}
        if not isinstance(tables, Mapping):
            found = np.asarray(tables)
            if found.ndim != 3:
                raise InputError(
                    f"covariates has shape {found.shape}, expected (units, periods, covariates), or a mapping from "
                    "names to tables like Y"
                )
            tables = {k: found[:, :, k] for k in range(found.shape[2])}
        values = np.zeros((*seen.shape, len(tables)))
        for k, (name, table) in enumerate(tables.items()):
            numbers = numbers_of(table, f"covariate {name}")
            if numbers.shape != seen.shape:
                raise InputError(f"covariate {name} has shape {numbers.shape}, expected {seen.shape} as Y")
            expect_labels(table, own, f"covariate {name}")
            lacking = seen & ~np.isfinite(numbers)
            if lacking.any():
                i, j = np.argwhere(lacking)[0]
                raise InputError(
                    f"covariate {name} is {numbers[i, j]} for unit {own[0][i]} in period {own[1][j]}, expected finite "
                    "numbers wherever Y has outcomes"
                )
            values[:, :, k] = numbers
        known = values[seen]
        means, deviations = known.mean(axis=0), known.std(axis=0)
        deviations[deviations == 0] = 1.0
        return cls((values - means) / deviations, np.array(list(tables)), means, deviations)

    def __len__(self) -> int:
        """Return the number of covariates."""
        return len(self.names)

    def take(self, units: Array) -> Self:
        """Return the covariates of some units, in the same scale."""
        return type(self)(self.values[units], self.names, self.means, self.deviations)

    def expect_variation(self, spectrum: Array, left: Array, cells: int) -> None:
        """Raise `InputError` for covariates that do not vary beside the effects of units and periods.

        ``left`` (p,) are the sums of squares that these effects leave of each covariate in ``cells`` untreated cells,
        and ``spectrum`` (p,) the eigenvalues of the matrix of sums of products.
        """
        for name, rest in zip(self.names, left, strict=True):
            if rest <= LEAST_VARIATION * cells:
                raise InputError(
                    f"covariate {name} is a function of the unit plus one of the period in untreated cells, which the "
                    "free effects contain; expected a covariate that varies over time differently between units"
                )
        if len(spectrum) and spectrum[0] <= LEAST_VARIATION * cells:
            raise InputError(
                "a covariate is a linear function of the others and of the effects of units and periods, expected "
                "covariates without such relations; leave one out"
            )

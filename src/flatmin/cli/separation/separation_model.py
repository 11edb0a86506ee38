"""SeparationModel: robust principal components of data in the units of their columns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Callback
from flatmin.cli.fitted_estimator import MODEL, earlier_results, fitted
from flatmin.cli.output import SEPARATION
from flatmin.cli.separation.separable import Separable
from flatmin.errors import InputError
from flatmin.estimators import RobustPCA
from flatmin.losses import Absolute
from flatmin.measurements import Mask
from flatmin.problem import Problem
from flatmin.solvers.robust.exactness import is_exact

__all__ = ["DECISIONS", "SeparationModel"]

#: What a treatment of the data means.
DECISIONS = {
    "exact": "treated as exact: a matrix of low rank fits most cells to rounding errors",
    "noisy": "treated as noisy: no matrix of low rank fits most cells exactly, so alpha follows from the noise",
    "given": "treated as you chose by --alpha",
}
#: Relative duality gap of a fit of noisy data. The parts do not change by as much as the noise below it.
NOISY_GAP = 1e-6
#: Largest number of rounds of the exact split of data that passed the test; if it takes more, they count as noisy.
EXACT_ROUNDS = 400
#: Number of cells times rounds of an exact split that is asked for by --alpha 0, which take about a minute. Data for
#: which this allows fewer than `EXACT_ROUNDS` rounds are refused if they do not pass the test.
EXACT_WORK = 4e8
#: Number of cells, and smallest number of rows or columns, of the part of large data that is tested for noise.
TESTED_CELLS = 1_000_000
TESTED_SIDE = 100
#: What to tell a user who asks for an exact split of large data with noise.
NOT_EXACT = (
    "--alpha is 0, but the data have noise: no matrix of low rank fits most cells exactly; leave --alpha out, which "
    "separates the noise too, or expect hours of flatmin recover robust-pca"
)


@dataclass(frozen=True, eq=False)
class SeparationModel:
    """A fitted estimator and the units (d,) of its columns.

    Attributes
    ----------
    estimator : RobustPCA
        The fitted estimator.
    scales : ndarray, shape (d,)
        The numbers by which the columns were divided.
    treatment : str
        A key of `DECISIONS`.
    converged : bool
        Whether the fit reached its tolerance.
    """

    estimator: RobustPCA
    scales: Array
    treatment: str
    converged: bool

    @classmethod
    def fit(
        cls, source: Separable, alpha: float | str | None, weight: float | None, seed: int, callback: Callback | None
    ) -> Self:
        """Fit data. If alpha is None, the data are tested for noise first."""
        scales = source.scales
        X = source.matrix / scales
        settings = {"weight": weight, "center": source.center, "random_state": seed}
        if alpha is None and _is_exact(X, source, weight, seed, callback):
            estimator, converged = fitted(RobustPCA(alpha=0.0, max_iter=EXACT_ROUNDS, **settings), X)
            if converged:
                return cls(estimator, scales, "exact", True)
        treatment = "given" if isinstance(alpha, float) else "noisy"
        if alpha == 0:
            rounds = int(EXACT_WORK / X.size)
            if rounds < EXACT_ROUNDS and not _is_exact(X, source, weight, seed, callback):
                raise InputError(NOT_EXACT)
            estimator, converged = fitted(RobustPCA(alpha=0.0, max_iter=max(rounds, EXACT_ROUNDS), **settings), X)
            return cls(estimator, scales, treatment, converged)
        if source.step:  # rounding errors of neighbouring pixels are alike, and would count as structure
            X = X + np.random.default_rng(seed).uniform(-source.step / 2, source.step / 2, X.shape)
        alpha = "auto" if alpha is None else alpha
        estimator, converged = fitted(RobustPCA(alpha, refit=True, tol=NOISY_GAP, **settings), X)
        if estimator.noise_ is not None and estimator.noise_.sigma == 0:
            treatment = "exact"
        return cls(estimator, scales, treatment, converged)

    @classmethod
    def load(cls, directory: Path) -> tuple[Self, list[str] | None]:
        """Read the model in a directory of results and the names of its columns or None, or raise `InputError`."""
        names, scales, treatment, converged = earlier_results(directory, SEPARATION, _known)
        estimator = RobustPCA.load(directory / MODEL)
        if scales.ndim == 0:
            scales = np.full(estimator.n_features_in_, float(scales))
        if len(scales) != estimator.n_features_in_:
            raise InputError(
                f"the --model {directory} has {len(scales)} columns in its summary and {estimator.n_features_in_} in "
                "its model, expected the same ones; make it again"
            )
        return cls(estimator, scales, treatment, converged), names

    def save(self, directory: Path) -> str:
        """Write the estimator to a directory of results, and return the name of its file."""
        self.estimator.save(directory / MODEL)
        return MODEL

    def fitted_parts(self, X: Array) -> tuple[Array, Array, Array]:
        """Return the low-rank part, the gross errors and their positions, (n, d) each, of the data of the fit."""
        mask = np.asarray(self.estimator.outlier_mask_)
        return self._parts(X, np.asarray(self.estimator.low_rank_) * self.scales, mask)

    def parts(self, X: Array) -> tuple[Array, Array, Array]:
        """Return the parts of other rows X (n, d) with the same columns."""
        d = len(self.scales)
        if X.shape[1] != d:
            raise InputError(f"the --model was fitted to rows of {d} numbers, found rows of {X.shape[1]}")
        rows = X / self.scales
        low_rank = self.estimator.inverse_transform(self.estimator.transform(rows)) * self.scales
        return self._parts(X, low_rank, self.estimator.outliers(rows))

    def _parts(self, X: Array, low_rank: Array, mask: Array) -> tuple[Array, Array, Array]:
        return low_rank, np.where(mask, X - low_rank, 0.0), mask


def _is_exact(X: Array, source: Separable, weight: float | None, seed: int, callback: Callback | None) -> bool:
    """Return whether data are free of noise; of large data, a random choice of rows or columns is tested."""
    axis = int(X.shape[1] > X.shape[0])
    count = max(TESTED_SIDE, TESTED_CELLS // X.shape[1 - axis])
    if count < X.shape[axis]:
        chosen = np.random.default_rng(seed).choice(X.shape[axis], count, replace=False)
        X = np.take(X, np.sort(chosen), axis=axis)
    seen = ~np.isnan(X)
    centre = np.zeros(X.shape[1])
    if source.center is not None:
        known = seen.any(axis=0)
        centre[known] = np.nanmedian(X[:, known], axis=0)
    data = (X - centre)[seen]
    if not data.any():
        return True
    problem = Problem(Mask(seen), data, loss=Absolute(weight))
    return is_exact(problem, step=source.step, seed=seed, callback=callback)


def _known(summary: dict[str, Any]) -> tuple[list[str] | None, Array, str, bool]:
    """Return the names of the fitted columns or None, the units, the treatment and whether the fit converged."""
    columns, names = summary.get("columns"), None
    if columns is not None:
        names = [str(column["name"]) for column in columns if column["role"] == "fitted"]
    treatment = summary["treatment"]
    if treatment not in DECISIONS:
        raise ValueError(f"the treatment is {treatment!r}")
    return names, np.array(summary["scales"], dtype=float), treatment, bool(summary["converged"])

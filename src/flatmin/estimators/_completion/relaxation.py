"""Relaxation: the choice between models of a table by the error of their predictions of held-out cells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._completion.normal import SEARCH_CHANGE, NormalRows, TableRows
from flatmin.estimators._completion.observations import Observations
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Noise, Solution
from flatmin.solvers import flat_minimum, refit
from flatmin.solvers.alphas.folds import TrainingSplit, splits
from flatmin.solvers.noise.quick_path import QuickPath

__all__ = ["SHARES", "Relaxation", "relaxation"]

#: The number of folds into which the observed cells are dealt.
FOLDS = 5
#: All folds are held out, one after another, up to this number of observed cells. With more cells one fold is enough.
MAX_CELLS = 5000
#: With more than this number of observed cells, the search for a penalty ends before a fit of a large rank. Weaker
#: penalties than the best one fit noise, in which the rank grows to hundreds.
MANY_CELLS = 200_000
#: A rank k is large if the blocks of the rows and columns, k² numbers for each, have more numbers than this.
MOST_BLOCK_ENTRIES = 4e7
#: A rank is never large if it exceeds that of the penalty of the noise by at most this number.
FREE_RANKS = 8
#: The smallest number of held-out cells.
MIN_HELD_OUT = 20
#: The penalties that are tried, in this order, as multiples of the penalty that follows from the noise.
SHARES = (1.0, 0.55, 0.3, 0.17, 0.1, 0.055, 0.03, 0.017, 0.01)
#: The numbers of phantom rows of `NormalRows` that are tried, in this order, as multiples of the number of rows.
PHANTOMS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
#: A search stops once its next candidate lowers the held-out error by less than this share.
MIN_FALL = 0.002
#: Offsets alone are chosen unless a candidate has a mean squared error smaller by this number of standard errors.
CLEAR = 2.0
#: Relative duality gap to which the penalised candidates are solved in several folds.
TRIAL_TOL = 1e-3
#: The largest number of Newton steps of a refit.
REFIT_STEPS = 50
#: The names of candidates with a normal distribution of rows start with this word, and end with a number of `PHANTOMS`.
NORMAL = "normal "


@dataclass(frozen=True)
class Relaxation:
    """The errors of candidates on held-out cells, and the best candidate.

    Attributes
    ----------
    errors : dict of str to float
        Root mean squared errors in the units of the fit by name: "offsets" alone; "refit" (least squares at the rank
        found); the tried multiples of the penalty, such as "0.3"; and normal distributions of rows, such as "normal
        0.1", where the number is that of phantom rows divided by that of rows.
    chosen : str
        The name of the candidate with the smallest error. The choice is "offsets" if no other candidate is better by
        more than two standard errors.
    """

    errors: Mapping[str, float]
    chosen: str

    @property
    def share(self) -> float | None:
        """The chosen multiple of the penalty; None for the other kinds of candidates."""
        return None if self.chosen in ("offsets", "refit") or self.phantoms is not None else float(self.chosen)

    @property
    def phantoms(self) -> float | None:
        """The chosen number of phantom rows, divided by the number of rows; None for the other kinds of candidates."""
        return float(self.chosen.removeprefix(NORMAL)) if self.chosen.startswith(NORMAL) else None


@dataclass(frozen=True, eq=False)
class _Fold:
    """The candidates on one fold. Each method yields residuals of held-out cells, predicted from the known cells.

    ``training`` is the problem of fitting the known cells, and ``judge`` that of predicting the hidden ones from a fit.
    ``solutions`` holds the penalised fits so far, from strong to weak penalties.
    """

    known: Observations
    training: Problem
    hidden: Observations
    judge: Problem
    noise: Noise
    settings: Mapping[str, Any]
    solutions: list[Solution] = field(default_factory=list)

    @classmethod
    def from_split(cls, cells: Observations, split: TrainingSplit, noise: Noise, settings: Mapping[str, Any]) -> Self:
        """Hold out a part of the cells."""
        training, judge = cells.pair(split.training, split.held_out)
        return cls(cells.take(split.training), training, cells.take(split.held_out), judge, noise, settings)

    def offsets(self) -> Iterator[tuple[str, Array]]:
        """Yield the residuals of the offsets alone."""
        yield "offsets", self.judge.residual(tuple(np.zeros((d, 0)) for d in self.training.shape))

    def penalised(self) -> Iterator[tuple[str, Array]]:
        """Yield the residuals of penalised fits, from strong to weak."""
        for k, share in enumerate(SHARES):
            factors = self.fit(k)
            if factors[0].shape[1] >= self.large_rank:
                return
            yield f"{share:g}", self.judge.residual(factors)

    @property
    def large_rank(self) -> float:
        """The smallest rank of a fit that ends the search for a penalty."""
        return np.inf

    def fit(self, k: int) -> Factors:
        """Return the factors of the penalised fit for a position in `SHARES`."""
        return self._solution(k).factors

    def _refitted(self, k: int, rank: int) -> Factors:
        """Return the refit that starts from the largest components of a penalised fit."""
        solution = self._solution(k)
        L, R = solution.factors
        return refit(self.training, replace(solution, factors=(L[:, :rank], R[:, :rank])), max_iter=REFIT_STEPS)

    def _solution(self, k: int) -> Solution:
        """Return the penalised fit for a position in `SHARES`."""
        for share in SHARES[len(self.solutions) : k + 1]:
            start, alpha = self.solutions[-1] if self.solutions else None, share * self.noise.alpha
            found = flat_minimum(self.training, alpha=alpha, tol=TRIAL_TOL, warm_start=start, **self.settings)
            self.solutions.append(found)
        return self.solutions[k]

    def refit(self) -> Iterator[tuple[str, Array]]:
        """Yield the residuals of the refit at the rank of the noise.

        It starts from the fit with the strongest penalty that has this rank, because a fit to fewer cells may need a
        weaker penalty for it.
        """
        rank, last = self.noise.rank, len(SHARES) - 1
        k = next(k for k in range(len(SHARES)) if k == last or self.fit(k)[0].shape[1] >= rank)
        factors, hidden = self._refitted(k, rank), self.hidden
        offsets = self.known.offsets(factors)
        rows = self.known.drawn_rows(factors, offsets)
        if rows is None:
            yield "refit", self.judge.residual(factors)
        else:
            missed = self.known.predicted(rows, offsets, hidden.entries) - hidden.values
            yield "refit", hidden.entries.norms() * missed

    def normal(self) -> Iterator[tuple[str, Array]]:
        """Yield the residuals of normal distributions of rows, from many phantom rows to few."""
        table = TableRows.from_cells(self.known) if self.settings["max_rank"] is None else None
        if table is None:
            return
        i, j, found = self.hidden.entries.rows, self.hidden.entries.cols, None
        for share in PHANTOMS:
            found = NormalRows.fitted(table, share * len(table.values), found, SEARCH_CHANGE)
            yield f"{NORMAL}{share:g}", found.filled(table)[i, j] - self.hidden.values


@dataclass(frozen=True, eq=False)
class _SingleFold(_Fold):
    """The candidates on the only fold of many cells, whose penalised fits are not certified."""

    fits: list[Factors] = field(default_factory=list)

    @cached_property
    def _path(self) -> QuickPath:
        given, large = self.settings["max_rank"], self.large_rank
        most = given if large > min(self.training.shape) else int(min(large, given or np.inf))
        return QuickPath(self.training, {**self.settings, "max_rank": most})

    @cached_property
    def large_rank(self) -> float:
        """The smallest rank of a fit that ends the search for a penalty; see `MANY_CELLS`."""
        if self.known.entries.size + self.hidden.entries.size <= MANY_CELLS:
            return np.inf
        rank = int(np.sqrt(MOST_BLOCK_ENTRIES / sum(self.training.shape)))
        return max(rank, max(self.noise.rank, self.noise.penalised_rank) + FREE_RANKS) + 1

    def fit(self, k: int) -> Factors:
        """Return the factors of the penalised fit for a position in `SHARES`."""
        for share in SHARES[len(self.fits) : k + 1]:
            self.fits.append(self._path.fit(share * self.noise.alpha, self.fits[-1] if self.fits else None))
        return self.fits[k]

    def _refitted(self, k: int, rank: int) -> Factors:
        L, R = self.fit(k)
        return self._path.refit(SHARES[k] * self.noise.alpha, (L[:, :rank], R[:, :rank]), REFIT_STEPS)


def relaxation(
    cells: Observations, noise: Noise, settings: Mapping[str, Any]
) -> tuple[Relaxation | None, Factors | None]:
    """Choose between offsets, a refit, penalties and normal distributions; None if there are too few cells.

    If a multiple of the penalty is chosen, the second result has the factors of the first fold's fit at that penalty.
    They are close to those of all cells.

    The penalty that follows from the noise suppresses everything that noise alone could produce, and with it a part of
    the matrix. If the rank is low, a refit restores the suppressed part. If the rank is only approximately low, a
    weaker penalty that overfits a little predicts better. The rank of a table with few columns is often not low at all,
    and there a normal distribution of its rows predicts better.
    """
    dealt = _dealt(cells, settings["seed"])
    if not dealt:
        return None, None
    kind_of_fold = _Fold if len(dealt) > 1 else _SingleFold
    folds = [kind_of_fold.from_split(cells, split, noise, settings) for split in dealt]
    found: dict[str, Array] = {}
    for kind in (_Fold.offsets, _Fold.penalised, _Fold.refit, _Fold.normal):
        found |= _search([kind(fold) for fold in folds])
    errors = {name: _rms(residuals) for name, residuals in found.items()}
    chosen = min(errors, key=lambda name: errors[name])
    unit = max(float(np.max(np.abs(found["offsets"]))), float(np.max(np.abs(found[chosen])))) or 1.0
    gain = (found["offsets"] / unit) ** 2 - (found[chosen] / unit) ** 2
    if not gain.mean() > CLEAR * gain.std() / np.sqrt(len(gain)):
        chosen = "offsets"
    choice = Relaxation(errors, chosen)
    return choice, None if choice.share is None else folds[0].fit(SHARES.index(choice.share))


def _dealt(cells: Observations, seed: int) -> list[TrainingSplit]:
    """Return the folds that are held out, or none if they would have too few cells."""
    if cells.entries.size < MIN_HELD_OUT:
        return []
    try:
        found = splits(cells.cells, FOLDS, None, seed)
    except InputError:  # every cell is the last one of its row or column
        return []
    found = found if cells.entries.size <= MAX_CELLS else found[:1]
    return found if sum(len(split.held_out) for split in found) >= MIN_HELD_OUT else []


def _search(paths: list[Iterator[tuple[str, Array]]]) -> dict[str, Array]:
    """Return the residuals of one kind of candidates over all folds, by name, until the error no longer falls.

    The paths of the folds yield the same candidates in the same order.
    """
    found: dict[str, Array] = {}
    before = np.inf
    for steps in zip(*paths, strict=False):
        name = steps[0][0]
        found[name] = np.concatenate([residuals for _, residuals in steps])
        if _rms(found[name]) > (1 - MIN_FALL) * before:
            break
        before = _rms(found[name])
    return found


def _rms(residuals: Array) -> float:
    return float(np.sqrt(np.mean(residuals**2)))

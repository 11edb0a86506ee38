"""Held-out cells are predicted by fits that are like the fit to all cells and did not use them."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.estimators._completion.observations import Strengths
from flatmin.estimators._completion.predictor import CellPredictor
from flatmin.estimators._intervals.fold_fits import fold_fits
from tests.estimators._completion.tables import fitted, noisy

FITS = {
    "penalised": {"alpha": 0.1, "wanted": False},
    "refit": {"alpha": 0.1, "wanted": True},
    "auto": {},
    "exact": {"alpha": 0.0},
    "row offsets": {"alpha": 0.1, "strengths": Strengths(True, 2.0, 2.0)},
}


@pytest.mark.parametrize("kind", FITS)
def test_predictions_are_those_of_the_same_fit_to_the_other_cells(kind):
    _, table, seen = noisy()
    found = fitted(table, seen, **FITS[kind])
    held = fold_fits(found, 4)
    fold = held.folds == 1
    others = seen.copy()
    others[held.rows[fold], held.columns[fold]] = False
    size = float(found.solution.settings["alpha"]) * 2 / np.sqrt(np.prod(table.shape))
    size *= np.sqrt(seen.sum() / others.sum())
    again = fitted(table, others, **{"wanted": found.refits, **FITS[kind], "alpha": size})
    expected = CellPredictor.from_fit(again).at(held.rows[fold], held.columns[fold])
    np.testing.assert_allclose(held.predictions[fold], expected, atol=2e-2)
    np.testing.assert_array_equal(held.values, table[held.rows, held.columns])


def test_every_cell_is_held_out_once():
    _, table, seen = noisy()
    held = fold_fits(fitted(table, seen, alpha=0.1), 5)
    assert len(held.fits) == 5
    assert sorted(zip(held.rows, held.columns, strict=True)) == list(zip(*np.nonzero(seen), strict=True))


def test_one_fold_has_a_fifth_of_the_cells():
    _, table, seen = noisy()
    held = fold_fits(fitted(table, seen, alpha=0.1), 1)
    assert len(held.fits) == 1
    assert abs(len(held.values) - seen.sum() / 5) < 3


@pytest.mark.parametrize("parameters", [{"sigma": 0.1}, {"shape": (40, 12), "sigma": 0.8, "seed": 2}])
def test_a_refit_keeps_its_rank(parameters):
    """With the second parameters a fit without a fold has a lower rank at the penalty of all cells."""
    _, table, seen = noisy(**parameters)
    found = fitted(table, seen, wanted=True)
    assert {fit.rows.factors.shape[1] for fit in fold_fits(found, 5).fits} == {found.factors[0].shape[1]} == {2}


def test_cells_alone_in_their_row_cannot_be_held_out():
    found = fitted(np.eye(4), np.eye(4, dtype=bool), alpha=0.1)
    with pytest.raises(InputError, match="of the 4 observed cells none can be held out"):
        fold_fits(found, 5)


def test_a_fit_to_fewer_cells_does_not_fit_more_noise():
    """At the penalty that just suppresses noise in all cells, most fits to nine tenths of them have further columns."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2)) @ rng.standard_normal((2, 200)) / 2 + rng.standard_normal((300, 200))
    found = fitted(X, rng.random(X.shape) < 0.3, wanted=False)
    assert found.factors[0].shape[1] == 2
    assert {fit.rows.factors.shape[1] for fit in fold_fits(found, 5).fits} == {2}

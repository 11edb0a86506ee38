"""Observed cells with offsets: names of offsets, weights, and parts of the cells."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from flatmin import InputError
from flatmin.estimators._completion.fitting import Settings, complete
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.estimators._completion.predictor import CellPredictor
from flatmin.measurements import Entries

CELLS = csr_array(np.arange(1.0, 13).reshape(3, 4))


@pytest.mark.parametrize(
    ("offsets", "alpha", "expected"),
    [
        ("columns", 0.0, Strengths(True, None, 0.0)),
        ("both", "auto", Strengths(True, "auto", "auto")),
        ("none", "auto", Strengths(False, None, None)),
        ("both", (1.0, 2.0), Strengths(True, 1.0, 2.0)),
    ],
)
def test_names_of_offsets(offsets, alpha, expected):
    assert Strengths.named(offsets, alpha) == expected


@pytest.mark.parametrize(("offsets", "alpha"), [("some", "auto"), ("both", "much"), ("both", (1, 2, 3))])
def test_other_names_and_numbers_are_refused(offsets, alpha):
    with pytest.raises(InputError, match="expected"):
        Strengths.named(offsets, alpha)


def test_strengths_scale_with_the_weight_of_an_observation():
    assert Strengths(True, 3.0, "auto").over(2.0) == Strengths(True, 1.5, "auto")


def test_without_offsets_the_problem_is_that_of_the_weighted_cells():
    weights = np.linspace(0.5, 1.5, 12)
    cells = Observations.from_cells(CELLS, weights, Strengths())
    np.testing.assert_allclose(cells.problem.data, np.sqrt(weights) * CELLS.data)
    assert not any(np.any(part) for part in vars(cells.offsets((np.ones((3, 1)), np.ones((4, 1))))).values())
    training, held_out = cells.pair(np.arange(8), np.arange(8, 12))
    assert (training.measurement.size, held_out.measurement.size) == (8, 4)


def test_offsets_are_fitted_for_a_given_matrix():
    cells = Observations.from_cells(CELLS, None, Strengths(True, None, 0.0))
    offsets = cells.offsets((np.zeros((3, 1)), np.zeros((4, 1))))
    np.testing.assert_allclose(offsets.constant + offsets.columns, CELLS.toarray().mean(axis=0))


@pytest.mark.parametrize("strengths", [Strengths(True, "auto", "auto"), Strengths(True, None, 0.0)])
def test_predictions_of_a_row_model_are_those_of_the_fit(strengths):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 1)) @ rng.standard_normal((1, 8)) + 0.1 * rng.standard_normal((20, 8)) + 2
    i, j = np.nonzero(rng.random(X.shape) < 0.8)
    cells = Observations(Entries(i, j, X.shape), X[i, j], strengths)
    found = complete(cells, "auto", True, Settings(1.0, None, 1e-8, None, 0))
    others = Entries(*np.divmod(np.arange(160), 8), X.shape)
    want = CellPredictor.from_fit(found).at(others.rows, others.cols)
    np.testing.assert_allclose(found.cells.predicted(found.rows, found.offsets, others), want, rtol=1e-10)
    assert found.cells.drawn_rows(found.factors, found.offsets).strength == pytest.approx(found.rows.strength)

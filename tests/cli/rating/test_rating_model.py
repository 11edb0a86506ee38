import numpy as np
import pytest

from flatmin import InputError, PairRegressor
from flatmin.cli.rating.rating_model import RatingModel
from flatmin.formats.tables import PairTable
from tests.cli.rating.conftest import PAIRS, TABLE, VALUES


def test_a_model_says_what_it_learned(model):
    expected = PairRegressor(0.1, random_state=0).fit(PAIRS, VALUES)
    np.testing.assert_array_equal(model.estimator.predict(PAIRS), expected.predict(PAIRS))
    assert model.facts == {
        "whole": False,
        "smallest": VALUES.min(),
        "largest": VALUES.max(),
        "mean": pytest.approx(VALUES.mean()),
        "spread": pytest.approx(VALUES.std()),
    }
    assert model.held_out["error"] < model.held_out["error_offsets"] < model.held_out["error_mean"]
    assert (model.held_out["confidence"], model.converged) == (0.9, True)


def test_rows_can_be_added(model):
    new = PairTable(("r", "c", "v"), np.array([["new", "c0"], ["new", "c1"]]), np.array([1.0, 2.0]))
    grown = model.with_rows(new)
    assert "new" in grown.estimator.row_ids_
    assert "new" not in model.estimator.row_ids_
    assert grown.held_out == model.held_out


def test_other_directories_are_no_models(tmp_path):
    with pytest.raises(InputError, match="holds no results of flatmin rate"):
        RatingModel.load(tmp_path)


def test_many_values_are_fitted_with_the_penalty_chosen_without_held_out_ones(monkeypatch):
    settings = {"alpha": "auto", "random_state": 0, "clip": None}
    before = RatingModel.fit(TABLE, 0.9, settings, lambda done, total: None).estimator
    assert before.alpha == "auto"
    monkeypatch.setattr("flatmin.cli.rating.rating_model.MANY_VALUES", 10)
    found = RatingModel.fit(TABLE, 0.9, settings, lambda done, total: None).estimator
    given = RatingModel.fit(TABLE, 0.9, settings | {"alpha": 0.1}, lambda done, total: None).estimator
    assert given.alpha == 0.1
    assert isinstance(found.alpha, float)
    assert found.alpha_ == pytest.approx(found.alpha)
    assert found.alpha_ == pytest.approx(before.alpha_, rel=0.2)
    assert found.refit == before._refits
    np.testing.assert_allclose(found.predict(PAIRS), before.predict(PAIRS), atol=0.3 * VALUES.std())

import json

import numpy as np
import pytest

from flatmin import InputError
from flatmin.cli.separation.separation_model import SeparationModel
from flatmin.solvers.robust.exactness import is_exact
from tests.cli.separation.conftest import CLEAN, DATA, WRONG


def test_a_noisy_table_is_fitted_in_units_of_its_columns(table):
    model = SeparationModel.fit(table, None, None, 0, None)
    low_rank, sparse, mask = model.fitted_parts(table.matrix)
    assert (model.treatment, model.converged) == ("noisy", True)
    assert (mask & WRONG).sum() == WRONG.sum()
    assert (mask & ~WRONG).sum() <= 6
    assert np.median(np.abs(low_rank - CLEAN) / CLEAN.std(axis=0)) < 0.05
    np.testing.assert_allclose((low_rank + sparse)[mask], table.matrix[mask])


def test_exact_data_are_split_exactly(exact):
    model = SeparationModel.fit(exact, None, None, 0, None)
    assert model.treatment == "exact"
    assert model.estimator.rank_ == 1
    assert model.estimator.solution_.settings["alpha"] == 0


def test_of_large_data_a_part_is_tested(exact, table, monkeypatch):
    shapes = []
    monkeypatch.setattr("flatmin.cli.separation.separation_model.TESTED_CELLS", 120)
    monkeypatch.setattr("flatmin.cli.separation.separation_model.TESTED_SIDE", 20)
    monkeypatch.setattr(
        "flatmin.cli.separation.separation_model.is_exact",
        lambda problem, **_: shapes.append(problem.shape) or is_exact(problem),
    )
    assert SeparationModel.fit(exact, None, None, 0, None).treatment == "exact"
    assert SeparationModel.fit(table, None, None, 0, None).treatment == "noisy"
    assert shapes == [(20, 6), (20, 6)]


def test_data_that_pass_the_test_but_cannot_be_split_are_noisy(table, monkeypatch):
    monkeypatch.setattr("flatmin.cli.separation.separation_model.is_exact", lambda *_, **__: True)
    monkeypatch.setattr("flatmin.cli.separation.separation_model.EXACT_ROUNDS", 5)
    assert SeparationModel.fit(table, None, None, 0, None).treatment == "noisy"


def test_an_exact_split_of_large_noisy_data_is_refused_after_the_test(exact, table, monkeypatch):
    monkeypatch.setattr("flatmin.cli.separation.separation_model.EXACT_WORK", 1.0)
    assert SeparationModel.fit(exact, 0.0, None, 0, None).estimator.rank_ == 1
    with pytest.raises(InputError, match="--alpha is 0, but the data have noise"):
        SeparationModel.fit(table, 0.0, None, 0, None)


def test_a_typed_alpha_is_kept(exact):
    model = SeparationModel.fit(exact, 1e-4, None, 0, None)
    assert (model.treatment, model.estimator.solution_.settings["alpha"]) == ("given", 1e-4)


def test_noise_that_turns_out_to_be_none_is_called_exact(exact):
    assert SeparationModel.fit(exact, "auto", None, 0, None).treatment == "exact"


def test_a_saved_model_separates_other_rows_alike(table, tmp_path):
    model = SeparationModel.fit(table, None, None, 0, None)
    model.save(tmp_path)
    summary = {"format_version": 1, "n_errors": 1, "treatment": "noisy", "converged": True}
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"scales": model.scales.tolist()}))
    loaded, _ = SeparationModel.load(tmp_path)
    for a, b in zip(model.parts(DATA[:5]), loaded.parts(DATA[:5]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (model.parts(DATA)[2] & WRONG).sum() == WRONG.sum()
    with pytest.raises(InputError, match="fitted to rows of 6 numbers, found rows of 5"):
        loaded.parts(DATA[:, :5])
    (tmp_path / "summary.json").write_text(json.dumps(summary | {"treatment": "kind", "scales": model.scales.tolist()}))
    with pytest.raises(InputError, match="holds no results of flatmin separate"):
        SeparationModel.load(tmp_path)


def test_other_directories_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no results of flatmin separate"):
        SeparationModel.load(tmp_path)
    (tmp_path / "summary.json").write_text(
        '{"format_version": 1, "n_errors": 0, "treatment": "exact", "converged": true, "scales": 1.0}'
    )
    with pytest.raises(InputError, match=r"has no model\.npz"):
        SeparationModel.load(tmp_path)

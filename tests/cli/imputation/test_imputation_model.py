import json

import numpy as np
import pytest

from flatmin import InputError
from flatmin.cli.imputation.imputation_model import ImputationModel
from flatmin.formats.tables import Reading, read_typed_table

RNG = np.random.default_rng(0)
TRUTH = RNG.standard_normal((30, 1)) @ RNG.uniform(1, 2, (1, 4)) + 0.2 * RNG.standard_normal((30, 4))


@pytest.fixture
def table(tmp_path):
    cells = np.where(RNG.random(TRUTH.shape) < 0.1, "", TRUTH.round(4).astype(str))
    path = tmp_path / "t.csv"
    path.write_text("\n".join(map(",".join, [["a", "b", "c", "d"], *cells.tolist()])))
    return read_typed_table(path, Reading())


def test_a_model_says_what_it_learned_about_each_column(table):
    seen = []
    model = ImputationModel.fit(
        table, 0.9, {"alpha": 0.1, "random_state": 0}, lambda done, total: seen.append((done, total))
    )
    assert seen == [(k, 5) for k in range(5)]
    assert list(model.columns) == ["a", "b", "c", "d"]
    assert model.columns["a"]["smallest"] == np.nanmin(table.matrix[:, 0])
    assert not model.columns["a"]["whole"]
    assert model.columns["b"]["error"] < model.columns["b"]["error_means"]
    assert model.held_out["confidence"] == 0.9
    assert model.converged
    completed, low, high = model.complete(table, 0.9)
    known = ~np.isnan(table.matrix)
    np.testing.assert_array_equal(completed[known], table.matrix[known])
    assert np.all(low < high)


@pytest.mark.parametrize(
    "summary", [None, "[]", "{}", '{"format_version": 1, "holes_left": 0, "held_out": {}, "columns": 3}', "{"]
)
def test_other_directories_are_no_models(tmp_path, summary):
    if summary is not None:
        (tmp_path / "summary.json").write_text(summary)
    with pytest.raises(InputError, match="holds no results of flatmin impute"):
        ImputationModel.load(tmp_path)


def test_results_without_a_model_say_so(tmp_path):
    fields = {"format_version": 1, "holes_left": 0, "held_out": None, "columns": [], "converged": True}
    (tmp_path / "summary.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match=r"has no model\.npz"):
        ImputationModel.load(tmp_path)

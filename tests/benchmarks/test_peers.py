"""The ports of other groups' algorithms recover where they should, and the table counts what they recover."""

import numpy as np
import pytest
from benchmarks.peers.__main__ import Completion, Split, measured, rows
from benchmarks.yardstick import Store


@pytest.mark.parametrize("method", ["flatmin", "MatrixIRLS", "GNMR", "ScaledGD"])
def test_every_method_completes_ample_data(method):
    setting = Completion("test", (40, 50), 2, 10.0, 8.0, ("MatrixIRLS", "GNMR", "ScaledGD"))
    found = measured(setting, method, 1)
    assert found["error"] < 1e-7
    assert found["seconds"] > 0


def test_matrix_irls_resolves_small_singular_values():
    setting = Completion("test", (60, 60), 3, 1e3, 4.0)
    assert measured(setting, "MatrixIRLS", 0)["error"] < 1e-9


@pytest.mark.parametrize("method", Split.methods)
def test_every_method_splits_ample_data(method):
    setting = Split("test", 120, 2, 0.05)
    assert measured(setting, method, 0)["error"] < 1e-5


@pytest.mark.slow
def test_many_errors_are_certified():
    found = measured(Split("test", 1000, 5, 0.3), "flatmin", 1)
    assert found["error"] < 1e-12
    assert found["status"] == "unique_flat_minimum"
    assert found["gap"] < 1e-9


def test_rows_count_recoveries():
    table = list(rows((Completion("test", (14, 12), 1, 10.0, 1.01),), Store(None), lambda setting: 2))
    assert len(table) == 4
    assert "0 / 2" in table[3]


def test_draws_are_as_published():
    Y, truth = Split("test", 100, 3, 0.2).draw(0)
    wrong = truth != Y
    assert np.mean(wrong) == pytest.approx(0.2, abs=1e-3)
    assert np.abs(Y - truth).max() <= np.abs(truth).mean()
    problem, truth = Completion("test", (60, 50), 3, 10.0, 2.0, even=True).draw(0)
    assert np.linalg.svd(truth, compute_uv=False)[:3] == pytest.approx([10.0, 5.5, 1.0])
    assert problem.shape == (60, 50)

"""The share of the penalty that predicts held-out cells best."""

import pytest
from scipy.sparse import csr_array

import flatmin as fm
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.estimators._completion.relaxation import Relaxation, relaxation

SETTINGS = {"metric_power": 1.0, "max_rank": None, "max_iter": None, "seed": 0}


def cells_of(m, noise):
    problem = fm.families.matrix_completion.sample((20, 15), 2, m, noise=noise).problem
    A = problem.measurement
    return Observations.from_cells(csr_array((problem.data, (A.rows, A.cols)), shape=A.shape), None, Strengths())


def test_a_low_rank_is_predicted_best_by_its_refit():
    cells = cells_of(220, 0.05)
    noise = fm.flat_minimum(cells.problem, alpha="auto").noise
    found = relaxation(cells, noise, SETTINGS)
    assert {"offsets", "refit", "1"} <= set(found.errors)
    assert found.chosen == "refit"
    assert found.share is None


def test_few_cells_are_not_held_out():
    cells = cells_of(60, 0.05)
    assert relaxation(cells, fm.flat_minimum(cells.problem, alpha="auto").noise, SETTINGS) is None


def test_a_share_is_a_number():
    assert Relaxation({"0.3": 1.0}, "0.3").share == pytest.approx(0.3)

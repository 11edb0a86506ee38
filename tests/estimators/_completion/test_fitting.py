"""Fits to observed cells: units of the strength, and which fit predicts."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import flatmin as fm
from flatmin.estimators._completion.fitting import Settings, complete, fit_cells, regularization
from flatmin.estimators._completion.observations import Observations, Strengths

SETTINGS = Settings(1.0, None, 1e-8, None, 0)


@pytest.fixture
def cells():
    problem = fm.families.matrix_completion.sample((15, 12), 2, 130, noise=0.05).problem
    A = problem.measurement
    return Observations.from_cells(csr_array((problem.data, (A.rows, A.cols)), shape=A.shape), None, Strengths())


def test_the_strength_is_the_regparam_of_als_wr(cells):
    assert regularization(0.5, (4, 9)) == pytest.approx(1 / 6)
    found = complete(cells, 0.1, False, SETTINGS)
    direct = fm.flat_minimum(cells.problem, alpha=0.1 / regularization(1.0, (15, 12)))
    np.testing.assert_allclose(found.solution.matrix, direct.matrix, atol=1e-6)
    L, R = fit_cells(cells, direct.settings["alpha"], SETTINGS).solution.factors
    np.testing.assert_allclose(L @ R.T, direct.matrix, atol=1e-6)


def test_a_refit_has_the_smaller_residual(cells):
    penalised, refitted = (complete(cells, 0.1, wanted, SETTINGS) for wanted in (False, True))
    residuals = [np.linalg.norm(cells.problem.residual(found.factors)) for found in (refitted, penalised)]
    assert residuals[0] < residuals[1]
    assert refitted.rows.power == 0
    assert penalised.rows.power == 1


def test_held_out_cells_decide_only_if_everything_is_automatic(cells):
    assert complete(cells, 0.1, "auto", SETTINGS).relaxation is None
    assert complete(cells, "auto", "auto", SETTINGS).relaxation.chosen == "refit"
    with pytest.raises(fm.InputError, match="alpha is 'strong', expected"):
        complete(cells, "strong", "auto", SETTINGS)

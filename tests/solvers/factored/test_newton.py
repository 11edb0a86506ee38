"""Newton's method of one round: gradients, exact steps and preconditioners."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.cones.rectangular import StackedProduct
from flatmin.solvers.factored.newton import minimise


@pytest.mark.parametrize("sigma", [1e9, 1e17])
def test_columns_that_are_alike_leave_a_newton_step_to_go(sigma):
    """The blocks of its preconditioner are singular but for what a penalty this large hides in rounding."""
    problem = fm.families.matrix_completion.sample((6, 5), 1, 20, seed=0).problem
    model, ones = StackedProduct(problem.measurement), np.ones((11, 3))
    end = minimise(model, ones, model.value(ones), problem.data, sigma, 1e-6, Clock(max_iter=5))
    assert end.steps > 0
    assert np.isfinite(end.x).all()
    assert np.linalg.norm(end.value - problem.data) < np.linalg.norm(model.value(ones) - problem.data)

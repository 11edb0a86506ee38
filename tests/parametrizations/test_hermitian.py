"""What models of Hermitian matrices share."""

import numpy as np
import pytest

import flatmin as fm


@pytest.mark.parametrize("model", [fm.Gram(), fm.SignedGram()])
@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.ones((1, 2, 3)), r"the unknown has shape \(2, 3\), expected a square one"),
        (np.triu(np.ones((1, 3, 3))), "the sensing matrices are not symmetric"),
    ],
)
def test_sensing_matrices_are_square_and_symmetric(model, tensor, message):
    with pytest.raises(fm.InputError, match=message):
        model.check_measurement(fm.measurements.Dense(tensor))


def test_columns_that_subtract_bend_the_loss_the_other_way():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((5, 3, 3))
    A = fm.measurements.Dense(A + A.transpose(0, 2, 1))
    residual, U = rng.standard_normal(5), rng.standard_normal((3, 2))
    model, metric = fm.SignedGram(), fm.SignedGram().metric(A)
    bend = 4 / 5 * float(residual @ A.traces())
    for factors, k in (((U, U[:, :0]), 2), ((U[:, :0], U), -2), ((U[:, :1], U[:, 1:]), 0)):
        plain = model.gauss_newton_trace(factors, A, metric)
        assert model.hessian_trace(factors, A, metric, residual) == pytest.approx(plain + k * bend)
    D = np.asarray(metric[0]) @ np.asarray(metric[0])
    assert model.gauss_newton_trace((U, U[:, :0]), A, metric) == pytest.approx(8 * np.trace(U.T @ D @ U))

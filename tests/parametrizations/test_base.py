"""What every parametrization inherits, on a model that defines only what it must."""

import numpy as np
import pytest

import flatmin as fm


@pytest.mark.parametrize("rank", [0, -1, 1.5, True, "2"])
@pytest.mark.parametrize("model", [fm.Product, fm.Gram, fm.SignedGram])
def test_the_rank_of_every_model_is_a_positive_whole_number(model, rank):
    with pytest.raises(fm.InputError, match=r"rank is .*, expected a positive whole number or None"):
        model(rank)
    assert model().rank is None


def test_balance_and_norm_excess_follow_from_the_pair():
    rng = np.random.default_rng(0)
    L, R = rng.standard_normal((4, 2)), rng.standard_normal((3, 2))
    model, X = fm.Product(), L @ R.T
    assert model.balance((L, R)) == pytest.approx(np.linalg.norm(L.T @ L - R.T @ R, "nuc"))
    excess = (np.sum(L**2) + np.sum(R**2)) / (2 * np.linalg.norm(X, "nuc")) - 1
    assert model.norm_excess((L, R)) == pytest.approx(excess)


@pytest.mark.parametrize("model", [fm.Product(), fm.Hadamard(2), fm.Chain((2,))])
def test_zero_factors_are_smallest_and_other_factors_of_zero_are_infinitely_far(model):
    shape = (3, 1)
    zero = tuple(0 * F for F in model.random(shape, 2, np.random.default_rng(0)))
    assert model.norm_excess(zero) == 0
    assert model.norm_excess((zero[0] + 1, *zero[1:])) == np.inf


def test_complex_sensing_matrices_are_refused_unless_the_model_takes_them():
    A = fm.measurements.Dense(1j * np.ones((2, 2, 2)))
    with pytest.raises(fm.InputError, match="the sensing matrices are complex, expected real ones for Product"):
        fm.Product().check_measurement(A)

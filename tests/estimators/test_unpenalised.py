"""Linear and constant terms that are fitted jointly with a matrix, against plain least squares."""

import numpy as np
import pytest

from flatmin import InputError
from flatmin.estimators._unpenalised import Features, Unpenalised, check_size
from flatmin.measurements import Dense

rng = np.random.default_rng(0)
X, Y = rng.standard_normal((20, 3)), rng.standard_normal(20)
WEIGHT = rng.uniform(0.5, 1.5, 20)


def test_projected_data_have_the_residual_of_least_squares():
    terms = Unpenalised.from_samples(X, Y, WEIGHT, linear=True, constant=True)
    A = Dense(np.sqrt(WEIGHT)[:, None, None] * rng.standard_normal((20, 2, 2)))
    _, data = terms.projected(A)
    T = np.column_stack([np.ones(20), X])
    z = np.linalg.lstsq(np.sqrt(WEIGHT)[:, None] * T, np.sqrt(WEIGHT) * Y, rcond=None)[0]
    assert np.linalg.norm(data) == pytest.approx(np.linalg.norm(np.sqrt(WEIGHT) * (Y - T @ z)))
    np.testing.assert_allclose(terms.coefficients(np.zeros(20)), z)


def test_without_terms_nothing_changes_and_with_as_many_as_samples_nothing_is_left():
    A = Dense(rng.standard_normal((3, 2, 2)))
    same, data = Unpenalised.from_samples(X[:3], Y[:3], None, linear=False, constant=False).projected(A)
    assert same is A
    np.testing.assert_array_equal(data, Y[:3])
    _, data = Unpenalised.from_samples(X[:3], Y[:3], None, linear=True, constant=False).projected(A)
    np.testing.assert_array_equal(data, [0])


def test_units_of_features():
    Z = np.column_stack([X, np.full(20, 7.0)])
    units = Features.from_samples(Z, WEIGHT, centred=True, scaled=True)
    inside = units.inside(Z)
    np.testing.assert_allclose(np.average(inside[:, :3], axis=0, weights=WEIGHT), 0, atol=1e-12)
    np.testing.assert_allclose(np.average(inside[:, :3] ** 2, axis=0, weights=WEIGHT), 1)
    assert not inside[:, 3].any()


def test_extreme_numbers_are_refused():
    check_size(np.zeros(2), "y")
    with pytest.raises(InputError, match=r"the largest number of y is 1e\+90"):
        check_size(np.array([1e90]), "y")

"""The standard error of a level of noise: right for normal numbers, and free of units."""

import numpy as np
import pytest

from flatmin.solvers.noise.spread import relative_error


def test_normal_numbers_have_the_known_error():
    residual = np.random.default_rng(0).standard_normal(100_000)
    assert relative_error(residual, 100_000) == pytest.approx(1 / np.sqrt(2e5), rel=0.02)


def test_it_predicts_the_spread_of_estimates():
    rng = np.random.default_rng(1)
    draws = rng.laplace(size=(400, 500))
    levels = np.sqrt(np.mean(draws**2, axis=1))
    expected = np.mean([relative_error(draw, 500) for draw in draws])
    assert levels.std() / levels.mean() == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_units_do_not_matter(scale):
    residual = np.random.default_rng(2).standard_normal(50)
    assert relative_error(scale * residual, 50) == pytest.approx(relative_error(residual, 50))


def test_no_residual_has_no_error():
    assert relative_error(np.zeros(3), 3) == 0.0

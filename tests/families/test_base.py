"""What families share: checks of sizes, noise, and distances."""

import numpy as np
import pytest

from flatmin import InputError
from flatmin.families.base import Usual, check_sample, noisy, relative_distance, square


def test_relative_distances():
    assert relative_distance(np.array([3.0, 0.0]), np.array([1.0, 0.0])) == 2
    assert relative_distance(np.zeros(2), np.zeros(2)) == 0
    assert relative_distance(np.ones(2), np.zeros(2)) == np.inf


def test_a_dimension_is_a_square_shape():
    assert square(4) == square((4, 4)) == (4, 4)
    with pytest.raises(InputError, match="expected a dimension d or"):
        square((4, 3))


def test_sizes_are_checked():
    assert check_sample([4, 3], 2, 5, 0.0) == (4, 3)
    with pytest.raises(InputError, match="rank is 4, expected a whole number from 0 to 3"):
        check_sample((4, 3), 4, 5, 0.0)


def test_noise_is_relative_and_none_leaves_the_data():
    clean = np.full(10_000, 3.0)
    assert noisy(clean, 0.0, np.random.default_rng(0)) is clean
    assert np.std(noisy(clean, 0.1, np.random.default_rng(0))) == pytest.approx(0.3, rel=0.05)


def test_the_usual_number_of_measurements_has_a_limit():
    assert Usual().measurements((30, 20), 2) == 4 * 2 * 48
    assert Usual().measurements((3, 2), 2) == 6

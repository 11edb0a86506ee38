import numpy as np
import pytest

from flatmin import Problem
from flatmin.losses import Absolute
from flatmin.measurements import Mask
from flatmin.solvers.robust.exactness import is_exact

RNG = np.random.default_rng(0)


def table(shape, rank=2, wrong=0.03, noise=0.0):
    """Return a matrix of low rank with gross errors and noise."""
    X = RNG.standard_normal((shape[0], rank)) @ RNG.standard_normal((rank, shape[1]))
    errors = np.where(RNG.random(shape) < wrong, 10 * RNG.standard_normal(shape), 0.0)
    return X + errors + noise * RNG.standard_normal(shape)


def problem(Y, seen=None):
    seen = np.ones(Y.shape, bool) if seen is None else seen
    return Problem(Mask(seen), Y[seen], loss=Absolute(None))


@pytest.mark.parametrize("shape", [(80, 20), (90, 70)])
def test_exact_data_are_told_from_noisy_ones(shape):
    assert is_exact(problem(table(shape)))
    for noise in (1e-1, 1e-3):
        assert not is_exact(problem(table(shape, noise=noise)))


def test_missing_cells_do_not_matter():
    seen = RNG.random((80, 60)) < 0.9
    assert is_exact(problem(table((80, 60)), seen))


def test_a_fit_with_as_many_degrees_of_freedom_as_cells_shows_nothing():
    assert not is_exact(problem(RNG.standard_normal((12, 5))))


def test_errors_of_rounding_are_noise():
    Y = np.zeros((80, 60))
    places = RNG.random(Y.shape) < 0.05
    Y[:, :] = 0.5
    faint, large = (np.where(places, Y + size, Y) for size in (1 / 255, 0.4))
    assert is_exact(problem(large), step=1 / 255)
    assert not is_exact(problem(faint), step=1 / 255)
    assert is_exact(problem(faint))

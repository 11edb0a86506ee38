"""Losses: their values against the formulas, and what the rest of the package asks them."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.losses import Absolute, Squared, clip_level

ENTRIES = fm.measurements.Entries([0, 1, 2], [0, 1, 1], (3, 2))


def test_squared_is_the_mean_square():
    residual = np.array([3.0, -4.0])
    assert Squared().value(residual) == 12.5
    assert Squared().misfit(residual) is residual
    assert Squared().with_limit(residual) == Squared()


@pytest.mark.parametrize("tau", [0.0, 0.5, 3.0, 100.0])
def test_absolute_is_the_squared_distance_from_the_ball(tau):
    residual = np.random.default_rng(0).standard_normal(20)
    misfit = Absolute(tau=tau).misfit(residual)
    projected = residual - misfit
    assert np.abs(projected).sum() <= tau + 1e-12
    assert Absolute(tau=tau).value(residual) == pytest.approx(float(misfit @ misfit))
    inside = np.abs(residual).sum() <= tau
    assert inside == (Absolute(tau=tau).value(residual) == 0)
    # The nearest point of a convex set: no vertex of the ball lies on the far side of it.
    assert all(misfit @ (sign * tau * unit - projected) <= 1e-9 for unit in np.eye(20) for sign in (-1, 1))


def test_a_split_becomes_trainable_with_the_size_of_its_errors():
    residual = np.array([1.0, -2.0, 0.0])
    assert Absolute().with_limit(residual) == Absolute(tau=3.0)
    assert Absolute(tau=5.0).with_limit(residual) == Absolute(tau=5.0)


def test_the_linear_part_of_the_bound():
    data, dual = np.array([1.0, 2.0]), np.array([3.0, -1.0])
    assert Squared().pairing(data, dual) == Absolute().pairing(data, dual) == 1.0
    assert Absolute(tau=2.0).pairing(data, dual) == 1.0 - 2 * 3.0


def test_units_of_certificates():
    assert Squared().trace_factor(fm.Product()) == 1
    assert Absolute().trace_factor(fm.Product()) == fm.Product().trace_factor


def test_the_metric_of_gross_errors_is_the_identity():
    for D in Absolute().metric(ENTRIES, fm.Product()):
        np.testing.assert_array_equal(D.values, 1.0)
    for D, expected in zip(Squared().metric(ENTRIES, fm.Product()), ENTRIES.metric(), strict=True):
        np.testing.assert_array_equal(D.values, expected.values)


def test_gross_errors_need_cells_of_a_product_seen_once():
    Absolute().check(ENTRIES, fm.Product())
    twice = fm.measurements.Entries([0, 1, 0], [1, 1, 1], (3, 2))
    with pytest.raises(fm.InputError, match="row 0, column 1 is observed twice"):
        Absolute().check(twice, fm.Product())
    with pytest.raises(fm.InputError, match="expected Product"):
        Absolute().check(fm.measurements.Entries([0, 1], [0, 1], (2, 2)), fm.Gram())
    with pytest.raises(fm.InputError, match="expected Identity, Mask or unweighted Entries"):
        Absolute().check(fm.measurements.Dense(np.ones((2, 3, 2))), fm.Product())


def test_problems_say_whether_they_are_convex():
    assert fm.Problem(ENTRIES, np.ones(3)).is_convex
    robust = fm.Problem(ENTRIES, np.ones(3), loss=Absolute())
    assert not robust.is_convex
    assert robust.model == Absolute()
    with pytest.raises(fm.InputError, match="a refit was asked for Absolute"):
        robust.expect_convex("a refit was asked")
    assert not fm.families.sparse_regression.sample(8, 1, 5).problem.is_convex


@pytest.mark.parametrize("seed", range(3))
def test_the_clip_level_is_the_least_that_fits(seed):
    sizes = np.random.default_rng(seed).exponential(size=50)
    level = clip_level(sizes, 5.0)
    assert np.maximum(sizes - level, 0).sum() == pytest.approx(5.0)
    assert clip_level(sizes, 1e3) == 0.0

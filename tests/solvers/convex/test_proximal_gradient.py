"""Proximal gradients for narrow tables: the same minimum as over factors, certified, and when to give up."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock, Limits
from flatmin.solvers.convex.proximal_gradient import applies_to, proximal_gradient
from flatmin.solvers.convex.scaling import Scaled


def table(shape=(60, 12), seen=0.6, seed=0, skew=0.0):
    """Return a problem of nearly full rank: singular values that fall slowly, with noise."""
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((d, min(shape))))[0] for d in shape)
    X = 10 * (U / np.arange(1.0, min(shape) + 1)) @ V.T + 0.1 * rng.standard_normal(shape)
    chance = np.arange(1.0, shape[0] + 1)[:, None] ** -skew * seen
    rows, cols = np.nonzero(rng.random(shape) < chance)
    return fm.Problem(fm.measurements.Entries(rows, cols, shape), X[rows, cols])


def descended(problem, alpha, tol=1e-9, start=None, clock=None):
    scaled = Scaled.from_problem(problem, 1.0, 0, weighted=False)
    price = scaled.penalty(alpha)
    assert applies_to(scaled.model, price, None)
    return scaled, proximal_gradient(scaled.model, scaled.b, clock or Clock(), Limits(tol=tol), start, price)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("shape", [(60, 12), (12, 60), (20, 20), (30, 1)])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
def test_the_minimum_is_that_over_factors(shape, share):
    problem = table(shape)
    alpha = share * fm.alpha_max(problem)
    found = fm.flat_minimum(problem, alpha=alpha)
    factored = fm.flat_minimum(problem, alpha=alpha, max_rank=min(shape))  # a limit on ranks needs factors
    assert found.certificate.holds
    assert found.certificate.relative_gap < 1e-8
    assert found.rank == factored.rank
    assert np.linalg.norm(found.matrix - factored.matrix) <= 1e-4 * np.linalg.norm(factored.matrix)
    assert found.certificate.value == pytest.approx(factored.certificate.value, rel=1e-8)


def test_it_descends_by_itself():
    """Negative control for the tests above: it is this method that reaches the gap, not what comes after it."""
    _, outcome = descended(table(), 0.05 * fm.alpha_max(table()))
    assert outcome.converged
    assert abs(outcome.history["gap"][-1]) <= 1e-9
    gaps = np.abs(outcome.history["gap"])
    assert gaps[-1] < 1e-3 * gaps[0]


def test_a_start_nearby_is_used():
    problem = table()
    alpha = 0.05 * fm.alpha_max(problem)
    cold, warm = Clock(), Clock()
    scaled, outcome = descended(problem, alpha, clock=cold)
    start = scaled.model.stack(outcome.U, outcome.s, outcome.V), outcome.y
    _, again = descended(problem, 0.98 * alpha, tol=1e-5, start=start, clock=warm)
    assert again.converged
    assert warm.iterations < cold.iterations


def test_above_the_strongest_penalty_zero_is_found():
    problem = table()
    _, outcome = descended(problem, 1.01 * fm.alpha_max(problem))
    assert outcome.converged
    assert len(outcome.s) == 0


def test_limits_are_kept():
    problem = table()
    s = fm.flat_minimum(problem, alpha=0.01 * fm.alpha_max(problem), max_iter=3)
    assert s.status is fm.Status.iteration_limit
    assert s.iterations == 3


def test_where_it_is_slow_others_go_on():
    """Rows that are seen hardly ever bend the loss sharply; steps are short there, and factors take over."""
    problem = table((120, 40), seen=1.0, skew=0.5)
    alpha = 1.5e-3 * fm.alpha_max(problem)
    _, outcome = descended(problem, alpha)
    assert not outcome.converged
    assert fm.flat_minimum(problem, alpha=alpha).certificate.holds


def test_what_it_is_not_for():
    def suited(problem, price=10.0, max_rank=None):
        return applies_to(Scaled.from_problem(problem, 1.0, 0, weighted=False).model, price, max_rank)

    assert suited(table())
    assert not suited(table(), price=1e6)
    assert not suited(table(), max_rank=3)
    assert not suited(table(seen=0.05))
    assert not suited(fm.families.covariance.sample(5, 1, 20).problem)
    assert not suited(fm.families.matrix_completion.sample((200, 200), 1, 10_000).problem)

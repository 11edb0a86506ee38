"""Newton's method that carries a multiplier along ends where the plain one does."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.cones.rectangular import StackedProduct
from flatmin.solvers.factored.newton import minimise, minimise_guided


@pytest.fixture(scope="module")
def rounds():
    """A model of 40×30 ill-conditioned entries, its data, and the ends of two rounds with a multiplier between them."""
    rng = np.random.default_rng(0)
    d1, d2, rank, count = 40, 30, 3, 330
    entries = fm.measurements.Entries(*np.divmod(np.sort(rng.choice(d1 * d2, count, replace=False)), d2), (d1, d2))
    U, V = (np.linalg.qr(rng.standard_normal((d, rank)))[0] for d in (d1, d2))
    model = StackedProduct(entries, np.sqrt(d1 * d2 / count))
    b = model.value(model.stack(U, np.geomspace(1, 1e-2, rank), V))
    b /= np.linalg.norm(model.dual_matrix(b).toarray(), 2)
    x, y, rho = model.stack(*model.leading(model.dual_matrix(b), 12, 0)), np.zeros_like(b), 10.0
    for _ in range(2):
        end = minimise(model, x, model.value(x), b + y / rho, rho, 1e-8, Clock())
        x, y, rho = end.x, y + rho * (b - end.value), 4 * rho
    return model, b, x, y, rho


def test_it_ends_where_the_plain_method_does(rounds):
    model, b, x, y, rho = rounds
    target, value = b + y / rho, model.value(x)
    end, carried = minimise_guided(model, x, value, y, target, rho, 1e-7, Clock(), 100)
    plain = minimise(model, x, value, target, rho, 1e-7, Clock(), 100)

    def objective(x):
        return np.vdot(x, x) / 2 + rho / 2 * np.sum((model.value(x) - target) ** 2)

    assert end.gradient <= 1e-7
    assert plain.gradient <= 1e-7
    assert objective(end.x) < objective(x) * (1 - 1e-9)
    np.testing.assert_allclose(objective(end.x), objective(plain.x), rtol=1e-10)
    np.testing.assert_allclose(end.value, model.value(end.x), atol=1e-12 * np.linalg.norm(b))
    # both ways to know the multiplier agree, and it proves that no other matrix has a smaller objective
    np.testing.assert_allclose(carried, rho * (target - end.value), atol=1e-6 * np.linalg.norm(carried))
    assert np.linalg.norm(model.dual_matrix(carried).toarray(), 2) < 1 + 1e-6


def test_a_bad_multiplier_does_no_harm(rounds):
    model, b, x, y, rho = rounds
    wrong = 3 * np.random.default_rng(1).standard_normal(len(y)) * np.linalg.norm(y) / np.sqrt(len(y))
    end, _ = minimise_guided(model, x, model.value(x), wrong, b + y / rho, rho, 1e-7, Clock(), 100)
    right, _ = minimise_guided(model, x, model.value(x), y, b + y / rho, rho, 1e-7, Clock(), 100)
    assert end.gradient <= 1e-7
    np.testing.assert_allclose(np.vdot(end.x, end.x), np.vdot(right.x, right.x), rtol=1e-6)


def test_limits_are_kept(rounds):
    model, b, x, y, rho = rounds
    clock = Clock(max_iter=2)
    end, _ = minimise_guided(model, x, model.value(x), y, b + y / rho, rho, 1e-12, clock)
    assert clock.iterations == end.steps == 2

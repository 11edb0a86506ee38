"""A round of training: gradients against finite differences, steps against a grid, minima against the core's Newton."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.cones.rectangular import StackedProduct
from flatmin.losses import Absolute
from flatmin.nn.penalised import PenalisedLoss, _length, minimise
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.newton import minimise as newton
from tests.referee import hessian

PROBLEMS = {
    "product": fm.families.matrix_sensing.sample((4, 3), 1, 9).problem,
    "gram": fm.families.covariance.sample(4, 1, 9).problem,
    "complex": fm.families.phase_retrieval.sample(3, 1, 12).problem,
    "signed": fm.families.quadratic_network.sample(4, (1, 1), 12).problem,
}
MISFITS = {
    "squared": None,
    "limited": Absolute(tau=0.3).misfit,
    "huber": lambda residual: np.clip(residual, -0.1, 0.1),
}


def _loss(name, misfit, penalty=0.1):
    scaled = Scaled.from_problem(PROBLEMS[name], 1.0, 0)
    model = scaled.model
    n = len(model.stack(np.zeros((model.whitened.shape[0], 0)), np.zeros(0), np.zeros((model.whitened.shape[1], 0))))
    return PenalisedLoss(model, scaled.b, penalty, MISFITS[misfit]), np.random.default_rng(0).standard_normal((n, 2))


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("misfit", MISFITS)
def test_the_gradient_is_that_of_the_objective(name, misfit):
    """Central differences; the derivative of a squared distance from a convex set is what projection leaves."""
    loss, x = _loss(name, misfit)

    def objective(x):
        residual = loss.model.value(x) - loss.target
        if misfit == "huber":
            small = np.abs(residual) <= 0.1
            missed = np.sum(np.where(small, residual**2 / 2, 0.1 * np.abs(residual) - 0.005))
        else:
            left = residual if loss.misfit is None else loss.misfit(residual)
            missed = left @ left / 2
        return np.vdot(x, x) / 2 + missed / loss.penalty

    gradient = loss.gradient(x, loss.model.value(x))
    step = np.random.default_rng(1).standard_normal(x.shape)
    difference = (objective(x + 1e-5 * step) - objective(x - 1e-5 * step)) / 2e-5
    assert np.vdot(gradient, step) == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("misfit", MISFITS)
def test_the_slope_along_a_step_is_the_gradient_there(name, misfit):
    loss, x = _loss(name, misfit)
    step = np.random.default_rng(1).standard_normal(x.shape)
    value = loss.model.value(x)
    slope = loss.slope(x, value, step, loss.model.bilinear(x, step), loss.model.value(step))
    for t in (0.0, 0.3, -1.2):
        moved = x + t * step
        assert slope(t) == pytest.approx(np.vdot(loss.gradient(moved, loss.model.value(moved)), step), rel=1e-9)


def test_the_preconditioner_is_the_curvature_of_a_map_of_all_entries():
    """At a fit of the whole matrix, with L and R each moved alone, the Hessian is ``I + I ⊗ (Gram of the other)/μ``."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((7, 2))
    model = StackedProduct(fm.measurements.Identity((4, 3)))
    target = model.value(x)
    precondition = PenalisedLoss(model, target, 0.1).preconditioner(x)
    for rows in (slice(0, 4), slice(4, 7)):

        def alone(theta, rows=rows):
            moved = x.copy()
            moved[rows] = theta.reshape(-1, 2)
            residual = model.value(moved) - target
            return theta @ theta / 2 + residual @ residual / 0.2

        g = np.zeros_like(x)
        g[rows] = rng.standard_normal(g[rows].shape)
        expected = np.linalg.solve(hessian(alone, x[rows].ravel()), g[rows].ravel())
        assert precondition(g)[rows].ravel() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", PROBLEMS)
def test_minima_are_those_of_newtons_method(name):
    loss, x = _loss(name, "squared")
    found, value = minimise(loss, x, 1e-10, Clock())
    assert value == pytest.approx(loss.model.value(found))
    assert np.linalg.norm(loss.gradient(found, value)) <= 1e-10 * np.linalg.norm(found)
    end = newton(loss.model, x, loss.model.value(x), loss.target, 1 / loss.penalty, 1e-10, Clock(), max_steps=200)
    assert np.vdot(found, found) == pytest.approx(np.vdot(end.x, end.x), rel=1e-6)


def test_the_budget_counts_gradients_and_is_kept():
    loss, x = _loss("product", "squared")
    clock = Clock(max_iter=7)
    minimise(loss, x, 1e-14, clock)
    assert clock.iterations == 7
    assert minimise(loss, x, 1e-14, clock)[0] is x


@pytest.mark.parametrize(("root", "power"), [(0.01, 1), (1.0, 3), (1e3, 1), (7.0, 3)])
def test_steps_end_where_the_slope_vanishes(root, power):
    calls = []

    def slope(t):
        calls.append(t)
        return (t - root) ** power

    t = _length(slope, (-root) ** power)
    assert abs(slope(t)) <= 1e-3 * root**power
    assert len(calls) < 40


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", PROBLEMS)
def test_multipliers_are_proximal_steps_on_the_dual_programme(name):
    """Dual feasible, with ``⟨q(x), y⟩ = ½ ‖x‖²``, rising values, and a distance from the last one that falls."""
    loss, x = _loss(name, "squared")
    model, b, penalty, y = loss.model, loss.target, 0.1, np.zeros(len(loss.target))
    width = min(model.whitened.shape) * (2 if name == "signed" else 1)
    support = np.ones((len(x), width))
    if name == "signed":
        support = np.kron([[1.0, 0.0], [0.0, 1.0]], np.ones((len(x) // 2, width // 2)))
    rng = np.random.default_rng(3)
    multipliers = []
    for _ in range(30):
        start = support * rng.standard_normal(support.shape)
        objective = PenalisedLoss(model, b + penalty * y, penalty)
        x, value = minimise(objective, start, 1e-11, Clock())
        y = objective.multiplier(value)
        assert model.leading(model.dual_matrix(y), 1, 0)[1][0] <= 1 + 1e-5
        assert value @ y == pytest.approx(np.vdot(x, x) / 2, rel=1e-6)
        multipliers.append(y)
    assert (np.diff([b @ y for y in multipliers]) >= -1e-6).all()
    distances = np.array([np.sum((y - multipliers[-1]) ** 2) for y in multipliers[:-1]])
    steps = np.sum(np.diff(multipliers, axis=0) ** 2, axis=1)[:-1]
    assert (distances[:-1] - distances[1:] >= steps - 1e-6).all()


def test_a_column_of_zeros_needs_a_kick():
    """Negative control: descent from a saddle point stays there, with a multiplier that proves nothing."""
    problem = fm.families.matrix_sensing.sample((6, 5), 2, 40).problem
    model, b = (scaled := Scaled.from_problem(problem, 1.0, 0)).model, scaled.b
    objective = PenalisedLoss(model, b, 0.01)
    start = np.random.default_rng(0).standard_normal((11, 5)) * [1, 0, 0, 0, 0]
    norms = []
    for kick in (0.0, 0.01):
        kicked = start + kick * np.random.default_rng(1).standard_normal(start.shape)
        x, value = minimise(objective, kicked, 1e-10, Clock())
        norms.append(model.leading(model.dual_matrix(objective.multiplier(value)), 1, 0)[1][0])
        assert np.any(x[:, 1:]) == (kick > 0)
    assert norms[0] > 2
    assert norms[1] == pytest.approx(1, rel=1e-7)

"""Paths of penalised solutions: the strongest penalty, warm starts, and certificates at every strength."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.measurements import Dense, Entries
from flatmin.solvers.alphas.path import alpha_max, flat_path


def _problem(name, seed=0):
    rng = np.random.default_rng(seed)
    if name == "sensing":
        return fm.families.matrix_sensing.sample((9, 7), 2, 70, noise=0.3, seed=seed).problem
    if name == "completion":
        return fm.families.matrix_completion.sample((25, 20), 2, 300, noise=0.3, seed=seed).problem
    if name == "sparse":  # too large for its dual matrix to be decomposed
        rows, cols = rng.integers(0, 430, 900), rng.integers(0, 410, 900)
        return fm.Problem(Entries(rows, cols, (430, 410)), rng.standard_normal(900))
    if name == "gram":
        A = rng.standard_normal((40, 8, 8))
        A = Dense((A + A.transpose(0, 2, 1)) / 2)
        return fm.Problem(A, A.forward(np.eye(8)) + 0.3 * rng.standard_normal(40), fm.Gram())
    return fm.families.quadratic_network.sample(8, (1, 1), 60, noise=0.3, seed=seed).problem


NAMES = ["sensing", "completion", "gram", "network"]


def _dual_matrix(problem, power):
    """``D1⁻ᵖ A*(b) D2⁻ᵖ`` with the metrics normalised as in the theory of completion, from their definition."""
    A, c = problem.measurement, problem.parametrization.trace_factor
    inverses = []
    for D in problem.metric:
        D = np.asarray(D)
        values, Q = (np.diag(D), np.eye(len(D))) if np.count_nonzero(D) <= len(D) else np.linalg.eigh(D)
        mean = np.mean(values**2)
        inside = values > 1e-12 * values.max()
        powered = np.where(inside, np.where(inside, values, 1.0) ** -power * mean ** ((power - 1) / 2), 0.0)
        inverses.append((Q * powered) @ Q.T)
    return 2 / (c * A.size) * inverses[0] @ A.adjoint(problem.data) @ inverses[1]


@pytest.mark.parametrize(("name", "power"), [*((name, p) for name in NAMES for p in (0.0, 0.5, 1.0)), ("sparse", 1.0)])
def test_strongest_is_the_dual_norm_of_the_gradient(name, power):
    p = _problem(name)
    S = _dual_matrix(p, power)
    norm = np.linalg.eigvalsh(S)[-1] if name == "gram" else np.linalg.norm(S, 2)
    assert alpha_max(p, metric_power=power) == pytest.approx(norm, rel=1e-9)


@pytest.mark.parametrize("power", [0.5, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_zero_is_the_solution_from_the_strongest_penalty_on_and_not_below(name, power):
    p = _problem(name)
    top = alpha_max(p, metric_power=power)
    above, below = (fm.flat_minimum(p, alpha=top * share, metric_power=power) for share in (1 + 1e-6, 1 - 1e-3))
    assert above.certificate.holds
    assert below.certificate.holds
    assert above.certificate.value == pytest.approx(np.mean(p.data**2), rel=1e-9)
    assert below.rank >= 1
    assert below.certificate.value < np.mean(p.data**2) * (1 - 1e-9)
    path = flat_path(p, [top * (1 - 1e-3), top * (1 + 1e-6)], metric_power=power)
    assert path.ranks[0] == 0
    assert path.ranks[1] >= 1
    assert path.gaps[0] == pytest.approx(0, abs=1e-12)


def test_no_penalty_is_needed_for_data_that_no_semidefinite_matrix_correlates_with():
    """All directions of ``A*(b)`` are negative, so zero fits best among positive semidefinite matrices."""
    p = fm.Problem(fm.measurements.RankOne(np.eye(3)), -np.ones(3), fm.Gram())
    assert alpha_max(p) == 0
    path = flat_path(p, n_alphas=3)
    assert path.ranks.tolist() == [0, 0, 0]
    assert all(s.certificate.holds for s in path.solutions)


@pytest.mark.parametrize("name", NAMES)
def test_every_solution_is_that_of_a_cold_start(name):
    p = _problem(name)
    path = flat_path(p, n_alphas=6, ratio=0.05)
    assert all(s.status is fm.Status.regularized_minimum for s in path.solutions)
    assert np.all(np.abs(path.gaps) <= 1e-7)
    assert path.alphas[0] == alpha_max(p)
    assert path.alphas[-1] == pytest.approx(0.05 * path.alphas[0])
    for alpha, s in zip(path.alphas[1::2], path.solutions[1::2], strict=True):
        cold = fm.flat_minimum(p, alpha=alpha)
        assert s.certificate.value == pytest.approx(cold.certificate.value, rel=1e-7)
        np.testing.assert_allclose(p.residual(s.factors), p.residual(cold.factors), atol=1e-3 * np.linalg.norm(p.data))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_weaker_penalties_fit_better_and_cost_more_trace(power):
    path = flat_path(_problem("completion"), n_alphas=8, metric_power=power)
    assert np.all(np.diff(path.losses) < 0)
    assert np.all(np.diff(path.traces) > 0)
    scaled = [s.flatness.scaled_trace for s in path.solutions]
    if power == 1:
        np.testing.assert_allclose(path.traces, scaled, rtol=1e-6, atol=1e-9)


def test_a_strength_means_the_same_for_repeated_data():
    """Loss and trace are means over measurements: all of them twice change nothing."""
    p = _problem("completion")
    A, twice = p.measurement, np.tile(np.arange(p.measurement.size), 2)
    doubled = fm.Problem(A.take(twice), p.data[twice])
    assert alpha_max(doubled) == pytest.approx(alpha_max(p), rel=1e-9)
    one, two = (flat_path(q, [1.0, 0.3]) for q in (p, doubled))
    for s, t in zip(one.solutions, two.solutions, strict=True):
        np.testing.assert_allclose(s.matrix, t.matrix, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_gap_bounds_how_far_predictions_of_the_data_can_be(name):
    """``‖A(X) − A(X_α)‖² / m ≤ gap · value``, for coarse solutions and for zero."""
    p = _problem(name)
    alphas = alpha_max(p) * np.array([0.3, 0.1])
    coarse, fine = (flat_path(p, alphas, tol=tol) for tol in (1e-1, 1e-10))
    for s, t in zip(coarse.solutions, fine.solutions, strict=True):
        moved = np.mean((p.residual(s.factors) - p.residual(t.factors)) ** 2)
        assert moved <= s.certificate.relative_gap * s.certificate.value + 1e-9 * t.certificate.value
        assert np.mean((p.data + p.residual(t.factors)) ** 2) <= np.mean(p.data**2) - t.certificate.value * (1 - 1e-9)


def test_strengths_are_put_in_order_once_each():
    path = flat_path(_problem("sensing"), [0.1, 1.0, 0.1, 0.3])
    assert path.alphas.tolist() == [1.0, 0.3, 0.1]
    assert len(path) == 3


def test_progress_is_reported():
    seen = []
    flat_path(_problem("sensing"), n_alphas=3, callback=seen.append)
    assert [set(row) for row in seen] == [{"alpha", "rank", "gap", "seconds"}] * 3


def test_other_models_go_along_given_strengths():
    rng = np.random.default_rng(0)
    Y = np.outer(rng.standard_normal(12), rng.standard_normal(10)) + 0.01 * rng.standard_normal((12, 10))
    Y[2, 3] += 10
    p = fm.Problem(fm.measurements.Identity(Y.shape), Y.ravel(), loss=fm.losses.Absolute())
    path = flat_path(p, [0.02, 0.01])
    for alpha, s in zip(path.alphas, path.solutions, strict=True):
        cold = fm.flat_minimum(p, alpha=alpha)
        assert s.certificate.value == pytest.approx(cold.certificate.value, rel=1e-6)
    with pytest.raises(fm.InputError, match="this model has no default ones"):
        flat_path(p)


def test_a_largest_rank_is_kept():
    assert flat_path(_problem("sensing"), [0.1], max_rank=1).ranks.max() == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"alphas": []}, "one or more positive"),
        ({"alphas": [1.0, 0.0]}, "one or more positive"),
        ({"alphas": [1.0, np.nan]}, "alphas contains NaN"),
        ({"alphas": "auto"}, "alphas holds"),
        ({"alphas": [[1.0]]}, "one or more positive"),
        ({"n_alphas": 0}, "n_alphas is 0"),
        ({"n_alphas": True}, "n_alphas is True"),
        ({"n_alphas": 2.5}, "n_alphas is 2.5"),
        ({"ratio": 1.0}, "ratio is 1.0"),
        ({"ratio": "small"}, "ratio is 'small'"),
        ({"metric_power": 2}, "metric_power is 2"),
        ({"tol": 0}, "tol is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(fm.InputError, match=words):
        flat_path(_problem("sensing"), **arguments)


def test_not_a_problem():
    with pytest.raises(fm.InputError, match="expected a flatmin Problem"):
        flat_path([1.0])
    with pytest.raises(fm.InputError, match="expected a flatmin Problem"):
        alpha_max(None)

"""Noise of unknown level: the strength that is chosen, the refit, the level found."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.families.phase_retrieval import diffraction, octanary_masks
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.newton import minimise
from flatmin.solvers.noise import pivotal
from flatmin.solvers.noise.penalised_fit import FIT_GRADIENT
from flatmin.solvers.noise.pivotal import level_of_noise
from flatmin.solvers.noise.simulated_noise import SimulatedNoise
from flatmin.solvers.noise.uncertified import uncertified_minimum
from flatmin.solvers.task import Task

PROBLEMS = {
    "sensing": (fm.families.matrix_sensing, (60, 50), 2, 880),
    "completion": (fm.families.matrix_completion, (300, 300), 5, 27000),
    "small completion": (fm.families.matrix_completion, (90, 60), 2, 2700),
}


def _error(instance, factors):
    truth = instance.truth
    return np.linalg.norm(instance.problem.parametrization.matrix(factors) - truth) / np.linalg.norm(truth)


def _oracle(instance, rank):
    """Return the error of least squares at the true rank, started at the truth."""
    problem = instance.problem
    scaled = Scaled.from_problem(problem, 1.0, 0, weighted=False)
    D1, D2 = (D.power(1) for D in scaled.metric)
    U, s, Vt = np.linalg.svd(D1 @ instance.truth @ np.asarray(D2 @ np.eye(problem.shape[1])), full_matrices=False)
    x = scaled.model.stack(U[:, :rank], s[:rank] / scaled.to_z, Vt[:rank].T)
    end = minimise(scaled.model, x, scaled.model.value(x), scaled.b, 1e7, 1e-9, Clock(None, None))
    U, s, V = scaled.model.canonical(end.x)
    return _error(instance, problem.parametrization.flattest(U, scaled.to_z * s, V, scaled.metric))


def _level(instance):
    problem = instance.problem
    return np.linalg.norm(problem.measurement.forward(instance.truth) - problem.data) / np.sqrt(len(problem.data))


def _check(name, noise, seed):
    family, shape, rank, m = PROBLEMS[name]
    instance = family.sample(shape, rank, m, noise=noise, seed=seed)
    s = fm.flat_minimum(instance.problem, alpha="auto")
    assert s.status is fm.Status.regularized_minimum
    assert s.certificate.holds
    assert s.noise.rank == s.noise.penalised_rank == rank
    assert _error(instance, s.noise.refit) <= 1.05 * _oracle(instance, rank)
    assert abs(s.noise.sigma - _level(instance)) <= 3 * s.noise.std_error
    return s.noise.sigma / _level(instance)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("name", "noise"), [("sensing", 0.1), ("small completion", 1 / 3.2)])
def test_rank_error_and_level_are_those_of_an_oracle(name, noise):
    _check(name, noise, seed=100)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 1 / 3.2])
@pytest.mark.parametrize("name", ["sensing", "completion"])
def test_on_ten_draws(name, noise):
    levels = [_check(name, noise, seed) for seed in range(10)]
    assert abs(np.median(levels) - 1) <= 0.03


def test_the_strength_is_the_fixed_point_of_the_rule():
    problem = fm.families.matrix_sensing.sample((12, 10), 1, 100, noise=0.2, seed=1).problem
    s = fm.flat_minimum(problem, alpha="auto")
    residual = problem.residual(s.factors)
    wanted = s.noise.threshold * np.linalg.norm(residual) * 2 / (4 * len(residual))
    assert abs(s.noise.alpha / wanted - 1) < 5e-3
    assert s.settings["alpha"] == s.noise.alpha
    # It is the solution of the penalised problem of that strength.
    again = fm.flat_minimum(problem, alpha=s.noise.alpha)
    assert np.linalg.norm(again.matrix - s.matrix) < 1e-5 * np.linalg.norm(s.matrix)


def test_the_rule_has_no_units():
    problem = fm.families.matrix_sensing.sample((12, 10), 1, 100, noise=0.2, seed=1).problem
    larger = fm.Problem(problem.measurement, 1e6 * problem.data, problem.parametrization)
    s, t = (fm.flat_minimum(p, alpha="auto") for p in (problem, larger))
    assert t.noise.sigma == pytest.approx(1e6 * s.noise.sigma, rel=1e-4)
    assert np.linalg.norm(t.matrix - 1e6 * s.matrix) < 1e-3 * np.linalg.norm(t.matrix)


def test_the_threshold_is_that_of_dense_matrices():
    problem = fm.families.matrix_sensing.sample((12, 10), 1, 100, noise=0.2, seed=1).problem
    D1, D2 = (np.linalg.inv(D.power(1) @ np.eye(d)) for D, d in zip(problem.metric, problem.shape, strict=True))
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(400):
        g = rng.standard_normal(100)
        ratios.append(np.linalg.norm(D1 @ problem.measurement.adjoint(g) @ D2, 2) / np.linalg.norm(g))
    found = fm.flat_minimum(problem, alpha="auto").noise.threshold
    assert np.quantile(ratios, 0.75) < found < max(ratios)


def test_a_refit_never_fits_worse():
    for seed in range(3):
        problem = fm.families.bilinear_sensing.sample((20, 15), 2, 250, noise=0.3, seed=seed).problem
        s = fm.flat_minimum(problem, alpha="auto")
        before, after = (np.linalg.norm(problem.residual(f)) for f in (s.factors, s.noise.refit))
        assert after <= before * (1 + 1e-9)


UNEVEN = {
    "outliers": lambda rng, rows: rng.standard_normal(len(rows)) * np.where(rng.random(len(rows)) < 0.05, 10, 1),
    "noisy rows": lambda rng, rows: rng.standard_normal(len(rows)) * np.exp(rng.standard_normal(rows.max() + 1))[rows],
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", UNEVEN)
def test_noise_may_be_uneven(kind):
    """In completion, where a row sees few cells, the threshold of even noise would be too low by far."""
    rng = np.random.default_rng(3)
    L, R = rng.standard_normal((120, 3)), rng.standard_normal((100, 3))
    rows, cols = np.divmod(rng.choice(12_000, 3600, replace=False), 100)
    clean = (L @ R.T)[rows, cols]
    noise = UNEVEN[kind](rng, rows)
    noise *= 0.3 * np.sqrt(np.mean(clean**2) / np.mean(noise**2))
    problem = fm.Problem(fm.measurements.Entries(rows, cols, (120, 100)), clean + noise)
    s = fm.flat_minimum(problem, alpha="auto")
    assert s.certificate.holds
    assert s.noise.unevenness > 1.12
    assert s.noise.rank == 3
    even = s.noise.alpha / s.noise.unevenness
    assert fm.flat_minimum(problem, alpha=0.9 * even).rank > 3


def test_even_noise_is_found_even():
    for seed in range(3):
        problem = fm.families.matrix_sensing.sample((30, 20), 1, 300, noise=0.2, seed=seed).problem
        assert fm.flat_minimum(problem, alpha="auto").noise.unevenness < 1.12


def test_where_the_data_determine_the_trace_the_test_chooses_the_rank():
    instance = fm.families.covariance.sample(40, 3, 600, noise=0.1, seed=0)
    s = fm.flat_minimum(instance.problem, alpha="auto")
    assert s.rank > 3  # the penalty says nothing
    assert s.noise.rank == 3
    assert _error(instance, s.noise.refit) < _error(instance, s.factors)


def _behind_masks(side):
    image = np.random.default_rng(0).random((side, side))
    clean = diffraction(image, octanary_masks(8, (side, side), seed=1)).problem
    noise = 0.1 * np.sqrt(np.mean(clean.data**2)) * np.random.default_rng(2).standard_normal(len(clean.data))
    return fm.Problem(clean.measurement, clean.data + noise, clean.parametrization), image.ravel(), noise


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_a_penalty_on_a_determined_trace_is_a_shift_of_the_data(power):
    for problem in (fm.families.covariance.sample(12, 2, 150, noise=0.2).problem, _behind_masks(4)[0]):
        s = fm.flat_minimum(problem, alpha="auto", metric_power=power)
        assert s.certificate.holds
        assert not s.noise.selects
        assert s.noise.agrees
        again = fm.flat_minimum(problem, alpha=s.noise.alpha, metric_power=power)
        assert np.linalg.norm(again.matrix - s.matrix) < 1e-4 * np.linalg.norm(s.matrix)


@pytest.mark.slow
def test_of_images_the_signal_is_found_and_nothing_large_is_formed():
    """At 16 × 16 pixels least squares from the penalised solution would end in a local minimum."""
    for side in (8, 16, 32):
        problem, image, noise = _behind_masks(side)
        found = level_of_noise(Task(problem), Clock())
        assert found.rank == 1
        assert abs(found.sigma - np.sqrt(np.mean(noise**2))) < 3 * found.std_error
        u = found.refit[0][:, 0]
        phase = np.vdot(u, image) / abs(np.vdot(u, image))
        assert np.linalg.norm(phase * u - image) < 0.1 * np.linalg.norm(image)


def test_what_is_not_certified_says_how_far_it_may_be():
    problem = fm.families.covariance.sample(12, 2, 150, noise=0.2).problem
    s, fit = fm.flat_minimum(problem, alpha="auto"), uncertified_minimum(Task(problem), Clock())
    assert fit.rank == fit.noise.rank == 2
    assert not fit.certificate.holds
    assert fit.status is fm.Status.not_certified
    assert fit.noise.alpha == pytest.approx(s.noise.alpha, rel=1e-6)
    assert fit.certificate.lower_bound <= s.certificate.value * (1 + 1e-9) <= fit.certificate.value * (1 + 1e-9)
    np.testing.assert_allclose(fit.matrix, fit.parametrization.matrix(s.noise.refit), atol=1e-6)


def test_signed_and_complex_models():
    network = fm.families.quadratic_network.sample(30, (2, 1), 500, noise=0.1, seed=0)
    s = fm.flat_minimum(network.problem, alpha="auto")
    assert s.noise.rank == 3
    assert abs(s.noise.sigma - _level(network)) <= 3 * s.noise.std_error
    waves = fm.families.phase_retrieval.sample(40, 1, 320, noise=0.1, seed=1)
    s = fm.flat_minimum(waves.problem, alpha="auto")
    assert s.noise.rank == 1
    assert np.iscomplexobj(s.noise.refit[0])


def test_exact_data_leave_no_noise():
    instance = fm.families.matrix_sensing.sample((12, 10), 1, 100)
    s = fm.flat_minimum(instance.problem, alpha="auto")
    assert s.status is fm.Status.unique_flat_minimum
    assert s.noise.sigma <= 1e-12 * np.sqrt(np.mean(instance.problem.data**2))
    assert s.noise.alpha == 0


@pytest.mark.sampled(7)
@pytest.mark.parametrize("noise", [1e-9, 1e-8, 1.4e-8, 2e-8, 3e-8, 1e-7, 3e-7])
@pytest.mark.parametrize("family", ["matrix_sensing", "covariance", "quadratic_network"])
def test_rounding_to_single_precision_is_noise(family, noise):
    shape = ((12, 10),) if family == "matrix_sensing" else (12,)
    instance = getattr(fm.families, family).sample(*shape, 1, 120, noise=noise)
    s = fm.flat_minimum(instance.problem, alpha="auto")
    assert s.status.certified
    assert s.noise.rank == 1
    assert _error(instance, s.noise.refit) < 3 * noise


def test_too_few_data_to_tell_noise():
    problem = fm.families.matrix_sensing.sample((12, 10), 3, 30, noise=0.2, seed=0).problem
    s = fm.flat_minimum(problem, alpha="auto")
    assert s.noise.sigma is None or s.noise.freedom < 30


def test_nothing_but_noise_is_rank_zero():
    measurement = fm.families.matrix_sensing.sample((8, 6), 1, 100).problem.measurement
    found = []
    for seed in range(10):
        b = np.random.default_rng(seed).standard_normal(100)
        s = fm.flat_minimum(fm.Problem(measurement, b), alpha="auto")
        found.append(s.noise.rank)
        if s.noise.rank == 0:
            assert s.noise.sigma == pytest.approx(np.sqrt(np.mean(b**2)))
    assert found.count(0) >= 7


def test_zero_data():
    problem = fm.families.matrix_sensing.sample((6, 5), 1, 40).problem
    s = fm.flat_minimum(fm.Problem(problem.measurement, np.zeros(40)), alpha="auto")
    assert s.rank == 0
    assert s.noise.sigma == 0


def test_repeated_measurements_show_their_noise():
    rng = np.random.default_rng(0)
    L, R = rng.standard_normal((30, 1)), rng.standard_normal((20, 1))
    rows, cols = (rng.integers(0, d, 1500) for d in (30, 20))  # each cell some 2.5 times
    b = (L @ R.T)[rows, cols] + 0.1 * rng.standard_normal(1500)
    s = fm.flat_minimum(fm.Problem(fm.measurements.Entries(rows, cols, (30, 20)), b), alpha="auto")
    assert s.noise.rank == 1
    assert abs(s.noise.sigma - 0.1) <= 3 * s.noise.std_error


def test_it_is_saved(tmp_path):
    problem = fm.families.matrix_sensing.sample((12, 10), 1, 100, noise=0.2, seed=1).problem
    s = fm.flat_minimum(problem, alpha="auto")
    s.save(tmp_path / "s.npz")
    t = fm.Solution.load(tmp_path / "s.npz")
    assert t.noise.scalars() == s.noise.scalars()
    np.testing.assert_array_equal(t.noise.refit[0], s.noise.refit[0])
    plain = fm.flat_minimum(problem, alpha=0.1)
    plain.save(tmp_path / "plain.npz")
    assert fm.Solution.load(tmp_path / "plain.npz").noise is None


def test_models_without_the_rule_are_refused():
    sparse = fm.families.sparse_regression.sample(10, 2, 20).problem
    sparse = fm.Problem(sparse.measurement, sparse.data, fm.Hadamard(3))
    with pytest.raises(fm.InputError, match="auto"):
        fm.flat_minimum(sparse, alpha="auto")
    with pytest.raises(fm.InputError, match="'much'"):
        fm.flat_minimum(sparse, alpha="much")


def test_where_nothing_is_seen_zero_is_certified_and_everything_is_noise():
    data = np.random.default_rng(0).standard_normal(400)
    s = fm.flat_minimum(fm.Problem(fm.measurements.Dense(np.zeros((400, 3, 2))), data), alpha="auto")
    assert s.status is fm.Status.regularized_minimum
    assert s.rank == 0
    assert abs(s.noise.sigma - 1) < 0.1


def test_a_search_takes_few_fits_for_each_threshold(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 2)) @ rng.standard_normal((2, 50))
    X += np.geomspace(0.2, 2, 50) * rng.standard_normal(X.shape)  # uneven noise, for which the threshold changes
    rows, cols = np.nonzero(rng.random(X.shape) < 0.7)
    problem = fm.Problem(fm.measurements.Entries(rows, cols, X.shape), X[rows, cols])
    fits, thresholds = list[float](), list[float]()
    fit, flipped = pivotal.penalised_fit, SimulatedNoise.flipped

    def counted_fit(scaled, task, clock, x, penalty, tol=FIT_GRADIENT):
        fits.append(tol)
        return fit(scaled, task, clock, x, penalty, tol)

    def counted_threshold(self, residual):
        thresholds.append(flipped(self, residual))
        return thresholds[-1]

    monkeypatch.setattr(pivotal, "penalised_fit", counted_fit)
    monkeypatch.setattr(SimulatedNoise, "flipped", counted_threshold)
    task = Task(problem)
    rule, x, penalty = pivotal._started(task, task.limits.start())
    assert len(thresholds) >= 5
    assert len(fits) <= 2.5 * len(thresholds)
    assert sum(tol <= FIT_GRADIENT for tol in fits) <= 3  # only near the end
    residual = rule.scaled.b - rule.scaled.model.value(x)
    assert rule._penalty_for(residual) == pytest.approx(penalty, rel=2e-3)
    assert flipped(rule.simulated, residual) == pytest.approx(rule.threshold, rel=0.02)

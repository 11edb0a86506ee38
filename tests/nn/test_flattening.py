"""Flat minima found by training, against those of the core and the flatness gap."""

import time
from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin.losses import Absolute
from flatmin.nn import flatten
from flatmin.solution import Status

families = fm.families


def _usual(name, seed):
    """Return the instance that ``flatmin generate`` draws."""
    family = families.find(name)
    usual = family.usual
    return family.sample(usual.shape, usual.rank, usual.measurements(usual.shape, usual.rank), seed=seed)


def _prototype(m, seed):
    return families.matrix_sensing.sample((20, 16), 2, m, seed=seed).problem


def _judge(problem, flattest, seed):
    """Return the flatness gap of the solution, that of the weights as they were trained, and the certificate's."""
    solution = flatten(problem, seed=seed)
    assert solution.certificate.holds, solution.status
    trained = solution.history["trace"][-1] / flattest.value - 1
    return flattest.gap(solution.factors), abs(trained), abs(solution.certificate.relative_gap)


@pytest.mark.parametrize("m", [170, 110])
def test_the_prototype_above_and_below_the_threshold(m):
    problem = _prototype(m, 1)
    flattest = fm.Flattest.from_problem(problem)
    gap, trained, proved = _judge(problem, flattest, 0)
    assert gap <= 1e-8
    assert trained <= 1e-8
    assert proved <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("m", [170, 110])
def test_the_prototype_on_twenty_seeds(m):
    rows = np.array(
        [_judge(p, fm.Flattest.from_problem(p), seed) for seed in range(20) for p in [_prototype(m, 1000 + seed)]]
    )
    assert rows[:, :2].max() <= 1e-8
    assert rows[:, 2].max() <= 1e-6


def _others():
    names = [name for name in families.names() if name != "matrix-sensing"]
    return [*names, "real phase retrieval"]


def _other(name, seed):
    if name == "real phase retrieval":
        return families.phase_retrieval.sample(20, 1, 120, seed=seed, real=True).problem
    return _usual(name, seed).problem


@pytest.mark.parametrize("name", _others())
def test_the_default_instance_of_every_family(name):
    problem = _other(name, 0)
    flattest = fm.Flattest.from_problem(problem)
    gap, trained, proved = _judge(flattest.problem, flattest, 0)
    assert gap <= 1e-5
    assert trained <= 1e-5
    assert proved <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", _others())
def test_the_default_instances_on_more_seeds(name):
    for seed in range(1, 6):
        problem = _other(name, seed)
        flattest = fm.Flattest.from_problem(problem)
        assert max(_judge(flattest.problem, flattest, seed)[:2]) <= 1e-5


@pytest.mark.parametrize("name", ["matrix-completion", "quadratic-network", "robust-pca", "phase-retrieval"])
def test_it_finds_the_solution_of_the_core(name):
    problem = _usual(name, 3).problem
    trained, core = flatten(problem), fm.flat_minimum(problem)
    assert trained.certificate.value == pytest.approx(core.certificate.value, rel=1e-7)
    assert np.linalg.norm(trained.matrix - core.matrix) <= 1e-6 * np.linalg.norm(core.matrix)
    assert trained.status is core.status is Status.unique_flat_minimum
    assert trained.rank == core.rank
    fm.testing.check_solution(trained, problem) if isinstance(problem.loss, fm.losses.Squared) else None


def test_badly_scaled_measurements_need_no_other_settings():
    rng = np.random.default_rng(0)
    scales = np.geomspace(1, 1e3, 20)[:, None]
    A = fm.measurements.Dense(rng.standard_normal((200, 20, 16)) * scales)
    X = rng.standard_normal((20, 2)) @ rng.standard_normal((2, 16)) / scales
    solution = flatten(fm.Problem(A, A.forward(X)))
    assert solution.certificate.holds
    assert np.linalg.norm(scales * (solution.matrix - X)) <= 1e-7 * np.linalg.norm(scales * X)


def test_unseen_rows_stay_zero():
    rng = np.random.default_rng(0)
    rows, cols = np.divmod(rng.choice(30, 24, replace=False), 5)
    L, R = rng.standard_normal((7, 1)), rng.standard_normal((6, 1))
    A = fm.measurements.Entries(rows + 1, cols, (7, 6))
    solution = flatten(fm.Problem(A, A.forward_factors(L, R)))
    assert solution.certificate.holds
    assert [u.tolist() for u in solution.undetermined] == [[0], [5]]
    assert not solution.matrix[0].any()
    assert not solution.matrix[:, 5].any()


def test_robust_pca_in_both_forms():
    problem = _usual("robust-pca", 1).problem
    by_weight = flatten(problem)
    limited = fm.Flattest.from_problem(problem).problem
    by_limit = flatten(limited)
    assert by_limit.matrix == pytest.approx(by_weight.matrix, abs=1e-6)
    assert by_weight.sparse + by_weight.matrix == pytest.approx(problem.data.reshape(problem.shape))
    unseen = replace(problem, measurement=fm.measurements.Entries([1, 1, 2], [0, 1, 0], (4, 3)), data=np.ones(3))
    assert [u.tolist() for u in flatten(unseen).undetermined] == [[0, 3], [2]]


def test_too_few_columns_are_not_certified():
    """Negative control: at rank one nothing fits data of rank two; at rank two the multiplier may prove nothing."""
    problem = _prototype(170, 2)
    assert flatten(problem, 1).status is Status.not_certified
    assert flatten(problem, 1).certificate.relative_residual > 0.1
    assert flatten(problem, 4).certificate.holds
    assert flatten(replace(problem, parametrization=fm.Product(1))).rank == 1


def test_odd_widths_of_signed_models():
    problem = _usual("quadratic-network", 1).problem
    solution = flatten(problem, 5)
    assert solution.certificate.holds
    assert solution.signature == fm.flat_minimum(problem).signature


@pytest.mark.slow
def test_data_that_nothing_fits():
    for noise in (0.1, 1e-4):
        problem = families.matrix_sensing.sample((10, 8), 2, 100, noise=noise).problem
        solution = flatten(problem)
        assert solution.status is Status.inconsistent_data
        assert not solution.certificate.holds
        core = fm.flat_minimum(problem)
        assert np.linalg.norm(solution.matrix - core.matrix) <= 1e-5 * np.linalg.norm(core.matrix)


def _sketches(noise, m=40):
    return families.covariance.sample(10, 2, m, noise=noise, seed=1).problem


def _general_gram():
    rng = np.random.default_rng(0)
    T = rng.standard_normal((30, 8, 8))
    return fm.Problem(fm.measurements.Dense(T + T.transpose(0, 2, 1)), rng.standard_normal(30), fm.Gram())


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "problem",
    [
        families.phase_retrieval.sample(10, 1, 80, noise=0.1, seed=1).problem,
        families.phase_retrieval.sample(10, 1, 80, noise=1e-5, seed=1).problem,
        _sketches(0.1),
        _sketches(0.1, m=90),
        fm.Problem(fm.measurements.RankOne(np.random.default_rng(0).standard_normal((10, 4))), -np.ones(10), fm.Gram()),
        _general_gram(),
    ],
    ids=["intensities", "a little noise", "sketches", "many sketches", "negative", "general"],
)
def test_data_that_no_semidefinite_matrix_fits(problem):
    """The residual of the best fit proves it; that fit is returned, as by the core."""
    solution, core = flatten(problem), fm.flat_minimum(problem)
    assert solution.status is core.status is Status.inconsistent_data
    assert not solution.certificate.holds
    assert solution.certificate.relative_residual == pytest.approx(core.certificate.relative_residual, rel=1e-6)
    assert np.linalg.norm(solution.matrix - core.matrix) <= 1e-4 * np.linalg.norm(core.matrix)


def test_too_few_columns_contradict_nothing():
    """Negative control: rank one does not fit data of rank two, and that is no contradiction between them."""
    problem = _sketches(0.0)
    assert flatten(problem).status.certified
    assert flatten(problem, 1).status is Status.not_certified


def test_coded_diffraction():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(12) + 1j * rng.standard_normal(12)
    masks = families.phase_retrieval.octanary_masks(8, (12,))
    problem = families.phase_retrieval.diffraction(signal, masks).problem
    solution = flatten(problem)
    assert solution.status is Status.unique_flat_minimum
    phase = np.vdot(solution.signal, signal)
    assert np.linalg.norm(solution.signal * phase / abs(phase) - signal) <= 1e-7 * np.linalg.norm(signal)


@pytest.mark.parametrize("size", [1e-100, 1e100])
def test_units_do_not_matter(size):
    problem = _prototype(170, 5)
    solution = flatten(replace(problem, data=size * problem.data))
    assert solution.certificate.holds
    assert solution.matrix / size == pytest.approx(flatten(problem).matrix, rel=1e-6)


def test_noise_that_can_be_fitted_is_fitted():
    problem = families.matrix_sensing.sample((20, 16), 2, 170, noise=0.1).problem
    solution = flatten(problem)
    assert solution.certificate.holds
    assert solution.certificate.value == pytest.approx(fm.flat_minimum(problem).certificate.value, rel=1e-7)


@pytest.mark.parametrize("parametrization", [fm.Product(), fm.Gram(), fm.SignedGram()])
def test_zero_data(parametrization):
    problem = fm.Problem(fm.measurements.RankOne(np.eye(3)), np.zeros(3), parametrization)
    solution = flatten(problem)
    assert solution.certificate.holds
    assert solution.rank == 0
    assert not solution.matrix.any()


def test_zero_data_of_robust_pca():
    solution = flatten(fm.Problem(fm.measurements.Identity((3, 2)), np.zeros(6), loss=Absolute()))
    assert solution.certificate.holds
    assert not solution.matrix.any()


def test_measurements_that_see_nothing_contradict_data():
    problem = fm.Problem(fm.measurements.Dense(np.zeros((2, 3, 2))), [1.0, 2.0])
    assert flatten(problem).status is Status.inconsistent_data


def test_it_is_deterministic_in_the_seed_and_leaves_global_ones_alone():
    problem = _prototype(110, 3)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (flatten(problem, seed=seed) for seed in (1, 1, 2))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert all((F == G).all() for F, G in zip(first.factors, again.factors, strict=True))
    assert not np.array_equal(first.history["trace"], other.history["trace"])
    assert other.matrix == pytest.approx(first.matrix, abs=1e-5 * np.abs(first.matrix).max())


def test_limits_history_and_settings():
    problem = _prototype(110, 4)
    rows = []
    short = flatten(problem, max_iter=50, callback=rows.append)
    assert short.status is Status.iteration_limit
    assert short.iterations == 50
    assert set(short.history) == {"iteration", "seconds", "residual", "gap", "rank", "loss", "trace"}
    assert [row["loss"] for row in rows] == short.history["loss"].tolist()
    for tiny in (0, 1):
        stopped = flatten(problem, max_iter=tiny)
        assert stopped.status is Status.iteration_limit
        assert stopped.iterations == tiny
        assert np.isfinite(stopped.matrix).all()
    assert flatten(problem, time_limit=0).status is Status.time_limit
    started = time.process_time()
    assert flatten(problem, time_limit=0.02, tol=1e-14).status is Status.time_limit
    assert time.process_time() - started < 2
    settings = flatten(problem, 9, tol=1e-7, seed=5).settings
    assert (settings["max_rank"], settings["tol"], settings["seed"]) == (9, 1e-7, 5)
    history = flatten(problem).history
    assert history["residual"][-1] <= 1e-9
    assert (np.diff(history["iteration"]) > 0).all()


def test_the_history_is_that_of_the_weights():
    """The trace in the history is the scaled trace: as it fits, it is the flattest value."""
    problem = _usual("quadratic-network", 2).problem
    solution = flatten(problem)
    assert solution.history["trace"][-1] == pytest.approx(solution.flatness.scaled_trace, rel=1e-7)
    first = flatten(problem, max_iter=12)
    assert first.history["loss"][-1] == pytest.approx(first.flatness.loss)
    assert first.history["trace"][-1] >= first.flatness.scaled_trace


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["matrix-sensing", "quadratic-network", "robust-pca", "covariance"])
def test_warm_starts(name):
    problem = _usual(name, 4).problem
    cold = flatten(problem)
    for start in (cold, cold.factors):
        warm = flatten(problem, warm_start=start)
        assert warm.certificate.holds
        assert warm.matrix == pytest.approx(cold.matrix, abs=1e-6 * np.abs(cold.matrix).max())


def test_bad_arguments_are_sentences():
    problem = _prototype(170, 0)
    hadamard = families.sparse_regression.sample(8, 2, 6).problem
    chain = replace(problem, parametrization=fm.Chain((5,)))
    wide = fm.Problem(fm.measurements.CodedDiffraction(np.ones((2, 10**6))), np.ones(2 * 10**6), fm.Gram())
    for wrong, message in [
        (lambda: flatten(problem.data), "problem is a ndarray, expected a flatmin Problem"),
        (lambda: flatten(problem, 0), "rank is 0, expected a whole number of at least 1"),
        (lambda: flatten(problem, 2.5), "rank is 2.5, expected a whole number"),
        (lambda: flatten(problem, tol=0), "tol is 0, expected a number"),
        (lambda: flatten(problem, max_iter=-1), "max_iter is -1"),
        (lambda: flatten(problem, time_limit=-1), "time_limit is -1"),
        (lambda: flatten(problem, seed=-1), "seed is -1"),
        (lambda: flatten(problem, warm_start=(np.ones((3, 1)), np.ones((16, 1)))), "L has shape"),
        (lambda: flatten(hadamard), r"Hadamard\(depth=2\), expected Product"),
        (lambda: flatten(chain), r"Chain\(widths=\(5,\)\), expected Product"),
        (lambda: flatten(wide), "training 1000000 columns would need about"),
    ]:
        with pytest.raises(fm.InputError, match=message):
            wrong()

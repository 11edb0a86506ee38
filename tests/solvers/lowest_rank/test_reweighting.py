"""The lowest rank that fits: below the flat threshold it is the truth, it is never called flat, and it says so."""

from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin.lab.recipes.reweighting import cells_for_every_line
from flatmin.solvers.lowest_rank.log_det import SCHEDULE

#: Family, shape, rank and number of measurements: enough for the lowest rank, too few for the flat minimum.
FEW = {
    "matrix-sensing": ((16, 12), 2, 70),
    "bilinear-sensing": ((16, 12), 2, 80),
    "matrix-completion": ((24, 20), 2, 160),
    "quadratic-network": (14, 2, 44),
}


ABOVE = ("matrix-sensing", (12, 10), 1, 80)


def sample(name, shape, rank, m, **kwargs):
    return fm.families.find(name).sample(shape, rank, m, **kwargs)


def error(X, truth):
    return np.linalg.norm(X - truth) / np.linalg.norm(truth)


@pytest.fixture(scope="module", params=FEW)
def few(request):
    """An instance with few data, its flat minimum and its matrix of lowest rank."""
    instance = sample(request.param, *FEW[request.param], seed=1)
    flat = fm.flat_minimum(instance.problem)
    return instance, flat, fm.reweighted_minimum(instance.problem, warm_start=flat)


@pytest.fixture(scope="module")
def sensing():
    return sample("matrix-sensing", *FEW["matrix-sensing"], seed=1)


class TestFewData:
    def test_the_truth_is_found_where_it_is_not_flattest(self, few):
        instance, flat, lowest = few
        assert flat.certificate.holds
        assert error(flat.matrix, instance.truth) > 1e-2
        assert lowest.status is fm.Status.low_rank_interpolant
        assert lowest.rank == np.linalg.matrix_rank(instance.truth)
        assert error(lowest.matrix, instance.truth) < 1e-10
        assert lowest.parts["local_injectivity"] > 1e-3

    def test_the_certificate_says_that_it_is_not_flattest(self, few):
        _, flat, lowest = few
        proof = lowest.certificate
        assert not proof.holds
        assert proof.unique is None
        assert proof.value > flat.certificate.value * (1 + 1e-4)
        assert proof.lower_bound == pytest.approx(flat.certificate.lower_bound, rel=1e-6)
        assert proof.relative_gap == pytest.approx(1 - flat.certificate.value / proof.value, abs=1e-6)

    def test_without_a_start_the_bound_is_still_one(self, few):
        instance, flat, lowest = few
        cold = fm.reweighted_minimum(instance.problem)
        assert error(cold.matrix, lowest.matrix) < 1e-10
        assert 0 < cold.certificate.lower_bound <= flat.certificate.value * (1 + 1e-6)

    def test_factors_are_the_flattest_of_their_matrix(self, few):
        lowest = few[2]
        assert lowest.flatness.scaled_trace == pytest.approx(lowest.flatness.fibre_minimum)
        assert lowest.flatness.scaled_trace == pytest.approx(lowest.certificate.value)


@pytest.mark.parametrize("seed", range(4))
def test_completion_with_twice_the_degrees_of_freedom(seed):
    instance = sample("matrix-completion", (80, 80), 3, 2 * 3 * 157, seed=seed)
    s = fm.reweighted_minimum(instance.problem)
    rows, cols = s.parts["loose_rows"], s.parts["loose_cols"]
    counts = np.bincount(instance.problem.measurement.rows, minlength=80)
    assert set(np.flatnonzero(counts < 3)) <= set(rows)
    kept = np.ix_(np.setdiff1d(np.arange(80), rows), np.setdiff1d(np.arange(80), cols))
    assert s.rank == 3
    assert error(s.matrix[kept], instance.truth[kept]) < 1e-10


@pytest.mark.sampled(3)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("condition", [10.0, 1e5, 1e10])
def test_singular_values_far_apart(condition, seed):
    rng = np.random.default_rng(seed)
    d, rank = 100, 3
    U, V = (np.linalg.qr(rng.standard_normal((d, rank)))[0] for _ in range(2))
    s = np.geomspace(condition, 1, rank)
    truth = (U * s) @ V.T
    seen = cells_for_every_line(d, round(2.2 * rank * (2 * d - rank)), rank + 1, rng)
    A = fm.measurements.Entries(*np.nonzero(seen), (d, d))
    found = fm.reweighted_minimum(fm.Problem(A, A.forward(truth)))
    assert found.status is fm.Status.low_rank_interpolant
    assert found.rank == rank, "which it is not told"
    assert np.linalg.norm(found.matrix - truth) < 1e-6 * s[-1] + 1e-12 * s[0], "the smallest component is resolved too"


def test_noise_ends_the_search_where_data_hold_no_more():
    instance = sample("matrix-completion", (40, 40), 2, 700, noise=1e-2, seed=0)
    found = fm.reweighted_minimum(instance.problem)
    assert found.status is not fm.Status.low_rank_interpolant
    assert min(found.history["smoothing"][:-1]) > SCHEDULE.hopeless_below / 10


@pytest.mark.parametrize(
    ("name", "d", "rank", "m", "extra"),
    [("covariance", 12, 2, 40, {}), ("phase-retrieval", 10, 1, 34, {}), ("phase-retrieval", 12, 1, 26, {"real": True})],
)
def test_semidefinite_models(name, d, rank, m, extra):
    instance = sample(name, d, rank, m, seed=2, **extra)
    s = fm.reweighted_minimum(instance.problem)
    truth = instance.truth if instance.truth.ndim == 2 else np.outer(instance.truth, instance.truth.conj())
    assert s.status is fm.Status.low_rank_interpolant
    assert s.rank == rank
    assert error(s.matrix, truth) < 1e-10
    assert s.certificate.holds, "with measurements of rank one every fit is equally flat"


def test_where_both_agree_the_certificate_holds_and_the_status_stays():
    instance = sample(*ABOVE, seed=0)
    s = fm.reweighted_minimum(instance.problem)
    assert s.certificate.holds
    assert s.certificate.unique is True
    assert s.status is fm.Status.low_rank_interpolant
    assert error(s.matrix, instance.truth) < 1e-10


class TestStatus:
    def test_success_is_no_certificate(self):
        for status in fm.Status:
            assert status.succeeded == (status.certified or status is fm.Status.low_rank_interpolant)
        assert not fm.Status.low_rank_interpolant.certified
        assert "flat" not in fm.Status.low_rank_interpolant.name
        assert "not proved" in fm.Status.low_rank_interpolant.value

    def test_no_failure_is_raised_for_a_fit_and_one_for_none(self, sensing):
        fm.reweighted_minimum(sensing.problem).raise_if_failed()
        with pytest.raises(fm.RecoveryError, match="time_limit"):
            fm.reweighted_minimum(sensing.problem, time_limit=0).raise_if_failed()

    def test_limits(self, sensing):
        assert fm.reweighted_minimum(sensing.problem, time_limit=0.0).status is fm.Status.time_limit
        s = fm.reweighted_minimum(sensing.problem, max_iter=2)
        assert s.status is fm.Status.iteration_limit
        assert s.iterations == 2
        s = fm.reweighted_minimum(sensing.problem, rounds=1, max_rank=1)
        assert s.status is fm.Status.not_certified

    def test_a_rank_too_small_fits_nothing(self, sensing):
        s = fm.reweighted_minimum(sensing.problem, max_rank=1)
        assert s.status is fm.Status.not_certified
        assert s.rank == 1
        assert s.certificate.relative_residual > 0.1
        assert fm.reweighted_minimum(sensing.problem, max_rank=2).rank == 2
        model = fm.Problem(sensing.problem.measurement, sensing.problem.data, fm.Product(rank=1))
        assert fm.reweighted_minimum(model).rank == 1

    def test_zero_data(self, sensing):
        s = fm.reweighted_minimum(fm.Problem(sensing.problem.measurement, np.zeros(70)))
        assert s.status is fm.Status.low_rank_interpolant
        assert s.rank == 0
        assert s.certificate.holds

    def test_cells_that_contradict_each_other(self):
        A = fm.measurements.Entries([0, 0, 1, 1, 0], [0, 1, 0, 1, 0], (2, 2))
        s = fm.reweighted_minimum(fm.Problem(A, [1.0, 2.0, 2.0, 4.0, 2.0]))
        assert s.status is fm.Status.inconsistent_data
        np.testing.assert_allclose(s.matrix, [[1.5, 2.0], [2.0, 4.0]], atol=1e-6)

    @pytest.mark.parametrize("stored", ["dense", "operator"])
    def test_measurements_that_depend_on_each_other(self, stored):
        rng = np.random.default_rng(0)
        T, truth = rng.standard_normal((18, 5, 4)), np.outer(np.arange(1.0, 6), [1.0, -1, 2, 0])
        T[16:] = T[0] + T[1], T[2] - T[3]
        A = fm.measurements.Dense(T)
        if stored == "operator":
            A = fm.measurements.FromLinearOperator(T.reshape(18, -1), (5, 4))
        data = A.forward(truth)
        s = fm.reweighted_minimum(fm.Problem(A, data))
        assert s.status is fm.Status.low_rank_interpolant
        assert error(s.matrix, truth) < 1e-9
        data[-1] += 1.0
        assert fm.reweighted_minimum(fm.Problem(A, data)).status is fm.Status.inconsistent_data

    def test_noise_leaves_no_low_rank_that_is_determined(self):
        noisy = sample("matrix-sensing", *FEW["matrix-sensing"], noise=0.1, seed=1).problem
        s = fm.reweighted_minimum(noisy)
        assert s.rank > 2 or s.status is not fm.Status.low_rank_interpolant
        if s.status is fm.Status.low_rank_interpolant:
            assert s.parts["local_injectivity"] == 0

    @pytest.mark.sampled(2)
    def test_data_that_no_semidefinite_matrix_fits(self):
        x = np.random.default_rng(0).standard_normal((9, 5))
        s = fm.reweighted_minimum(fm.Problem(fm.measurements.RankOne(x), -np.ones(9), fm.Gram()))
        assert not s.status.succeeded
        assert np.all(np.isfinite(s.matrix))


class TestArguments:
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("rounds", -1, "rounds is -1"),
            ("rounds", 1.5, "rounds is 1.5"),
            ("rounds", True, "rounds is True"),
            ("max_rank", 0, "max_rank is 0"),
            ("tol", 0.0, "tol is 0.0"),
            ("max_iter", -2, "max_iter is -2"),
            ("time_limit", -1.0, "time_limit is -1.0"),
            ("seed", None, "seed is None"),
            ("warm_start", (np.ones((3, 1)), np.ones((12, 1))), "L has shape"),
        ],
    )
    def test_bad_values_are_named(self, sensing, name, value, message):
        with pytest.raises(fm.InputError, match=message):
            fm.reweighted_minimum(sensing.problem, **{name: value})

    def test_other_models_are_refused(self):
        A = fm.measurements.Dense(np.ones((3, 5)))
        with pytest.raises(fm.InputError, match="Hadamard"):
            fm.reweighted_minimum(fm.Problem(A, np.ones(3), fm.Hadamard(2)))
        with pytest.raises(fm.InputError, match="expected a flatmin Problem"):
            fm.reweighted_minimum(np.eye(3))

    def test_history_callback_and_settings(self, sensing, tmp_path):
        rows = []
        s = fm.reweighted_minimum(sensing.problem, rounds=30, callback=rows.append)
        assert set(rows[0]) == set(s.history) == {"iteration", "seconds", "residual", "smoothing", "rank"}
        assert [row["residual"] for row in rows] == s.history["residual"].tolist()
        assert s.history["residual"][-1] < 1e-12
        assert s.settings["rounds"] == 30
        s.save(tmp_path / "s.npz")
        loaded = fm.Solution.load(tmp_path / "s.npz")
        assert loaded.claimed["status"] == s.status.name
        assert loaded.parts["local_injectivity"] == s.parts["local_injectivity"]

    def test_a_seed_repeats_and_does_not_matter(self, sensing):
        s, again, other = (fm.reweighted_minimum(sensing.problem, seed=seed) for seed in (3, 3, 4))
        np.testing.assert_array_equal(s.matrix, again.matrix)
        assert error(other.matrix, s.matrix) < 1e-10

    @pytest.mark.parametrize("c", [1e-9, 1e7])
    def test_units_do_not_matter(self, sensing, c):
        scaled = fm.Problem(sensing.problem.measurement, c * sensing.problem.data)
        s = fm.reweighted_minimum(scaled)
        assert error(s.matrix, c * sensing.truth) < 1e-10
        A = fm.measurements.Dense(c * sensing.problem.measurement.matrices())
        assert error(fm.reweighted_minimum(fm.Problem(A, sensing.problem.data)).matrix, sensing.truth / c) < 1e-10

    def test_a_start_that_fits_is_kept_unless_a_smaller_rank_fits(self, sensing):
        first = fm.reweighted_minimum(sensing.problem)
        s = fm.reweighted_minimum(sensing.problem, warm_start=first.factors)
        assert s.status is fm.Status.low_rank_interpolant
        assert error(s.matrix, first.matrix) < 1e-12
        instance = sample("matrix-completion", (30, 20), 2, 300, seed=0)
        flat = fm.flat_minimum(instance.problem)
        assert flat.rank == 3, "the flat minimum of these data fits at another rank than the lowest"
        s = fm.reweighted_minimum(instance.problem, warm_start=flat)
        assert s.rank == 2
        assert error(s.matrix, instance.truth) < 1e-10


def test_an_exact_fit_may_lose_rank_where_no_matrix_fits():
    """Intensities with an offset: the best semidefinite matrix of rank 4 near the data has rank 3."""
    problem = fm.families.find("phase-retrieval").sample((5, 5), rank=1, n_measurements=30, seed=4).problem
    problem = replace(problem, data=problem.data + 1)
    solution = fm.reweighted_minimum(problem, warm_start=fm.flat_minimum(problem))
    assert solution.status is fm.Status.inconsistent_data
    assert solution.certificate.relative_residual < 1

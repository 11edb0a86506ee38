"""Cross-validation: the folds, the errors against plain loops, the rules, and that nothing leaks."""

from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin.measurements import Entries
from flatmin.solvers.alphas.cross_validation import cross_validate
from flatmin.solvers.alphas.folds import splits


def sensing(seed=0, noise=0.5):
    return fm.families.matrix_sensing.sample((9, 7), 2, 90, noise=noise, seed=seed).problem


def completion(seed=0, noise=0.3):
    return fm.families.matrix_completion.sample((25, 20), 2, 250, noise=noise, seed=seed).problem


def network(seed=0):
    return fm.families.quadratic_network.sample(7, (1, 1), 60, noise=0.3, seed=seed).problem


def covariance(seed=0):
    return fm.families.covariance.sample(7, 1, 60, noise=0.3, seed=seed).problem


def held_out_error(problem, held, factors):
    part = fm.Problem(problem.measurement.take(held), problem.data[held], problem.parametrization)
    return np.mean(part.residual(factors) ** 2)


class TestFolds:
    @pytest.mark.parametrize("folds", [2, 5, 7])
    @pytest.mark.parametrize("make", [sensing, completion])
    def test_every_measurement_is_held_out_at_most_once(self, make, folds):
        p = make()
        found = splits(p, folds, None, 0)
        assert len(found) == folds
        held = np.concatenate([s.held_out for s in found])
        assert len(np.unique(held)) == len(held) >= 0.9 * len(p.data)
        for s in found:
            assert sorted([*s.training, *s.held_out]) == list(range(len(p.data)))
        sizes = [len(s.held_out) for s in found]
        assert max(sizes) - min(sizes) <= 0.3 * max(sizes)

    @pytest.mark.parametrize("seed", range(5))
    def test_rows_and_columns_of_held_out_cells_are_seen(self, seed):
        """With few cells a row would often lose all of them; those cells stay in training."""
        rng = np.random.default_rng(seed)
        A = Entries(rng.integers(0, 30, 70), rng.integers(0, 25, 70), (30, 25))
        found = splits(fm.Problem(A, rng.standard_normal(70)), 5, None, seed)
        for s in found:
            assert set(A.rows[s.held_out]) <= set(A.rows[s.training])
            assert set(A.cols[s.held_out]) <= set(A.cols[s.training])
        assert sum(len(s.held_out) for s in found) > 35

    def test_cells_of_a_row_are_spread_over_the_folds(self):
        p = completion()
        for s in splits(p, 5, None, 0):
            counts, held = (np.bincount(p.measurement.rows[i], minlength=25) for i in (slice(None), s.held_out))
            assert np.all(held <= np.ceil(counts / 5))

    def test_repeated_measurements_of_a_cell_stay_together(self):
        rng = np.random.default_rng(0)
        i, j = (np.tile(rng.integers(0, 12, 90), 2) for _ in range(2))
        found = splits(fm.Problem(Entries(i, j, (12, 12)), rng.standard_normal(180)), 4, None, 0)
        assert len(found) == 4
        for s in found:
            fitted, held = ({*zip(i[k], j[k], strict=True)} for k in (s.training, s.held_out))
            assert not fitted & held

    def test_groups_stay_together(self):
        groups = np.random.default_rng(0).integers(0, 12, 90)
        found = splits(sensing(), 4, groups, 0)
        owners = [set(groups[s.held_out]) for s in found]
        assert sum(len(o) for o in owners) == len(set(groups)) == len(set().union(*owners))
        assert max(len(s.held_out) for s in found) <= 40

    def test_labels_and_pairs_say_the_same(self):
        p = sensing()
        labels = np.arange(90) % 4 - 1
        pairs = [(labels != k, np.flatnonzero(labels == k)) for k in range(3)]
        for s, t in zip(splits(p, labels, None, 0), splits(p, iter(pairs), None, 0), strict=True):
            np.testing.assert_array_equal(s.training, t.training)
            np.testing.assert_array_equal(s.held_out, t.held_out)
        assert len(splits(p, labels.tolist(), None, 0)) == 3

    @pytest.mark.parametrize(
        ("folds", "groups", "words"),
        [
            (1, None, "folds is 1, expected a number from 2"),
            (91, None, "folds is 91"),
            (True, None, "folds is True"),
            ("five", None, "folds holds"),
            (None, None, "folds is None"),
            (2.5, None, "folds is 2.5"),
            ([], None, "no measurement can be held out"),
            (np.full(90, -1), None, "no measurement can be held out"),
            (np.zeros(90, int), None, "one fold holds out all"),
            (np.zeros(9, int), None, "folds has 9 labels, expected 90"),
            ([(np.arange(50), np.arange(40, 90))], None, "trains on a measurement that it holds out"),
            ([(np.arange(50), [90])], None, "outside of the measurements"),
            ([(np.arange(50), [])], None, "empty index array"),
            ([(np.arange(50),)], None, "is a tuple, expected two arrays"),
            (3, np.arange(89), "groups has shape"),
            (3, np.zeros(90), "there are 1 groups for 3 folds"),
            (np.arange(90) % 3, np.zeros(90), "groups were given"),
        ],
    )
    def test_bad_folds(self, folds, groups, words):
        with pytest.raises(fm.InputError, match=words):
            cross_validate(sensing(), folds=folds, groups=groups)

    def test_cells_that_cannot_be_spared(self):
        p = fm.Problem(Entries(np.arange(6), np.arange(6), (6, 6)), np.ones(6))
        with pytest.raises(fm.InputError, match="no measurement can be held out"):
            cross_validate(p, folds=3)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("make", [sensing, completion, network, covariance])
def test_errors_are_those_of_a_plain_loop(make):
    p, powers, alphas = make(), (1.0, 0.5), [1.0, 0.2, 0.05]
    alphas = fm.solvers.alpha_max(p) * np.array([0.5, 0.2, 0.05])
    cv = cross_validate(p, alphas=alphas, metric_powers=powers, folds=3, fold_tol=1e-9, early_stop=False, seed=1)
    assert cv.errors.shape == (2, 3, 3)
    for k, s in enumerate(splits(p, 3, None, 1)):
        part = fm.Problem(p.measurement.take(s.training), p.data[s.training], p.parametrization)
        assert cv.sizes[k] == len(s.held_out)
        for i, power in enumerate(powers):
            for j, alpha in enumerate(alphas):
                solution = fm.flat_minimum(part, alpha=alpha, metric_power=power)
                expected = held_out_error(p, s.held_out, solution.factors)
                assert cv.errors[i, j, k] == pytest.approx(expected, rel=1e-4)
                assert cv.ranks[i, j, k] == solution.rank
    best = np.unravel_index(np.argmin(cv.mean), cv.mean.shape)
    assert cv.best == cv.chosen == tuple(best)
    final = fm.flat_minimum(p, alpha=cv.alpha, metric_power=cv.metric_power)
    assert cv.solution.status is fm.Status.regularized_minimum
    assert cv.solution.certificate.value == pytest.approx(final.certificate.value, rel=1e-7)


@pytest.mark.parametrize("make", [sensing, network])
def test_coarse_folds_hardly_change_the_errors(make):
    p = make()
    coarse, fine = (cross_validate(p, n_alphas=8, folds=3, fold_tol=tol, early_stop=False) for tol in (1e-3, 1e-9))
    np.testing.assert_allclose(coarse.errors, fine.errors, rtol=0.02)
    assert np.all(coarse.gaps <= 1e-3)
    assert np.all(fine.gaps <= 1e-9)
    assert coarse.mean[coarse.best] == pytest.approx(fine.mean[fine.best], rel=3e-3)


def test_held_out_data_are_not_seen():
    """Moved by ±1, they must change the error as if predictions were fixed: E(+1) + E(−1) − 2 E(0) = 2."""
    p = completion()
    labels = np.arange(250) % 3
    moved = [replace(p, data=p.data + shift * (labels == 0)) for shift in (0.0, 1.0, -1.0)]
    zero, plus, minus = (cross_validate(q, alphas=[2.0, 0.5, 0.2], folds=labels, early_stop=False) for q in moved)
    np.testing.assert_allclose((plus.errors + minus.errors - 2 * zero.errors)[..., 0], 2, rtol=1e-9)
    assert np.abs((plus.errors + minus.errors - 2 * zero.errors)[..., 1:] - 2).min() > 0.01


def test_mean_and_standard_error_weigh_folds_by_their_size():
    cv = cross_validate(sensing(), alphas=[1.0, 0.3], folds=np.repeat([0, 0, 0, 1, 1, 2], 15), early_stop=False)
    assert cv.sizes.tolist() == [45, 30, 15]
    expected = np.average(cv.errors, axis=2, weights=cv.sizes)
    np.testing.assert_allclose(cv.mean, expected)
    spread = np.average((cv.errors - expected[..., None]) ** 2, axis=2, weights=cv.sizes)
    np.testing.assert_allclose(cv.standard_error, np.sqrt(spread / 2))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("seed", range(3))
def test_the_rule_of_one_standard_error_takes_the_strongest_that_is_as_good(seed):
    p = sensing(seed, noise=1.0)
    one = cross_validate(p, n_alphas=15, rule="one_standard_error", seed=seed)
    best = cross_validate(p, n_alphas=15, seed=seed)
    assert best.chosen == one.best
    allowed = one.mean[one.best] + one.standard_error[one.best]
    i, j = one.chosen
    assert one.mean[i, j] <= allowed
    assert np.all(one.mean[i, :j] > allowed)
    assert one.alpha >= best.alpha
    assert one.solution.rank <= best.solution.rank


@pytest.mark.sampled(1)
@pytest.mark.parametrize("seed", range(2))
def test_stopping_early_leaves_out_what_would_not_be_chosen(seed):
    p = completion(seed, noise=1.0)
    soon, all_of_it = (
        cross_validate(p, n_alphas=14, ratio=0.002, early_stop=early, seed=seed) for early in (True, False)
    )
    assert soon.chosen == all_of_it.chosen
    seen = ~np.isnan(soon.errors)
    assert not seen.all()
    assert not np.isnan(all_of_it.errors).any()
    np.testing.assert_array_equal(soon.errors[seen], all_of_it.errors[seen])
    assert np.all(soon.ranks[~seen] == -1)
    assert soon.solution.certificate.value == pytest.approx(all_of_it.solution.certificate.value)


def test_the_metric_is_chosen_too():
    """Rows that are seen unevenly often; the power is that of the least error, one standard error keeps it."""
    p = completion()
    cv = cross_validate(p, n_alphas=8, metric_powers=[0.0, 0.5, 1.0], rule="one_standard_error")
    assert cv.metric_powers.tolist() == [0.0, 0.5, 1.0]
    assert cv.chosen[0] == cv.best[0] == np.unravel_index(np.nanargmin(cv.mean), cv.mean.shape)[0]
    assert cv.solution.settings["metric_power"] == cv.metric_power
    tops = [fm.solvers.alpha_max(p, metric_power=power) for power in (0.0, 0.5, 1.0)]
    assert cv.alphas[0] == pytest.approx(max(tops))


def test_weights_of_measurements_weigh_their_errors():
    p = sensing()
    weights = np.random.default_rng(0).uniform(0.5, 2, 90)
    q = fm.Problem(p.measurement.weighted(weights), weights * p.data)
    cv = cross_validate(q, alphas=[0.5], folds=3)
    for k, s in enumerate(splits(q, 3, None, 0)):
        part = fm.Problem(q.measurement.take(s.training), q.data[s.training])
        X = fm.flat_minimum(part, alpha=0.5).matrix
        error = np.mean((weights * (p.measurement.forward(X) - p.data))[s.held_out] ** 2)
        assert cv.errors[0, 0, k] == pytest.approx(error, rel=0.02)


def test_a_pair_of_problems_may_be_prepared_for_each_fold():
    """Here the mean of the training data is subtracted from both."""
    p = completion()
    p = replace(p, data=p.data + 50)
    seen = []

    def centred(training, held_out):
        seen.append((training, held_out))
        mean = p.data[training].mean()
        return tuple(fm.Problem(p.measurement.take(i), p.data[i] - mean) for i in (training, held_out))

    full = replace(p, data=p.data - p.data.mean())
    cv = cross_validate(full, n_alphas=6, folds=4, pair=centred)
    assert [h.tolist() for _, h in seen] == [s.held_out.tolist() for s in splits(full, 4, None, 0)]
    plain = cross_validate(full, alphas=cv.alphas, folds=4)
    assert cv.mean[cv.best] == pytest.approx(plain.mean[plain.best], rel=0.1)
    assert cv.mean[cv.best] != plain.mean[plain.best]


def test_threads_do_not_change_the_answer():
    p = sensing()
    one, two = (cross_validate(p, n_alphas=6, metric_powers=(1.0, 0.0), n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one.errors, two.errors)
    assert one.chosen == two.chosen


def test_a_fold_that_was_not_solved_says_so():
    cv = cross_validate(completion(), alphas=[0.5], max_iter=1)
    assert cv.gaps.min() > 1e-3
    assert cv.solution.status is fm.Status.iteration_limit


def test_an_edge_is_pointed_out():
    p = completion(noise=0.0)
    cv = cross_validate(p, alphas=[3.0, 1.0, 0.3])
    assert cv.at_edge
    assert not cross_validate(completion(noise=1.0), n_alphas=12).at_edge


def test_data_of_zero_have_the_solution_zero():
    p = replace(sensing(), data=np.zeros(90))
    cv = cross_validate(p, n_alphas=3)
    assert cv.solution.rank == 0
    assert cv.solution.certificate.holds
    assert np.all(cv.errors == 0)


def test_progress_is_reported():
    rows = []
    cv = cross_validate(sensing(), n_alphas=4, metric_powers=(0.0, 1.0), early_stop=False, callback=rows.append)
    assert [set(row) for row in rows] == [{"metric_power", "alpha", "error", "rank"}] * 8
    assert sorted(row["error"] for row in rows) == pytest.approx(sorted(cv.mean.ravel()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_nearly_low_rank_data_are_predicted_about_as_well_as_by_the_best_strength(seed):
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((d, d)))[0] for d in (40, 30))
    X = (U[:, :30] * np.arange(1.0, 31) ** -1.0) @ V.T
    rows, cols = np.divmod(rng.choice(1200, 600, replace=False), 30)
    b = X[rows, cols] + 0.1 * np.std(X) * rng.standard_normal(600)
    p = fm.Problem(Entries(rows, cols, (40, 30)), b)
    cv = cross_validate(p, n_alphas=12, seed=seed)
    errors = [np.linalg.norm(s.matrix - X) for s in fm.solvers.flat_path(p, cv.alphas, tol=1e-4).solutions]
    assert not cv.at_edge
    assert np.linalg.norm(cv.solution.matrix - X) <= 1.05 * min(errors)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rule": "one_se"}, "rule is 'one_se', expected 'best' or 'one_standard_error'"),
        ({"rule": 1}, "rule is 1"),
        ({"metric_powers": []}, "metric_powers is empty"),
        ({"metric_powers": [1.0, 2.0]}, "metric_power is 2.0"),
        ({"metric_powers": "flat"}, "metric_power is 'flat'"),
        ({"alphas": [0.0]}, "one or more positive"),
        ({"n_alphas": 0}, "n_alphas is 0"),
        ({"fold_tol": 0.0}, "tol is 0.0"),
        ({"max_rank": 0}, "max_rank is 0"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"n_jobs": "all"}, "n_jobs is 'all'"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(fm.InputError, match=words):
        cross_validate(sensing(), **arguments)


def test_gross_errors_cannot_be_held_out():
    p = fm.Problem(fm.measurements.Identity((4, 4)), np.ones(16), loss=fm.losses.Absolute())
    with pytest.raises(fm.InputError, match="expected Squared"):
        cross_validate(p, alphas=[1.0])

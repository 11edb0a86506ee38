"""Samples and files of robust PCA."""

import numpy as np
import pytest

import flatmin as fm

SAMPLE = fm.families.robust_pca.sample
FAMILY = fm.families.find("robust-pca")


def test_errors_are_gross_few_and_of_both_signs():
    instance = SAMPLE((60, 50), 2, corruption=0.1, seed=0)
    clean = instance.problem.measurement.forward(instance.truth)
    errors = instance.problem.data - clean
    wrong = np.abs(errors) > 1e-9
    assert wrong.sum() == 300
    typical = np.sqrt(np.mean(clean**2))
    assert np.abs(errors[wrong]).min() >= typical * (1 - 1e-9)
    assert np.abs(errors[wrong]).max() <= 3 * typical * (1 + 1e-9)
    assert 0.3 < np.mean(errors[wrong] > 0) < 0.7
    assert np.linalg.matrix_rank(instance.truth) == 2


def test_errors_are_spread_evenly():
    """Of many draws every cell gets its share."""
    counts = np.zeros(30)
    for seed in range(400):
        instance = SAMPLE((6, 5), 1, corruption=0.2, seed=seed)
        counts += np.abs(instance.problem.data - instance.problem.measurement.forward(instance.truth)) > 1e-9
    assert counts.sum() == 400 * 6
    assert np.all(np.abs(counts - 80) < 4.5 * np.sqrt(400 * 0.2 * 0.8))


def test_observed_cells():
    assert isinstance(SAMPLE((6, 5), 1).problem.measurement, fm.measurements.Identity)
    A = SAMPLE((6, 5), 1, 20).problem.measurement
    assert (A.size, len(set(zip(A.rows.tolist(), A.cols.tolist(), strict=True)))) == (20, 20)
    assert SAMPLE((6, 5), 1, 30).problem.measurement.size == 30


def test_samples_repeat_and_noise_changes_nothing_else():
    one, same, other = (SAMPLE((8, 7), 1, 40, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.problem.data, same.problem.data)
    assert not np.array_equal(one.truth, other.truth)
    noisy = SAMPLE((8, 7), 1, 40, noise=0.1)
    np.testing.assert_array_equal(noisy.truth, one.truth)
    assert 0 < np.linalg.norm(noisy.problem.data - one.problem.data) < 0.3 * np.linalg.norm(one.problem.data)
    assert isinstance(one.problem.loss, fm.losses.Absolute)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corruption": -0.1}, "corruption is -0.1, expected a number from 0 to 1"),
        ({"corruption": 1.5}, "corruption is 1.5"),
        ({"corruption": np.nan}, "corruption is nan"),
        ({"corruption": "much"}, "corruption is 'much'"),
        ({"n_measurements": 31}, "31 measurements were asked for, expected at most the 30 entries"),
        ({"n_measurements": 0}, "number of measurements is 0"),
        ({"rank": 9}, "rank is 9"),
        ({"shape": (0, 5)}, "shape is"),
    ],
)
def test_arguments_out_of_range_are_refused(changes, message):
    with pytest.raises(fm.InputError, match=message):
        SAMPLE(**({"shape": (6, 5), "rank": 1} | changes))


def test_arrays_mark_holes_and_build_the_same_problem():
    for m in (None, 20):
        problem = SAMPLE((6, 5), 1, m, noise=0.1).problem
        arrays = FAMILY.arrays(problem)
        assert np.isnan(arrays["Y"]).sum() == 30 - problem.measurement.size
        again = FAMILY.build(arrays)
        np.testing.assert_array_equal(again.data, problem.data)
        assert type(again.measurement) is type(problem.measurement)
        np.testing.assert_array_equal(again.measurement.rows, problem.measurement.rows)
    assert FAMILY.holes == {"Y"}


def test_cells_of_a_table_build_a_problem():
    arrays = FAMILY.from_cells(np.array([0, 1]), np.array([1, 0]), np.array([2.0, 3.0]), (2, 2))
    np.testing.assert_array_equal(arrays["Y"], [[np.nan, 2], [3, np.nan]])
    assert FAMILY.build(arrays).data.tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (np.zeros(3), r"Y has shape \(3,\), expected a matrix"),
        (np.zeros((0, 2)), r"Y has shape \(0, 2\)"),
        (np.full((2, 2), np.nan), "Y has no number"),
        (np.array([[1.0, np.inf]]), "contains NaN or infinity"),
        (1j * np.eye(2), "complex"),
        (np.array([["a", "b"]]), "Y holds .* values, expected numbers"),
    ],
)
def test_bad_arrays_are_refused(Y, message):
    with pytest.raises(fm.InputError, match=message):
        FAMILY.build({"Y": Y})


def test_the_answer_has_its_errors():
    instance = SAMPLE((30, 30), 1, 800, corruption=0.05)
    s = fm.flat_minimum(instance.problem)
    parts = FAMILY.parts(instance.problem, s)
    assert list(parts) == ["sparse"]
    Y = FAMILY.arrays(instance.problem)["Y"]
    known = ~np.isnan(Y)
    np.testing.assert_allclose((s.low_rank + parts["sparse"])[known], Y[known], atol=1e-10)
    assert FAMILY.relative_error(instance.problem, s, instance.truth) < 1e-9


@pytest.mark.parametrize("shape", [(30, 30), (40, 24)])
def test_recovery_regime(shape):
    """With few errors in a matrix of rank one, flat minima are the truth in every draw."""
    for seed in range(5):
        instance = SAMPLE(shape, 1, corruption=0.05, seed=seed)
        s = fm.flat_minimum(instance.problem)
        assert s.certificate.unique
        assert np.linalg.norm(s.matrix - instance.truth) <= 1e-9 * np.linalg.norm(instance.truth)

"""The models of the paper: samples, files, and what they promise."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.families import Family

FAMILIES = fm.families.names()


@pytest.fixture(params=FAMILIES)
def family(request):
    return fm.families.find(request.param)


def _sample(family, *, noise=0.0, seed=0, rank=2, m=15):
    return family.sample((6, 5), rank, m, noise=noise, seed=seed)


def test_registry(family):
    assert isinstance(family, Family)
    module = getattr(fm.families, family.name.replace("-", "_"))
    assert module.FAMILY is family
    assert module.sample is family.sample
    assert {"matrix-sensing", "bilinear-sensing", "matrix-completion"} <= set(FAMILIES)
    assert family.title
    assert family.keys


def test_unknown_names_are_refused_with_a_list():
    with pytest.raises(fm.InputError, match=r"no family 'nonsense', expected one of .*matrix-sensing"):
        fm.families.find("nonsense")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        fm.families.nonsense  # noqa: B018


def test_samples_fit_their_truth(family):
    inst = _sample(family)
    assert inst.truth.shape == inst.problem.shape == (6, 5)
    assert np.linalg.matrix_rank(inst.truth) == 2
    assert inst.problem.measurement.size == 15
    np.testing.assert_allclose(inst.problem.measurement.forward(inst.truth), inst.problem.data, atol=1e-12)


def test_samples_repeat_and_differ(family):
    one, same, other = _sample(family), _sample(family), _sample(family, seed=1)
    np.testing.assert_array_equal(one.problem.data, same.problem.data)
    np.testing.assert_array_equal(one.truth, same.truth)
    assert not np.array_equal(one.truth, other.truth)


def test_noise_is_relative_to_the_clean_data(family):
    ratios = []
    for seed in range(20):
        inst = family.sample((12, 10), 2, 100, noise=0.1, seed=seed)
        clean = inst.problem.measurement.forward(inst.truth)
        ratios.append(np.sqrt(np.mean((inst.problem.data - clean) ** 2) / np.mean(clean**2)))
    assert np.mean(ratios) == pytest.approx(0.1, abs=4 * np.std(ratios) / np.sqrt(20))


def test_noise_leaves_problem_and_truth_as_they_are(family):
    clean, noisy = _sample(family), _sample(family, noise=0.5)
    np.testing.assert_array_equal(clean.truth, noisy.truth)
    np.testing.assert_array_equal(clean.problem.measurement.matrices(), noisy.problem.measurement.matrices())


def test_arrays_build_the_same_problem(family):
    problem = _sample(family, noise=0.1).problem
    arrays = family.arrays(problem)
    assert set(arrays) == set(family.keys)
    again = family.build(arrays)
    np.testing.assert_array_equal(again.data, problem.data)
    np.testing.assert_array_equal(again.measurement.matrices(), problem.measurement.matrices())


def test_rank_zero_and_shape_one(family):
    zero = _sample(family, rank=0)
    assert not zero.truth.any()
    s = fm.flat_minimum(zero.problem)
    assert (s.rank, s.status) == (0, fm.Status.unique_flat_minimum)
    assert fm.flat_minimum(family.sample((1, 1), 1, 1).problem).certificate.holds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": -1}, "rank is -1, expected a whole number from 0 to 5"),
        ({"rank": 6}, "rank is 6, expected"),
        ({"rank": 1.5}, "rank is 1.5, expected"),
        ({"shape": (0, 5)}, "shape is"),
        ({"shape": 5}, "shape is"),
        ({"n_measurements": 0}, "number of measurements is 0, expected a positive"),
        ({"n_measurements": 2.0}, "number of measurements is 2.0"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"noise": np.nan}, "noise is nan"),
    ],
)
def test_arguments_out_of_range_are_refused(family, changes, message):
    arguments = {"shape": (6, 5), "rank": 2, "n_measurements": 10} | changes
    with pytest.raises(fm.InputError, match=message):
        family.sample(**arguments)


def test_samples_that_do_not_fit_in_memory_are_refused(family, monkeypatch):
    monkeypatch.setattr("flatmin._memory.available_bytes", lambda: 100.0)
    with pytest.raises(fm.InputError, match=r"GiB are free"):
        _sample(family)


def test_completion_draws_distinct_entries():
    A = fm.families.matrix_completion.sample((6, 5), 1, 30).problem.measurement
    assert len(set(zip(A.rows.tolist(), A.cols.tolist(), strict=True))) == 30
    with pytest.raises(fm.InputError, match="31 measurements were asked for, expected at most the 30 entries"):
        fm.families.matrix_completion.sample((6, 5), 1, 31)


@pytest.mark.parametrize(
    ("name", "m"), [("matrix-sensing", 150), ("bilinear-sensing", 170), ("matrix-completion", 175)]
)
def test_recovery_regime(name, m):
    """Well above r (d1 + d2) measurements, flat minima are the truth in every draw."""
    for seed in range(5):
        inst = fm.families.find(name).sample((16, 14), 1, m, seed=seed)
        s = fm.flat_minimum(inst.problem)
        assert s.certificate.unique
        assert np.linalg.norm(s.matrix - inst.truth) <= 1e-7 * np.linalg.norm(inst.truth)

"""The models of the paper: samples, files, and what they promise."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.families import Family
from flatmin.losses import Absolute
from tests.families.sizes import rank_of, shape_of

FAMILIES = fm.families.names()


@pytest.fixture(params=FAMILIES)
def family(request):
    return fm.families.find(request.param)


SQUARE = [name for name in FAMILIES if fm.families.find(name).is_square]


def _shape(family):
    return shape_of(family, 6, 5)


def _sample(family, *, noise=0.0, seed=0, rank=None, m=15, shape=None):
    rank, shape = rank_of(family) if rank is None else rank, _shape(family) if shape is None else shape
    return family.sample(shape, rank, m, noise=noise, seed=seed)


def _matrix(inst):
    """Return the matrix behind the data: of a signal, its outer product."""
    return np.outer(inst.truth, inst.truth.conj()) if inst.truth.ndim == 1 else inst.truth


def _misfit(inst):
    """Return the data less what the truth would give."""
    return inst.problem.data - inst.problem.measurement.forward(_matrix(inst))


def test_registry(family):
    assert isinstance(family, Family)
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
    assert _matrix(inst).shape == inst.problem.shape == _shape(family)
    assert np.linalg.matrix_rank(_matrix(inst)) == rank_of(family)
    assert inst.problem.measurement.size == 15
    wrong = np.abs(_misfit(inst)) > 1e-12
    assert np.count_nonzero(wrong) == (2 if isinstance(inst.problem.loss, Absolute) else 0)  # a tenth has gross errors


def test_samples_repeat_and_differ(family):
    one, same, other = _sample(family), _sample(family), _sample(family, seed=1)
    np.testing.assert_array_equal(one.problem.data, same.problem.data)
    np.testing.assert_array_equal(one.truth, same.truth)
    assert not np.array_equal(one.truth, other.truth)


def test_noise_is_relative_to_the_clean_data(family):
    ratios = []
    for seed in range(20):
        shape = shape_of(family, 12, 10)
        inst, without = (_sample(family, shape=shape, m=100, noise=noise, seed=seed) for noise in (0.1, 0.0))
        clean = inst.problem.measurement.forward(_matrix(inst))
        ratios.append(np.sqrt(np.mean((inst.problem.data - without.problem.data) ** 2) / np.mean(clean**2)))
    assert np.mean(ratios) == pytest.approx(0.1, abs=4 * np.std(ratios) / np.sqrt(20))


def test_noise_leaves_problem_and_truth_as_they_are(family):
    clean, noisy = _sample(family), _sample(family, noise=0.5)
    np.testing.assert_array_equal(clean.truth, noisy.truth)
    np.testing.assert_array_equal(clean.problem.measurement.matrices(), noisy.problem.measurement.matrices())


def test_arrays_build_the_same_problem(family):
    problem = _sample(family, noise=0.1).problem
    arrays = family.arrays(problem)
    assert set(family.keys) - family.optional <= set(arrays) <= set(family.keys)
    again = family.build(arrays)
    np.testing.assert_array_equal(again.data, problem.data)
    np.testing.assert_array_equal(again.measurement.matrices(), problem.measurement.matrices())


def test_rank_zero_and_shape_one(family):
    if family.usual.rank > 1 and not isinstance(_sample(family).problem.loss, Absolute):
        zero = _sample(family, rank=0)
        assert not zero.truth.any()
        s = fm.flat_minimum(zero.problem)
        assert (s.rank, s.status) == (0, fm.Status.unique_flat_minimum)
    assert fm.flat_minimum(family.sample((1, 1), 1, 1).problem).certificate.holds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": -1}, "rank is -1, expected"),
        ({"rank": 7}, "rank is 7, expected"),
        ({"rank": 1.5}, "rank is 1.5, expected"),
        ({"shape": (0, 0)}, "shape is"),
        ({"shape": (5, 5, 5)}, "shape is"),
        ({"shape": "many"}, "shape is"),
        ({"n_measurements": 0}, "number of measurements is 0, expected a positive"),
        ({"n_measurements": 2.0}, "number of measurements is 2.0"),
        ({"noise": -0.1}, "noise is -0.1"),
        ({"noise": np.nan}, "noise is nan"),
    ],
)
def test_arguments_out_of_range_are_refused(family, changes, message):
    arguments = {"shape": _shape(family), "rank": rank_of(family), "n_measurements": 10} | changes
    with pytest.raises(fm.InputError, match=message):
        family.sample(**arguments)


def test_samples_that_do_not_fit_in_memory_are_refused(family, monkeypatch):
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 100.0)
    with pytest.raises(fm.InputError, match=r"GiB are free"):
        _sample(family)


@pytest.mark.parametrize("name", SQUARE)
def test_square_families_take_a_dimension_and_nothing_else(name):
    family = fm.families.find(name)
    one, same = family.sample(6, 1, 15).problem, family.sample((6, 6), 1, 15).problem
    np.testing.assert_array_equal(one.data, same.data)
    with pytest.raises(fm.InputError, match=r"shape is \(6, 5\), expected a dimension d or \(d, d\)"):
        family.sample((6, 5), 1, 15)


def test_completion_draws_distinct_entries():
    A = fm.families.matrix_completion.sample((6, 5), 1, 30).problem.measurement
    assert len(set(zip(A.rows.tolist(), A.cols.tolist(), strict=True))) == 30
    with pytest.raises(fm.InputError, match="31 measurements were asked for, expected at most the 30 entries"):
        fm.families.matrix_completion.sample((6, 5), 1, 31)


@pytest.mark.parametrize(
    ("name", "shape", "m"),
    [
        ("matrix-sensing", (16, 14), 150),
        ("bilinear-sensing", (16, 14), 170),
        ("matrix-completion", (16, 14), 175),
        ("covariance", (16, 16), 80),
        ("phase-retrieval", (16, 16), 130),
        ("quadratic-network", (16, 16), 110),
        ("robust-pca", (40, 30), None),
    ],
)
def test_recovery_regime(name, shape, m):
    """Well above the number of degrees of freedom, flat minima are the truth in every draw."""
    family = fm.families.find(name)
    for seed in range(5):
        inst = family.sample(shape, 1, m, seed=seed)
        s = fm.flat_minimum(inst.problem)
        assert s.certificate.unique
        assert family.relative_error(inst.problem, s, inst.truth) <= 1e-7

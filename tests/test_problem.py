"""A measurement map, its data and a parametrization."""

import pickle

import numpy as np
import pytest

import flatmin as fm

A = fm.measurements.Entries([0, 1, 1], [0, 1, 2], (2, 3))


@pytest.mark.parametrize(
    ("measurement", "data", "message"),
    [
        (np.eye(2), [1, 2], "measurement is a ndarray, expected a flatmin Measurement"),
        (A, [1, 2], r"shape \(2,\), expected \(3,\): one value a measurement"),
        (A, [[1, 2, 3]], "expected"),
        (A, 1.0, "expected"),
        (A, [1, 2, np.nan], "NaN or infinity"),
        (A, [1, 2, -np.inf], "NaN or infinity"),
        (A, [1, 2, 3j], "the data b is complex, expected real numbers"),
        (A, ["1", "2", "x"], "expected numbers"),
        (fm.measurements.RankOne(np.ones((1, 2)) * 1j), [1.0], "sensing matrices are complex, expected real ones"),
        (fm.measurements.Dense(np.ones((1, 2, 2)) * 1j), [1.0], "sensing matrices are complex, expected real ones"),
    ],
)
def test_refused(measurement, data, message):
    with pytest.raises(fm.InputError, match=message) as caught:
        fm.Problem(measurement, data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [int, np.float32, np.uint8, bool])
def test_other_number_types_are_converted(dtype):
    assert fm.Problem(A, np.array([1, 0, 1], dtype=dtype)).data.dtype == float


def test_residual_and_loss():
    p = fm.Problem(A, [1.0, 2.0, 3.0])
    factors = np.ones((2, 1)), np.array([[1.0], [2.0], [5.0]])
    np.testing.assert_array_equal(p.residual(factors), [0, 0, 2])
    assert p.loss.value(p.residual(factors)) == pytest.approx(4 / 3)


def test_is_frozen_and_survives_pickling():
    p = fm.Problem(A, [1.0, 2.0, 3.0], fm.Product(2))
    with pytest.raises(AttributeError):
        p.data = np.zeros(3)
    again = pickle.loads(pickle.dumps(p))
    np.testing.assert_array_equal(again.data, p.data)
    assert again.parametrization == p.parametrization
    np.testing.assert_array_equal(again.measurement.rows, A.rows)

"""robust_pca: bad input is refused in one sentence."""

import numpy as np
import pytest

import flatmin as fm

Y = np.eye(3)


BAD = {
    "complex": ((1j * Y,), "Y is complex"),
    "text": (([["a", "b"]],), "Y holds .* values, expected numbers"),
    "ragged": (([[1, 2], [3]],), "Y is ragged"),
    "vector": (([1.0, 2.0],), r"Y has shape \(2,\), expected a matrix"),
    "empty": ((np.zeros((0, 3)),), r"Y has shape \(0, 3\)"),
    "infinite": ((np.diag([1, np.inf]),), "Y contains NaN or infinity"),
    "all missing": ((np.full((2, 2), np.nan),), "Y has no observed cell"),
    "all masked": ((Y, np.zeros((3, 3), bool)), "Y has no observed cell"),
    "mask of another shape": ((Y, np.ones((2, 3), bool)), r"the mask has shape \(2, 3\), expected \(3, 3\)"),
    "mask of other values": ((Y, 2 * Y), "the mask holds other values than True and False"),
    "weight zero": ((Y, None, 0.0), "weight is 0.0, expected a positive finite number"),
    "weight as text": ((Y, None, "1"), "weight is '1', expected a positive finite number"),
    "weight infinite": ((Y, None, np.inf), "weight is inf"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_sentence(name):
    arguments, message = BAD[name]
    with pytest.raises(fm.InputError, match=message) as caught:
        fm.robust_pca(*arguments)
    assert "\n" not in str(caught.value)


def test_bad_arguments_are_refused():
    cells = fm.measurements.Entries([0, 1], [0, 1], (3, 3))
    robust = fm.Problem(cells, [1.0, 2.0], loss=fm.losses.Absolute())
    for call, message in (
        (lambda: fm.robust_pca(Y, None, 1.0, tau=1.0), "weight and tau are both given"),
        (lambda: fm.robust_pca(Y, tau=-1), "tau is -1, expected a finite number of at least 0"),
        (lambda: fm.robust_pca(Y, tau=np.nan), "tau is nan"),
        (lambda: fm.robust_pca(Y, tol=0), "tol is 0"),
        (lambda: fm.flat_minimum(robust, metric_power=0.5), "metric_power is 0.5, expected its default"),
        (lambda: fm.certify(robust, np.zeros((3, 3)), metric_power=0.5), "metric_power is 0.5, expected its default"),
        (lambda: fm.certify(robust, np.zeros((3, 3)), [1.0]), r"the dual has shape \(1,\), expected \(2,\)"),
        (lambda: fm.Problem(cells, [1, 2], loss="absolute"), "loss is a str"),
        (
            lambda: fm.Problem(cells.weighted([1, 2]), [1, 2], loss=fm.losses.Absolute()),
            "expected Identity, Mask or unweighted",
        ),
        (
            lambda: fm.Problem(fm.measurements.Entries([1, 1], [0, 0], (2, 2)), [1, 2], loss=fm.losses.Absolute()),
            "the entry in row 1, column 0 is observed twice",
        ),
        (
            lambda: fm.Problem(cells, [1, 2], fm.Gram(), loss=fm.losses.Absolute()),
            "parametrization|symmetric",
        ),
    ):
        with pytest.raises(fm.InputError, match=message):
            call()


def test_what_does_not_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 1000.0)
    with pytest.raises(fm.InputError, match="splitting this matrix would need"):
        fm.robust_pca(np.eye(30))

"""MATLAB files in the four forms that are accepted."""

import contextlib

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_array

from flatmin.errors import InputError
from flatmin.formats.matlab import Matlab

KNOWN = np.array([[1.5, np.nan, 0.25], [np.nan, np.nan, -2.0]])
ROWS, COLS = np.nonzero(~np.isnan(KNOWN))
VALUES = KNOWN[ROWS, COLS]


def sedumi(lower=False, trace=0.5):
    """Return the semidefinite programme with entries in one triangle or, halved, in both."""
    n, m = 5, len(VALUES)
    A = np.zeros((m, n, n))
    A[np.arange(m), ROWS, 2 + COLS] = 0.5 if lower else 1.0
    A[np.arange(m), 2 + COLS, ROWS] = 0.5 if lower else 0.0
    return {
        "At": csc_array(A.reshape(m, -1).T),
        "b": VALUES[:, None],
        "c": csc_array(trace * np.eye(n).reshape(-1, 1)),
        "K": {"s": 5.0},
    }


FORMS = [
    {"rows": ROWS + 1, "cols": COLS + 1, "values": VALUES, "shape": [2, 3]},
    {"Omega": 1 + ROWS + 2 * COLS, "b": VALUES, "n1": 2, "n2": 3},
    {"M": np.array(KNOWN)},
    {"M": csc_array((VALUES, (ROWS, COLS)), shape=(2, 3))},
    sedumi(),
    sedumi(lower=True, trace=1.0),
    {**{key: value for key, value in sedumi().items() if key != "At"}, "A": sedumi()["At"].T.tocsc()},
]


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_known_cells_are_read(tmp_path, form):
    savemat(tmp_path / "x.mat", FORMS[form], do_compression=bool(form % 2))
    np.testing.assert_allclose(Matlab.read(tmp_path / "x.mat").cells.dense(), KNOWN)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"x": 1.0}, "expected one of"),
        ({"M": np.eye(3), "N": np.eye(3)}, "expected one of"),
        ({**FORMS[0], "rows": ROWS}, "row 0"),
        ({**FORMS[0], "values": VALUES[:2]}, "equal ones"),
        ({**FORMS[0], "values": VALUES * np.inf}, "NaN or infinity"),
        ({**FORMS[0], "shape": [1, 3]}, "row 2"),
        ({**FORMS[1], "Omega": [1.5, 2, 3]}, "whole numbers"),
        ({**sedumi(), "K": {"s": [2.0, 3.0]}}, "K.s alone"),
        ({**sedumi(), "K": {"s": 5.0, "l": 2.0}}, "K.s alone"),
        ({**sedumi(), "K": 5.0}, "K.s alone"),
        ({**sedumi(), "K": {"s": 6.0}}, "expected"),
        ({**sedumi(), "c": csc_array(np.ones((25, 1)))}, "another cost"),
        ({**sedumi(), "c": "text"}, "real numbers"),
        ({"M": np.array([["a", "b"], ["c", "d"]])}, "."),
    ],
)
def test_other_variables_are_refused_in_one_sentence(tmp_path, variables, words):
    savemat(tmp_path / "x.mat", variables)
    with pytest.raises(InputError, match=words) as caught:
        Matlab.read(tmp_path / "x.mat")
    assert "\n" not in str(caught.value)


def test_other_versions_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "x.mat"
    savemat(path, {"M": KNOWN}, format="4")
    with pytest.raises(InputError, match="version 4"):
        Matlab.read(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + bytes(400))
    with pytest.raises(InputError, match=r"version 7\.3"):
        Matlab.read(path)
    savemat(path, FORMS[0], do_compression=True)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(100):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(damaged[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.3 else damaged)
        with contextlib.suppress(InputError):
            Matlab.read(path)

"""Semidefinite programmes of matrix completion in SDPA's sparse format."""

import contextlib

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.families import find
from flatmin.formats.case import read_case
from flatmin.formats.sdpa_sparse import SdpaSparse

CELLS = [(0, 0, 1.5), (1, 2, -2.0), (0, 2, 0.25)]


def sdpa(cells=CELLS, shape=(2, 3), trace=0.5, value=1.0, head="* a comment\n"):
    """Return the text of a programme; an entry ``value`` above the diagonal means ``2 value X_ij``."""
    n = sum(shape)
    lines = [f"{head}{len(cells)} = mDIM", "1 = nBLOCK", f"{{{n}}}", " ".join(str(2 * value * z) for *_, z in cells)]
    lines += [f"0 1 {i} {i} {-trace}" for i in range(1, n + 1)]
    lines += [f"{k} 1 {i + 1} {shape[0] + j + 1} {value}" for k, (i, j, _) in enumerate(cells, 1)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("trace", "value"), [(0.5, 1.0), (1.0, 0.5), (0.5, -2.0)])
def test_known_cells_are_those_of_the_constraints(tmp_path, trace, value):
    (tmp_path / "x.dat-s").write_text(sdpa(trace=trace, value=value))
    document = SdpaSparse.read(tmp_path / "x.dat-s")
    np.testing.assert_allclose(document.cells.dense(), [[1.5, np.nan, 0.25], [np.nan, np.nan, -2.0]])
    assert document.sparse
    assert "nuclear" in document.notes[0]


def test_the_solution_is_that_of_the_nuclear_norm(tmp_path):
    instance = fm.families.matrix_completion.sample((12, 10), 1, 80)
    A, b = instance.problem.measurement, instance.problem.data
    (tmp_path / "x.dat-s").write_text(sdpa(list(zip(A.rows, A.cols, b, strict=True)), A.shape))
    problem = read_case(find("matrix-completion"), tmp_path / "x.dat-s").problem
    found = fm.flat_minimum(problem, metric_power=0.0)
    np.testing.assert_allclose(found.matrix, instance.truth, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (sdpa().replace("0 1 2 2 -0.5", "0 1 2 2 -0.6"), "another cost"),
        (sdpa().replace("0 1 2 2 -0.5\n", ""), "another cost"),
        (sdpa(trace=-0.5), "another cost"),
        (sdpa([(0, 0, 1.0), (0, 0, 2.0)]).replace("2 1 1 3", "1 1 1 4"), "a constraint"),
        (sdpa().replace("2 1 2 5 1.0", "2 1 2 2 1.0"), "a constraint"),
        (sdpa().replace("2 1 2 5 1.0", "2 1 2 5 0.0"), "a constraint"),
        (sdpa().replace("2 1 2 5 1.0", "2 1 3 5 1.0"), "index 3 among both"),
        (sdpa().replace("2 1 2 5 1.0", "2 1 2 6 1.0"), "out of range"),
        (sdpa().replace("2 1 2 5 1.0", "2 1 2.5 5 1.0"), "out of range"),
        (sdpa().replace("2 1 2 5 1.0", "2 1 2 5 nan"), "out of range"),
        (sdpa().replace("2 1 2 5 1.0", "2 1 2 5"), "five for each entry"),
        (sdpa().replace("2 1 2 5 1.0", "2 1 2 5 x"), "text among"),
        (sdpa().replace("{5}", "{5, -2}").replace("1 = nBLOCK", "2 = nBLOCK"), "2 blocks"),
        (sdpa().replace("{5}", "{-5}"), "1 blocks of sizes"),
        (sdpa().replace("3 = mDIM", "9999999999 = mDIM"), "five for each entry"),
        (sdpa().replace("{5}", "{2000000000}"), "another cost"),
        ("2\n1\n", "lacks one of the three lines"),
        ("\0\0\0", "lacks one of the three lines"),
    ],
)
def test_other_programmes_are_refused_in_one_sentence(tmp_path, text, words):
    (tmp_path / "x.dat-s").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        SdpaSparse.read(tmp_path / "x.dat-s")
    assert "\n" not in str(caught.value)


def test_damaged_files_raise_nothing_else(tmp_path):
    rng, text = np.random.default_rng(0), sdpa().encode()
    for _ in range(300):
        damaged = bytearray(text)
        for at in rng.integers(0, len(text), 4):
            damaged[at] = rng.integers(0, 256) if rng.random() < 0.5 else rng.choice(list(b"0123456789-. e\n"))
        (tmp_path / "x.dat-s").write_bytes(damaged[: rng.integers(1, len(text) + 1)] if rng.random() < 0.3 else damaged)
        with contextlib.suppress(InputError):
            SdpaSparse.read(tmp_path / "x.dat-s")

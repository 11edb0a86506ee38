"""The answer in the format of the input."""

import numpy as np

import flatmin as fm
from flatmin.cli.answer_files import write_answer_files
from flatmin.formats.case import Case, read_case


def written(folder, case):
    return write_answer_files(folder, case, fm.flat_minimum(case.problem))


def test_a_table_is_completed_and_an_archive_needs_no_answer(tmp_path):
    (tmp_path / "t.csv").write_text("1,2,3\n2,4,\n3,6,9\n")
    family = fm.families.find("matrix-completion")
    answer = written(tmp_path, read_case(family, tmp_path / "t.csv"))
    assert answer.names == ["completed.csv"]
    np.testing.assert_allclose(np.loadtxt(tmp_path / "completed.csv", delimiter=",")[1], [2, 4, 6])
    assert written(tmp_path, Case(family.sample((4, 3), 1, 10).problem)).names == []


def test_a_split_has_two_files(tmp_path):
    table = np.outer(np.arange(1.0, 9), np.arange(1.0, 8))
    table[2, 3] += 50
    np.save(tmp_path / "y.npy", table)
    answer = written(tmp_path, read_case(fm.families.find("robust-pca"), tmp_path / "y.npy"))
    assert answer.names == ["low-rank.npy", "sparse.npy"]
    assert np.argmax(np.abs(np.load(tmp_path / "sparse.npy"))) == 2 * 7 + 3

"""Archives of problems and of solutions."""

import json

import numpy as np
import pytest

import flatmin as fm
from flatmin.formats.archive import read_arrays, read_solution
from flatmin.proofs.objective import Objective


@pytest.fixture
def family():
    return fm.families.find("matrix-sensing")


def test_arrays_that_are_given_replace_those_of_the_file(family, tmp_path):
    np.savez(tmp_path / "p.npz", A=np.ones((3, 4)), b=np.ones(3), shape=[4, 1])
    arrays = read_arrays(tmp_path / "p.npz", family, {"shape": np.array([2, 2])})
    assert set(arrays) == {"A", "b", "shape"}
    assert arrays["shape"].tolist() == [2, 2]


def test_missing_keys_and_damaged_files_are_named(family, tmp_path):
    np.savez(tmp_path / "p.npz", A=np.ones((3, 2, 2)))
    with pytest.raises(fm.InputError, match="lacks the key 'b': it has A, matrix-sensing expects A, b, shape"):
        read_arrays(tmp_path / "p.npz", family, {})
    (tmp_path / "q.npz").write_bytes(b"no archive")
    with pytest.raises(fm.InputError, match=r"is not a whole \.npz archive"):
        read_arrays(tmp_path / "q.npz", family, {})


def test_a_solution_has_factors_or_an_answer_and_its_objective(family, tmp_path):
    problem = family.sample((4, 3), 1, 12).problem
    solution = fm.flat_minimum(problem)
    solution.save(tmp_path / "s.npz")
    saved = read_solution(tmp_path / "s.npz", family, problem)
    np.testing.assert_array_equal(saved.factors[0], solution.factors[0])
    assert saved.stated == Objective(0.0, 1.0)
    np.savez(tmp_path / "m.npz", matrix=solution.matrix, description=json.dumps({"settings": {"weight": 2}}))
    saved = read_solution(tmp_path / "m.npz", family, problem)
    assert saved.factors is None
    assert saved.answer.shape == (4, 3)
    assert saved.stated == Objective(weight=2.0)
    np.savez(tmp_path / "m.npz", matrix=solution.matrix)
    assert read_solution(tmp_path / "m.npz", family, problem).stated is None

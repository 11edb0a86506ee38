import json

import numpy as np
import pytest

from flatmin.cli import solution_file
from flatmin.cli.options import ProblemFile
from flatmin.cli.solution_file import SolutionFile
from flatmin.errors import InputError

pytestmark = pytest.mark.usefixtures("without_report")


def test_the_objective_is_typed_or_taken_from_the_file(flatmin, tmp_path):
    flatmin("generate", "matrix-sensing", "p.npz", "--shape", "6,5", "--rank", "1")
    flatmin("recover", "matrix-sensing", "p.npz", "--alpha", "0.5")
    file, solution = ProblemFile("matrix-sensing", tmp_path / "p.npz"), tmp_path / "p-flat" / "solution.npz"
    for penalty, as_claimed in (({"alpha": 0.5}, False), ({}, True)):
        problem, objective, saved = SolutionFile(file, solution, penalty, as_claimed).read()
        assert objective.alpha == 0.5
        assert problem.shape == (6, 5)
        assert saved.candidate is saved.factors
    with pytest.raises(InputError, match=r"states alpha 0.5, but alpha 0.0 was asked for"):
        SolutionFile(file, solution, {}, False).read()
    with pytest.raises(InputError, match="exclude each other"):
        SolutionFile(file, solution, {"alpha": 0.5}, True).read()
    with np.load(solution) as data:
        np.savez(tmp_path / "bare.npz", matrix=data["matrix"])
        assert json.loads(str(data["description"]))["settings"]["alpha"] == 0.5
    with pytest.raises(InputError, match="states no objective"):
        SolutionFile(file, tmp_path / "bare.npz", {}, True).read()
    _, _, saved = SolutionFile(file, tmp_path / "bare.npz", {}, False).read()
    assert saved.candidate.shape == (6, 5)


def test_quick_work_is_not_announced(capsys):
    with solution_file.announced("working"):
        pass
    assert capsys.readouterr().err == ""

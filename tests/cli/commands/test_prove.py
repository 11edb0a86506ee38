import json

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs import checker
from tests.proofs.exact.integer_problems import sensing

pytestmark = pytest.mark.usefixtures("without_report")


@pytest.fixture
def solved(flatmin, tmp_path):
    problem = sensing()
    np.savez(tmp_path / "p.npz", A=problem.measurement.tensor, b=problem.data)
    assert flatmin("recover", "matrix-sensing", "p.npz").code == 0
    return problem


def accepted(proof, instance):
    return checker.main([str(proof), str(instance)]) == 0


@pytest.mark.parametrize("keys", [("L", "R"), ("matrix",), ("L", "R", "dual"), ("matrix", "dual")])
def test_anyones_solution_is_proved(flatmin, tmp_path, solved, keys):
    with np.load(tmp_path / "p-flat" / "solution.npz") as data:
        np.savez(tmp_path / "mine.npz", **{key: data[key] for key in keys})
    run = flatmin("prove", "matrix-sensing", "p.npz", "mine.npz", "--output", "q.json", "--json")
    assert run.code == 0
    fields = json.loads(run.out)
    assert [s["kind"] for s in fields["statements"]] == ["V", "U", "gap", "B", "F", "T"]
    assert fields["not_proved"] == {}
    assert accepted(tmp_path / "q.json", tmp_path / "q-instance.npz")


def test_the_theorem_is_printed_with_the_command_that_checks_it(flatmin, solved):
    run = flatmin("prove", "matrix-sensing", "p.npz", "p-flat/solution.npz", "--output", "q.json")
    assert "the truth is the unique flat minimum" in run.out
    assert "python checker.py q.json q-instance.npz --sha256 " in run.out


def test_a_dual_vector_is_found_for_phases(flatmin, tmp_path):
    flatmin("generate", "phase-retrieval", "s.npz", "--dimension", "6")
    flatmin("recover", "phase-retrieval", "s.npz")
    with np.load(tmp_path / "s-flat" / "solution.npz") as data:
        np.savez(tmp_path / "mine.npz", signal=data["signal"])
    run = flatmin("prove", "phase-retrieval", "s.npz", "mine.npz", "--output", "q.json", "--json")
    assert run.code == 0
    assert [s["kind"] for s in json.loads(run.out)["statements"]] == ["V", "B", "F"]


def test_recover_writes_a_proof_if_asked(flatmin, tmp_path, solved):
    assert not (tmp_path / "p-flat" / "proof.json").exists()
    assert json.loads((tmp_path / "p-flat" / "summary.json").read_text())["proof"] is None
    run = flatmin("recover", "matrix-sensing", "p.npz", "--prove")
    assert run.code == 0
    assert "proof.json, instance.npz" in " ".join(run.out.split())
    assert accepted(tmp_path / "p-flat" / "proof.json", tmp_path / "p-flat" / "instance.npz")
    summary = json.loads((tmp_path / "p-flat" / "summary.json").read_text())["proof"]
    assert summary["statements"][-1]["kind"] == "T"
    assert summary["sha256"] == fm.prove(solved, fm.flat_minimum(solved)).sha256


def test_what_has_no_theorem_is_bad_input_before_it_is_solved(flatmin, tmp_path, solved):
    run = flatmin("recover", "matrix-sensing", "p.npz", "--prove", "--metric-power", "0.5", "--output", "other")
    assert run.code == 2
    assert "expected 0 or 1" in run.err
    assert not (tmp_path / "other").exists()


def test_nothing_is_written_where_nothing_is_proved(flatmin, tmp_path):
    np.savez(tmp_path / "p.npz", A=np.ones((5, 2, 2)), b=np.arange(5.0))
    np.savez(tmp_path / "s.npz", L=np.ones((2, 1)), R=np.ones((2, 1)), dual=np.ones(5))
    run = flatmin("prove", "matrix-sensing", "p.npz", "s.npz", "--output", "q.json")
    assert run.code == 1
    assert "no theorem" in run.err
    assert not (tmp_path / "q.json").exists()

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


def prove(flatmin, output):
    return flatmin("prove", "matrix-sensing", "p.npz", "p-flat/solution.npz", "--output", output)


def test_only_an_earlier_proof_and_its_data_are_replaced(flatmin, tmp_path, solved):
    assert prove(flatmin, "q.json").code == 0
    assert prove(flatmin, "q.json").code == 0  # the same proof again
    (tmp_path / "q.json").unlink()
    assert prove(flatmin, "q.json").code == 0  # the same data again
    np.savez(tmp_path / "p.npz", A=solved.measurement.tensor * 2, b=solved.data * 2)
    flatmin("recover", "matrix-sensing", "p.npz")
    assert prove(flatmin, "q.json").code == 0  # other data, whose place an earlier proof names
    assert accepted(tmp_path / "q.json", tmp_path / "q-instance.npz")


@pytest.mark.parametrize("content", [b"mine", b"[]", b"\xff", b"{}"])
@pytest.mark.parametrize("name", ["q.json", "q-instance.npz"])
def test_other_files_are_kept(flatmin, tmp_path, solved, name, content):
    (tmp_path / name).write_bytes(content)
    run = prove(flatmin, "q.json")
    assert (run.code, run.out) == (2, "")
    assert f"{name} exists and" in run.err
    assert (tmp_path / name).read_bytes() == content
    assert len(list(tmp_path.glob("q*"))) == 1


def test_a_directory_in_the_place_of_the_data_is_named(flatmin, tmp_path, solved):
    (tmp_path / "q-instance.npz").mkdir()
    run = prove(flatmin, "q.json")
    assert run.code == 2
    assert "q-instance.npz is a directory" in run.err


def test_the_command_that_checks_quotes_its_paths(flatmin, tmp_path, solved):
    run = prove(flatmin, "my proof.json")
    assert "checker.py 'my proof.json' 'my proof-instance.npz' --sha256" in run.out


@pytest.mark.parametrize("command", ["recover", "prove", "race", "certify", "proofs", "sweep", "report"])
def test_every_status_of_exit_is_documented(flatmin, command):
    assert "130 interrupted" in " ".join(flatmin(command, "--help").out.replace("│", " ").split())


def test_a_solution_that_is_far_from_its_theorems_is_written_without_a_proof(flatmin, tmp_path):
    problem = fm.families.matrix_sensing.sample((8, 6), 1, 48).problem
    np.savez(tmp_path / "p.npz", A=problem.measurement.tensor, b=problem.data)
    run = flatmin("recover", "matrix-sensing", "p.npz", "--prove", "--max-iter", "2", "--output", "early")
    assert run.code == 1
    assert "no theorem was proved: the solution is" in run.err
    assert (tmp_path / "early" / "solution.npz").exists()
    assert not (tmp_path / "early" / "proof.json").exists()
    assert json.loads((tmp_path / "early" / "summary.json").read_text())["proof"] is None
    run = flatmin("prove", "matrix-sensing", "p.npz", "early/solution.npz", "--output", "q.json")
    assert run.code == 1
    assert "of its norm away" in run.err
    assert not (tmp_path / "q.json").exists()

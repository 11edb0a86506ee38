"""The checker of exact proofs: what it accepts is true, what is altered it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs import checker
from tests.proofs import proof_writer as writer


@pytest.fixture(autouse=True, params=[True, False], ids=["numpy", "plain"])
def _arithmetic(request):
    checker.use_numpy(request.param)
    yield
    checker.use_numpy()


def completion(seed=1):
    problem = fm.families.matrix_completion.sample((12, 10), 2, 90, seed=seed).problem
    A = problem.measurement
    arrays = {"rows": A.rows, "cols": A.cols, "shape": np.array(A.shape), "b": problem.data}
    return "entries", arrays, fm.flat_minimum(problem, tol=1e-12)


def sensing(seed=1):
    problem = fm.families.matrix_sensing.sample((9, 8), 1, 50, seed=seed).problem
    return "dense", {"A": problem.measurement.tensor, "b": problem.data}, fm.flat_minimum(problem, tol=1e-12)


def bilinear(seed=1):
    problem = fm.families.bilinear_sensing.sample((9, 8), 1, 60, seed=seed).problem
    A = problem.measurement
    return "vectors", {"left": A.left, "right": A.right, "b": problem.data}, fm.flat_minimum(problem, tol=1e-12)


@pytest.mark.parametrize("make", [completion, sensing, bilinear])
def test_products_are_proved(make):
    kind, arrays, solution = make()
    proof = writer.rectangular(kind, arrays, solution.matrix, solution.rank, solution.certificate.dual)
    proof.state("V", "U", "gap", "B")
    proof.state("F", level=proof.document["statements"][1]["upper"])
    lines = checker.check_files(proof.proof(), proof.instance)
    assert [line.split(".")[0] for line in lines[:6]] == ["Theorem", "V", "U", "gap", "B", "F"]
    claims = {s["kind"]: s for s in proof.document["statements"]}
    assert float(claims["gap"]["gap"]) < 1e-11
    assert float(claims["B"]["beta"]) < 1e-13
    assert float(claims["F"]["radius"]) < 1e-6
    assert float(claims["V"]["lower"]) == pytest.approx(solution.certificate.value, rel=1e-10)


def test_the_command_runs_alone_and_says_what_fails(tmp_path):
    kind, arrays, solution = completion()
    proof = writer.rectangular(kind, arrays, solution.matrix, 2, solution.certificate.dual).state("V", "U", "gap", "B")
    (tmp_path / "proof.json").write_bytes(proof.proof())
    (tmp_path / "instance.npz").write_bytes(proof.instance)
    command = [sys.executable, "-I", checker.__file__, "proof.json", "instance.npz"]

    def run(*options, status):
        done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    pin = proof.document["instance"]["sha256"]
    assert "scaled trace at least" in run("--sha256", pin, status=0)
    assert "standard library alone" in run("--no-numpy", status=0)
    assert "expected 00" in run("--sha256", "00", status=1)
    command[-2] = "absent.json"
    assert "absent.json" in run(status=2)
    command[-2] = "changed.json"
    text = proof.proof().decode().replace(proof.document["statements"][0]["lower"], "0.7")
    (tmp_path / "changed.json").write_text(text)
    assert "seal" in run(status=1)
    (tmp_path / "changed.json").write_bytes(writer.seal(json.loads(text)))
    assert "statement V fails" in run(status=1)

import subprocess
import sys
from pathlib import Path

import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.proofs import checker
from tests.proofs.exact.integer_problems import completion


@pytest.fixture(scope="module")
def proof():
    problem = completion()
    return fm.prove(problem, fm.flat_minimum(problem))


def test_a_stranger_runs_one_command_with_a_copy_of_the_checker(proof, tmp_path):
    proof.save(tmp_path / "proof.json")
    (tmp_path / "checker.py").write_bytes(Path(checker.__file__).read_bytes())
    _, *arguments = proof.command().split()
    done = subprocess.run([sys.executable, "-I", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for statement in proof.statements:
        assert statement.words in done.stdout
    spoilt = (tmp_path / "instance.npz").read_bytes()
    (tmp_path / "instance.npz").write_bytes(spoilt[:-1] + bytes([spoilt[-1] ^ 1]))
    done = subprocess.run([sys.executable, "-I", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1


def test_the_data_are_next_to_the_proof(proof, tmp_path):
    assert proof.save(tmp_path / "proof.json") == tmp_path / "instance.npz"
    assert proof.save(tmp_path / "mine.json") == tmp_path / "mine-instance.npz"
    assert (tmp_path / "mine.json").read_text() == proof.text
    assert (tmp_path / "mine-instance.npz").read_bytes() == proof.instance


def test_the_words_say_the_theorem(proof):
    shown = repr(proof)
    assert shown.startswith("Proof")
    assert "the truth is the unique flat minimum" in shown
    assert "<table>" in proof._repr_html_()
    assert proof.statement("V").kind == "V"
    assert proof.statement("W") is None


def test_a_place_that_cannot_be_written_is_one_sentence(proof, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        proof.save(tmp_path / "missing" / "proof.json")

import base64
import hashlib
import json
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.proofs import checker
from flatmin.proofs.exact import prove_point
from flatmin.proofs.exact.theorems import as_decimal, encoded, sealed
from flatmin.proofs.objective import Objective
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


def test_decimals_are_rounded_to_the_safe_side():
    rng = np.random.default_rng(0)
    for scale in (-30, -3, 0, 3, 30):
        for value in rng.standard_normal(20) * 10.0**scale:
            number = Fraction(value) / 7
            low, high = (Fraction(as_decimal(number, up)) for up in (False, True))
            assert low < number < high
            assert high - low <= abs(number) * Fraction(10) ** -24


def test_short_numbers_are_exact():
    for number in (Fraction(0), Fraction(1, 4), Fraction(-3), Fraction(1, 10**9)):
        assert Fraction(as_decimal(number, up=True)) == number


def test_arrays_are_little_endian_bytes():
    for array in (np.arange(6.0).reshape(2, 3), np.array([1j]), np.array([1, 2]), np.arange(6.0).reshape(2, 3).T):
        made = encoded(array)
        data = np.frombuffer(base64.b64decode(made["base64"]), "<" + made["dtype"]).reshape(made["shape"])
        assert np.array_equal(data, array)


def test_a_sealed_text_ends_with_the_hash_of_the_rest():
    text = sealed({"b": 1, "a": [1.5, "ü"]})
    content = json.loads(text)
    seal = content.pop("seal")
    plain = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert seal == hashlib.sha256(plain.encode()).hexdigest()
    assert text.isascii()
    assert text.endswith("\n")


def test_an_error_names_the_file_that_cannot_be_written(proof, tmp_path):
    (tmp_path / "x-instance.npz").mkdir()
    with pytest.raises(InputError, match=r"x-instance\.npz cannot be written: "):
        proof.save(tmp_path / "x.json")
    (tmp_path / "y.json").mkdir()
    with pytest.raises(InputError, match=r"y\.json cannot be written: "):
        proof.save(tmp_path / "y.json")


def test_the_command_can_be_pasted_into_a_shell(proof):
    words = shlex.split(proof.command("my proof.json", "it's data.npz"))
    assert words == ["python", "checker.py", "my proof.json", "it's data.npz", "--sha256", proof.sha256]


def test_a_proof_is_printed_with_few_digits_on_the_safe_side(proof):
    text = str(proof)
    assert "weak" not in text
    for statement in proof.statements:
        for name, x in statement.numbers.items():
            short = as_decimal(x, name != "lower", 10)
            assert short in text
            assert Fraction(short) <= x if name == "lower" else Fraction(short) >= x


def test_a_proof_with_bounds_far_apart_says_that_it_is_weak():
    problem = completion()
    dual = np.full(problem.measurement.size, 1e-9)
    factors = tuple(np.ones((d, 1)) for d in problem.shape)
    proof = prove_point(problem, factors, dual, None, Objective(alpha=1e-3))
    assert "another matrix may be better" in proof.facts()["weak"]

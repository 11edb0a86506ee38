"""Mutants of every format are read or refused, and a trial notices what no command may do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

if sys.platform == "win32":
    pytest.skip("trials run in forked processes", allow_module_level=True)

from benchmarks.mutants import trial
from benchmarks.mutants.__main__ import outcomes_of_seeds
from benchmarks.mutants.corpus import FORMATS, Specimen, specimen
from benchmarks.mutants.mutations import mutant

#: Number of mutants of each format here, which take minutes. The command tries as many as are asked.
MUTANTS = 200
ROOT = Path(__file__).parents[2]
PLAIN = Specimen({"x.csv": b"1,2\n3,4\n"}, "x.csv", ["recover"])


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_mutant_is_read_or_refused_in_one_sentence(name):
    """In a process of its own: the memory of a worker of tests would have to be copied for each mutant."""
    try:
        specimen(name)
    except ImportError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-m", "benchmarks.mutants", "--only", name, "--mutants", str(MUTANTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["mtx", pytest.param("model", marks=pytest.mark.slow)])
def test_the_unharmed_file_is_read(name):
    valid = specimen(name)
    (outcome,) = trial.outcomes(valid, [valid.files[valid.victim]], thorough=False)
    assert (outcome.fault, outcome.status) == (None, 0)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        *(("model summary", 3), ("separation summary", 1000), ("model summary", 184), ("rating summary", 139)),
        *(("store", 125), ("store", 165), ("store", 176), ("tiff", 73)),
    ],
)
def test_damage_that_was_once_not_refused_in_one_sentence_is(name, seed):
    """These seeds once ended with a traceback or, the picture, with a second line of a library."""
    assert outcomes_of_seeds(name, range(seed, seed + 1))[seed].fault is None


@pytest.mark.parametrize("name", ["npz", "csv", "recipe"])
def test_mutants_differ_and_depend_on_the_seed_only(name):
    valid = specimen(name)
    content = valid.files[valid.victim]
    first, again = ([mutant(content, np.random.default_rng(seed)) for seed in range(20)] for _ in range(2))
    assert first == again
    assert len(set(first)) > 15


@pytest.mark.parametrize(
    ("deed", "fault"),
    [
        ("raise KeyError('x')", "traceback: .*KeyError: 'x'"),
        ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV"),
        ("open('x-flat', 'w').close(); print('flatmin: no', file=sys.stderr); code = 2", "exit status 2 with 1 lines"),
        ("code = 2", "exit status 2 with 0 lines"),
        ("code = 3", "traceback"),
        ("print('Warning: old', file=sys.stderr)", "with the line 'Warning: old' on stderr"),
        ("import pickle; pickle.loads(b'cbuiltins\\nprint\\n.')", "forbidden: pickle.find_class"),
        ("open('../../evil', 'w').close(); import os; os.remove('../../evil')", "forbidden: open .*evil"),
        ("open('r.html', 'w').write('<p><img src=x onerror=alert(1)>')", "r.html has '<img src=x' as it is"),
    ],
)
def test_a_trial_notices(monkeypatch, deed, fault):
    def command(words):
        scope = {"sys": sys, "code": 0}
        exec(deed, scope)
        return scope["code"]

    monkeypatch.setattr(trial, "_command", command)
    (found,) = trial.outcomes(PLAIN, [b""], thorough=True)
    assert found.fault is not None
    assert re.search(fault, found.fault), found


def test_mutants_of_one_process_are_judged_one_by_one(monkeypatch):
    """The second one kills the process, the third one fails after others only, and the last one is read."""

    def command(words):
        deed = Path("x.csv").read_text()
        if deed == "kill":
            os.kill(os.getpid(), 9)
        if deed == "third" and command.seen:
            raise KeyError(deed)
        command.seen = True
        return 2 if deed == "refuse" and print("flatmin: no", file=sys.stderr) is None else 0

    command.seen = False
    monkeypatch.setattr(trial, "_command", command)
    contents = [b"first", b"kill", b"refuse", b"third", b"last"]
    found = trial.outcomes(PLAIN, contents, thorough=True)
    assert [outcome.status for outcome in found] == [0, -9, 2, 99, 0]
    faults = [outcome.fault for outcome in found]
    assert faults[1].startswith("ended by SIGKILL")
    assert faults[3].startswith("after other mutants only: traceback")
    assert faults[0] is faults[2] is faults[4] is None

"""``flatmin proofs``."""

import json
import subprocess
import sys

import pytest

from flatmin.lab import Result, Store
from tests.lab import experiments as made

SMALL = 'recipe = "theorems"\nrepetitions = 2\n[[grid]]\npanel = ["completion"]\nd = [6]\nm = [32, 36]\n'


@pytest.fixture
def swept(flatmin, tmp_path):
    """A store with some theorems, and their number."""
    (tmp_path / "small.toml").write_text(SMALL)
    assert flatmin("sweep", "small.toml", "--store", "trials.db", "--jobs", "1", "--export", "t.csv").code == 0
    with Store(tmp_path / "trials.db") as store:
        count = len(list(store.files()))
    assert count >= 2
    return count


def test_all_proofs_of_a_sweep_are_checked(flatmin, tmp_path, swept):
    run = flatmin("proofs", "trials.db")
    assert run.code == 0
    assert run.out.startswith(f"trials.db: {swept} proofs, none refused\n")
    assert f"theorems that the truth is the unique flat minimum: {swept}\n" in run.out
    assert "the standard library alone" in run.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.toml", "t.csv", "trials.db"]


def test_the_exported_table_has_the_verdicts_and_no_proofs(tmp_path, swept):
    table = (tmp_path / "t.csv").read_text()
    head = table.splitlines()[0].split(",")
    assert {"theorem", "proof_bytes", "missing"} <= set(head)
    assert not {"proof.json", "instance.npz"} & set(head)
    assert len(table) < 4000


def test_a_directory_with_all_proofs_is_checked_by_a_stranger(flatmin, tmp_path, swept):
    for _ in range(2):  # the second one replaces the first
        assert flatmin("proofs", "trials.db", "--output", "kept", "--quiet").out == ""
    kept = tmp_path / "kept"
    folders = sorted(path for path in kept.iterdir() if path.is_dir())
    assert len(folders) == swept
    files = [folders[-1] / "proof.json", folders[-1] / "instance.npz"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", kept / "checker.py", *files, "--no-numpy"], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert "the truth is the unique flat minimum" in done.stdout.decode()


def test_a_refused_proof_fails(flatmin, tmp_path, swept):
    with Store(tmp_path / "trials.db") as store, store.transaction() as database:
        database.execute(
            'UPDATE files SET content = replace(content, \'"kind":"T"\', \'"kind":"X"\') '
            "WHERE name = 'proof.json' AND rowid = (SELECT max(rowid) FROM files WHERE name = 'proof.json')"
        )
    run = flatmin("proofs", "trials.db", "--json", "--output", "kept", "--jobs", "1")
    assert run.code == 1
    summary = json.loads(run.out)
    assert (summary["proofs"], summary["theorems"]["T"], len(summary["refused"])) == (swept, swept - 1, 1)
    assert summary == json.loads((tmp_path / "kept" / "summary.json").read_text())
    printed = flatmin("proofs", "trials.db")
    assert printed.code == 1
    assert "1 refused\n  " in printed.out
    assert "Refused: " in printed.out


def test_bad_input_is_one_line(flatmin, tmp_path):
    with Store(tmp_path / "trials.db") as store:
        store.record(recipe := made.recipe_of(count=1), Result(next(recipe.trials()), {"value": 1}))
    for arguments, words in (
        (("trials.db",), "trials.db has no proofs; flatmin sweep theorems makes some"),
        (("none.db",), "there is no none.db"),
        (("trials.db", "--jobs", "0"), "--jobs is 0, expected a whole number of at least 1"),
        (("trials.db", "--output", "trials.db"), "is a file, expected a directory or a new name"),
        (("trials.db", "--output", "."), "contains trials.db, which it would replace"),
    ):
        run = flatmin("proofs", *arguments)
        assert (run.code, run.out) == (2, "")
        assert words in run.err
        assert run.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["trials.db"]

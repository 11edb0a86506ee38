"""Places that a command cannot use: full disks, and directories that a user without privileges may not change."""

import os
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest

if sys.platform != "linux":
    pytest.skip("users and mounts of Linux", allow_module_level=True)

from flatmin.cli import main

ROW = "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1\n1 2 2\n2 1 2\n"
#: The user "nobody" of most systems.
NOBODY = 65534


@pytest.fixture
def full_disk(tmp_path):
    """Return a function that gives a directory on a disk of some kilobytes, or skips the test."""
    mounted = []

    def disk(kilobytes):
        place = tmp_path / f"disk-{kilobytes}"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
        if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no disk can be mounted here")
        mounted.append(place)
        (place / "x.mtx").write_text(ROW)
        return place

    yield disk
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def as_nobody(folder, *words):
    """Return the exit status and the lines on stderr of a command that a user without privileges runs in a folder.

    The command first runs with privileges, so that all modules are loaded when they are dropped.
    """
    warm = folder.parent / f"warm-{len(list(folder.parent.iterdir()))}"
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        main([*words, "--output", str(warm), "--quiet"])
    message = folder.parent / "message"
    child = os.fork()
    if not child:
        code = 99
        try:
            os.dup2(os.open(message, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
            os.chdir(folder)
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            code = main([*words, "--quiet"])
            sys.stderr.flush()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), message.read_text().splitlines()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_places_that_are_shut_are_one_sentence_and_nothing_is_left(tmp_path, mode):
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    work, shut = tmp_path / "work", tmp_path / "work" / "shut"
    shut.mkdir(parents=True)
    work.chmod(0o777)
    data = tmp_path / "x.mtx"
    data.write_text(ROW)
    (shut / "own").write_text("mine")
    shut.chmod(mode)
    before = sorted(path for path in work.rglob("*"))
    for output in (shut, shut / "new", shut / "more" / "new"):
        code, lines = as_nobody(work, "recover", "matrix-completion", str(data), "--output", str(output))
        assert (code, len(lines)) == (2, 1), lines
        assert "Permission denied" in lines[0] or "protected" in lines[0] or "not readable" in lines[0]
    assert sorted(path for path in work.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [8, 40])
def test_a_disk_that_is_full_before_the_first_trial_keeps_nothing(full_disk, kilobytes):
    place = full_disk(kilobytes)
    race = ("race", "matrix-completion", "x.mtx", "--competitors", "sgd", "--budget", "20", "--jobs", "1")
    for words in (race, ("sweep", "figure-3", "--quick", "--jobs", "1", "--store", "new.db")):
        done = subprocess.run([sys.executable, "-m", "flatmin", *words], cwd=place, capture_output=True, text=True)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert [path.name for path in place.iterdir()] == ["x.mtx"]


@pytest.mark.slow
def test_a_disk_that_gets_full_keeps_the_finished_runs_of_a_race(full_disk):
    place = full_disk(200)
    words = ("race", "matrix-completion", "x.mtx", "--competitors", "sgd", "--budget", "20", "--jobs", "1")
    done = subprocess.run(
        [sys.executable, "-m", "flatmin", *words, "--seeds", "30"], cwd=place, capture_output=True, text=True
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    from flatmin.cli.race.runs import _n_finished

    assert _n_finished(place / "x-race.partial" / "runs.db") > 0

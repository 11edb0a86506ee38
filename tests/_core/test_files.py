"""Files and directories are written whole or not at all, and memory is asked for before it hurts."""

import os
import signal
import subprocess
import sys
import time

import pytest

import flatmin as fm
from flatmin._core import files as _files
from flatmin._core import memory as _memory
from flatmin._core.files import atomic_directory, atomic_path, first_bytes, reason
from flatmin.errors import InputError
from tests.systems import needs_posix


class Interrupted(BaseException):
    """Stands for Ctrl-C, which is no Exception."""


def _interrupt(context, write, error):
    with context as temporary:
        write(temporary)
        raise error


@pytest.mark.parametrize("error", [OSError, Interrupted])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, error):
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(error):
        _interrupt(atomic_path(target), lambda path: path.write_text("half"), error)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_file_is_replaced_with_ordinary_permissions(tmp_path):
    target = tmp_path / "x.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert target.read_text() == "new"
    assert target.stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize("error", [OSError, Interrupted])
@pytest.mark.parametrize("existed", [False, True])
def test_an_interrupted_directory_leaves_the_old_one(tmp_path, error, existed):
    target = tmp_path / "out"
    if existed:
        target.mkdir()
        (target / "old.txt").write_text("old")
    with pytest.raises(error):
        _interrupt(atomic_directory(target), lambda path: (path / "new.txt").write_text("half"), error)
    assert os.listdir(tmp_path) == ["out"] * existed
    assert not existed or os.listdir(target) == ["old.txt"]


def test_a_directory_is_replaced_whole(tmp_path):
    target = tmp_path / "parent" / "out"
    for name in ("first.txt", "second.txt"):
        with atomic_directory(target) as temporary:
            (temporary / name).write_text(name)
        assert os.listdir(target) == [name]
    assert os.listdir(tmp_path / "parent") == ["out"]


REPLACED_UNTIL_KILLED = """
import sys
from pathlib import Path
from flatmin._core.files import atomic_directory
print(flush=True)
for number in range(10**9):
    with atomic_directory(Path(sys.argv[1])) as folder:
        for name in ("first", "second"):
            (folder / name).write_text(str(number))
"""


@needs_posix
def test_a_killed_process_leaves_the_old_directory_or_the_new_one(tmp_path, monkeypatch):
    target = tmp_path / "out"
    for delay in (0.0, 0.003, 0.011):
        process = subprocess.Popen([sys.executable, "-c", REPLACED_UNTIL_KILLED, str(target)], stdout=subprocess.PIPE)
        process.stdout.readline()
        while not target.exists():
            time.sleep(0.001)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        first, second = ((target / name).read_text() for name in ("first", "second"))
        assert first == second
    monkeypatch.setattr(_files, "ABANDONED", -1.0)
    with atomic_directory(target) as folder:
        (folder / "third").write_text("")
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(target) == ["third"]


def test_a_directory_that_another_process_writes_is_not_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "ABANDONED", -1.0)
    with atomic_directory(tmp_path / "a") as first, atomic_directory(tmp_path / "b") as second:
        assert first.exists()
        assert second.exists()
    (tmp_path / ".flatmin-held").mkdir()
    fcntl = pytest.importorskip("fcntl")
    handle = os.open(tmp_path / ".flatmin-held", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with atomic_directory(tmp_path / "a"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".flatmin-held", "a", "b"]
    os.close(handle)
    with atomic_directory(tmp_path / "a"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_without_an_exchange_of_names_the_next_run_repairs(tmp_path, monkeypatch):
    """A system that renames in two steps, killed between them."""
    monkeypatch.setattr(_files, "_exchanged", lambda first, second: False)
    target = tmp_path / "out"
    for name in ("first", "second"):
        with atomic_directory(target) as folder:
            (folder / name).touch()
        assert os.listdir(target) == [name]
    target.rename(tmp_path / f"{_files.FORMER}out")
    with pytest.raises(Interrupted):
        _interrupt(atomic_directory(target), lambda path: None, Interrupted)
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(target) == ["second"]


def test_a_second_process_that_is_faster_is_no_error(tmp_path):
    with atomic_directory(tmp_path / "out") as slow:
        (slow / "slow").touch()
        with atomic_directory(tmp_path / "out") as fast:
            (fast / "fast").touch()
    assert os.listdir(tmp_path / "out") == ["slow"]
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(("length", "name"), [(255, "x"), (127, "ä")])
def test_the_longest_names_are_written(tmp_path, length, name):
    with atomic_directory(tmp_path / (name * length)):
        pass
    assert os.listdir(tmp_path) == [name * length]


def test_memory_is_refused_with_both_numbers(monkeypatch):
    assert _memory.available_bytes() > 0
    monkeypatch.setattr(_memory, "available_bytes", lambda: 2.0 * 2**30)
    _memory.require(2.0**30, "this")
    with pytest.raises(
        fm.InputError, match=r"^this would need about 3\.0 GiB of memory and 2\.0 GiB are free; use fewer"
    ):
        _memory.require(3.0 * 2**30, "this")


def test_the_first_bytes_of_a_file_to_write_over(tmp_path):
    (tmp_path / "old").write_bytes(b"header and more")
    assert first_bytes(tmp_path / "old", "the page", 6) == b"header"
    assert first_bytes(tmp_path / "new", "the page", 6) == b""
    assert not (tmp_path / "new").exists()


@needs_posix
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (".", "is a directory, expected a file"),
        ("none/new", "would stand in .*none, which is no directory; make it first"),
        ("pipe", "is no regular file, expected one or a new name"),
    ],
)
def test_a_file_that_cannot_be_written_over_is_called_by_its_name(tmp_path, name, message):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=f"^the page .*{message}"):
        first_bytes(tmp_path / name, "the page", 6)


def test_reasons_are_one_line():
    assert reason(ValueError("two\n lines")) == "two lines"
    assert reason(ValueError()) == "ValueError"
    assert reason(ValueError("allow_pickle=False")) == "it is damaged or holds Python objects, expected plain numbers"


def test_an_error_leaves_no_new_directories(tmp_path):
    with pytest.raises(Interrupted), atomic_directory(tmp_path / "a" / "b" / "c"):
        raise Interrupted
    with pytest.raises(OSError, match="too long"), atomic_directory(tmp_path / "a" / ("x" * 300) / "c"):
        pass
    assert not list(tmp_path.iterdir())

"""The command line as a process: streams that are closed, full or of another encoding, and names that are no text."""

import os
import subprocess
import sys

import pytest

from flatmin.cli import _one_line, main
from tests.systems import needs_full_device, needs_posix

ROW = "%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1\n1 2 2\n2 1 2\n"


def flatmin(folder, *words, **options):
    """Return the exit status and the lines on stderr of a process."""
    done = subprocess.run(
        [sys.executable, "-m", "flatmin", *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE} | options,
    )
    return done.returncode, done.stderr.decode().splitlines()


@needs_full_device
def test_a_full_device_for_the_outcome_is_one_sentence(tmp_path):
    with open("/dev/full", "w") as full:
        code, lines = flatmin(tmp_path, "--help", stdout=full)
    assert (code, lines) == (1, ["flatmin: the outcome cannot be printed: No space left on device"])


def test_closed_streams_are_no_error(tmp_path):
    (tmp_path / "x.mtx").write_text(ROW)
    command = f"{sys.executable} -m flatmin recover matrix-completion x.mtx"
    assert subprocess.run(f"{command} >&- 2>&-", shell=True, cwd=tmp_path).returncode in (0, 1)
    assert (tmp_path / "x-flat" / "summary.json").exists()


def test_an_ascii_terminal_gets_question_marks(tmp_path):
    code, lines = flatmin(tmp_path, "sweep", "--list", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (code, lines) == (0, [])


def test_the_locale_c_gets_question_marks(tmp_path):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, lines = flatmin(tmp_path, "race", "--list", env={**os.environ, **locale})
    assert (code, lines) == (0, [])


def test_a_deleted_working_directory_is_named(tmp_path):
    (tmp_path / "gone").mkdir()
    script = "import os, sys; from flatmin.cli import main; os.rmdir(os.getcwd()); sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", script, "recover", "matrix-completion", "x.mtx"],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", [b"\xff.csv", b"x" * 300 + b".csv"])
def test_impossible_names_of_inputs_are_one_sentence(tmp_path, name):
    for command in (["recover", "matrix-completion"], ["impute"]):
        code, lines = flatmin(tmp_path, *command, os.fsdecode(name))
        assert code == 2
        assert len(lines) == 1
        assert "not text in UTF-8" in lines[0] or "File name too long" in lines[0]


def test_messages_have_no_signs_that_steer_terminals():
    assert _one_line("a\n b\x1b[31m \u202ec") == "a b\\x1b[31m \\u202ec"
    assert len(_one_line("x" * 10**5)) == 2001


@pytest.mark.parametrize("module", ["typer", "numpy", "flatmin.cli.commands.recover"])
def test_an_interrupt_while_modules_load_is_quiet(tmp_path, module):
    """The script that an installation makes imports `main` first; all else is loaded inside it."""
    script = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from flatmin.cli import main\n"
        "sys.exit(main(['recover', 'matrix-completion', 'x.mtx']))\n"
    )
    (tmp_path / "x.mtx").write_text(ROW)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")
    assert [path.name for path in tmp_path.iterdir()] == ["x.mtx"]


@needs_posix
@pytest.mark.parametrize("kibibytes", [100_000, 150_000, 250_000, 500_000, 800_000])
def test_a_limit_of_memory_below_that_of_an_import_is_one_sentence(kibibytes, tmp_path):
    command = f"ulimit -v {kibibytes}; exec {sys.executable} -m flatmin --version"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith(f"flatmin: the limit of memory is {kibibytes} KiB, expected at least ")
    assert done.stderr.count("\n") == 1


def test_a_library_that_cannot_be_loaded_is_one_sentence(monkeypatch, capsys):
    def fail(arguments):
        raise ImportError("libx.so: failed to map segment\nfrom shared object")

    monkeypatch.setattr("flatmin.cli._run", fail)
    assert main(["--version"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("flatmin: a library cannot be loaded: libx.so: failed to map segment from shared object")
    assert message.count("\n") == 1

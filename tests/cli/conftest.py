from dataclasses import dataclass

import pytest

from flatmin.cli import main


@dataclass(frozen=True)
class Run:
    """What a command returned and printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def flatmin(capsys, tmp_path, monkeypatch):
    """Run the command line in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main([str(a) for a in arguments])
        return Run(code, *capsys.readouterr())

    return run


@pytest.fixture
def without_report(monkeypatch):
    """Leave the pictures of a report out, which take most of the time, where it is not looked at."""
    monkeypatch.setattr("flatmin.cli.commands.recover.write_report", lambda path, context: path.write_text("left out"))

"""The commands and their options."""

import pytest

from flatmin.cli import main
from flatmin.cli.application import app, command


def test_the_commands():
    names = {info.name or info.callback.__name__ for info in app.registered_commands}
    assert names == {
        "impute",
        "separate",
        "recover",
        "generate",
        "race",
        "sweep",
        "report",
        "certify",
        "flatness",
        "prove",
        "proofs",
        "rate",
        "explore",
    }


def test_without_a_command_the_help_is_printed(flatmin):
    run = flatmin()
    assert (run.code, run.err) == (0, "")
    assert "impute" in run.out


def test_a_family_with_underscores_is_corrected(flatmin):
    run = flatmin("recover", "matrix_completion", "t.csv")
    assert run.code == 2
    assert run.err.endswith("; did you mean matrix-completion?\n")


def test_shells_complete_commands(capsys, monkeypatch):
    for name, value in {"_FLATMIN_COMPLETE": "complete_bash", "COMP_WORDS": "flatmin im", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == ["impute"]


def test_the_line_that_was_typed_is_kept():
    assert command(["recover", "a b.npz"]).context_settings["obj"] == "flatmin recover 'a b.npz'"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--tol", "found 'x', expected a number"),
        ("--max-rank", "expected a whole number"),
        ("--alpha", "a number or auto"),
    ],
)
def test_options_that_are_no_numbers(option, expected, capsys):
    assert main(["recover", "matrix-sensing", "p.npz", option, "x"]) == 2
    assert expected in capsys.readouterr().err

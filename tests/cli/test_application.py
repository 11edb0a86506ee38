"""The commands and their options."""

import pytest

from flatmin.cli import main
from flatmin.cli.application import app, command


def test_the_commands():
    names = {info.name or info.callback.__name__ for info in app.registered_commands}
    assert names == {"recover", "generate", "race", "sweep", "report", "certify", "flatness", "prove", "proofs"}


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

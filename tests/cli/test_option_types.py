import pytest
import typer

from flatmin.cli.option_types import strength


def test_a_strength_is_a_number_or_auto():
    assert (strength("auto"), strength("0.5")) == ("auto", 0.5)
    with pytest.raises(typer.BadParameter, match="found 'x', expected a number or auto"):
        strength("x")


@pytest.mark.parametrize("command", ["impute", "recover", "race", "report", "proofs", "prove"])
def test_every_output_has_a_short_name(flatmin, command):
    assert "-o, --output" in flatmin(command, "--help").out

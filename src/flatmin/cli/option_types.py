"""The types of command line options: numbers, texts, paths, and the options that several commands share."""

from typing import Annotated, Any

import typer

__all__ = ["Json", "Quiet", "Seed", "number", "output", "strength", "text", "whole_number"]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"found {text!r}, expected a number") from None


def strength(text: str) -> float | str:
    """Return the value of --alpha: a number or "auto"."""
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        raise typer.BadParameter(f"found {text!r}, expected a number or auto") from None


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"found {text!r}, expected a whole number") from None


def number(flag: str, metavar: str, help: str) -> Any:
    """Return an option that is a number."""
    return typer.Option(flag, parser=_number, metavar=metavar, help=help)


def whole_number(flag: str, metavar: str, help: str) -> Any:
    """Return an option that is a whole number."""
    return typer.Option(flag, parser=_whole_number, metavar=metavar, help=help)


def text(flag: str, metavar: str, help: str) -> Any:
    """Return an option that is a text or a path."""
    return typer.Option(flag, metavar=metavar, help=help)


def output(metavar: str, help: str) -> Any:
    """Return the option --output, or -o, which is a path."""
    return typer.Option("--output", "-o", metavar=metavar, help=help)


Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors (and JSON, if asked for).")]
Seed = Annotated[int, whole_number("--seed", "N", "Seed of all random choices.")]

"""``python -m flatmin.lab.studies [NAME…]``: run studies, print what they found, write it down."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from flatmin.errors import InputError
from flatmin.lab.studies import find, names, write_findings


def main(
    name: Annotated[list[str] | None, typer.Argument(help=f"Any of {', '.join(names())}; none stands for all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version of seconds.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws everything.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Write NAME/{findings.json,rows.csv,figure.png} here.")] = None,
) -> None:
    """Run studies, print a table and the verdicts of each, and write them to a directory."""
    try:
        studies = [find(wanted) for wanted in name or names()]
        for study in studies:
            started = time.perf_counter()
            findings = study.run(quick=quick, seed=seed)
            seconds = round(time.perf_counter() - started, 1)
            typer.echo(f"{study.name}: {study.question}\nExpected: {study.expectation}\n")
            typer.echo(f"{findings}\n{seconds} s\n")
            if output is not None:
                write_findings(study, findings, output / study.name, {"quick": quick, "seed": seed, "seconds": seconds})
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)

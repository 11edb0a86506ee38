"""The commands for people with data: ``flatmin impute``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flatmin.cli.option_types import Json, Quiet, number, output, strength, text, whole_number

__all__ = ["impute"]


def impute(
    context: typer.Context,
    table: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE",
            help="A table with missing cells: .csv, .tsv or .txt, also .gz, .parquet or .xlsx. Cells that are empty or "
            "say NaN, NA, N/A or null are missing. Numeric columns are filled, all others are carried along.",
        ),
    ],
    output: Annotated[
        Path | None,
        output("DIR", "Directory of results, which replaces an earlier one. Default: TABLE-imputed."),
    ] = None,
    confidence: Annotated[float, number("--confidence", "P", "Share of cells that lie inside their intervals.")] = 0.9,
    missing: Annotated[
        list[str] | None, text("--missing", "TEXT", "A text or number that marks missing cells; may be repeated.")
    ] = None,
    index: Annotated[str | None, text("--index", "COLUMN", "The column that names the rows; it is not fitted.")] = None,
    ignore: Annotated[
        list[str] | None, text("--ignore", "COLUMN", "A column that is carried along, not fitted; may be repeated.")
    ] = None,
    encoding: Annotated[
        str | None, text("--encoding", "E", "Encoding of a text file, such as latin-1 or utf-16. Default: found.")
    ] = None,
    clip: Annotated[
        str | None,
        text("--clip", "LO,HI|observed", "Bounds of filled cells; observed: the range of the column's known cells."),
    ] = None,
    round: Annotated[
        bool, typer.Option("--round", help="Round filled cells in columns whose known cells are whole numbers.")
    ] = False,
    alpha: Annotated[
        Any,
        typer.Option(
            "--alpha",
            parser=strength,
            metavar="X|auto",
            help="Strength of the penalty. Default: auto, chosen by the error on held-out cells.",
        ),
    ] = None,
    seed: Annotated[int | None, whole_number("--seed", "N", "Seed of all random choices. Default: 0.")] = None,
    model: Annotated[
        Path | None, text("--model", "DIR", "Results of an earlier impute, whose model fills the rows of TABLE.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Fill the missing cells of a table, each with an interval, and write a report.

    Exit status: 0 the table is filled, 1 it is filled but the fit did not converge, 2 bad input.
    """
    from flatmin.cli.commands.impute import Request, run
    from flatmin.formats.tables import Reading

    reading = Reading(tuple(missing or ()), index, tuple(ignore or ()), encoding)
    fit = {"alpha": alpha, "seed": seed}
    line = str(context.find_root().obj)
    return run(Request(table, output, reading, confidence, clip, round, fit, model, json, quiet, line))

"""The commands for people with data: ``flatmin impute``, ``rate`` and ``separate``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flatmin.cli.option_types import Json, Quiet, number, output, strength, text, whole_number

__all__ = ["impute", "rate", "separate"]

Confidence = Annotated[float, number("--confidence", "P", "Share of values that lie inside their intervals.")]
Missing = Annotated[
    list[str] | None, text("--missing", "TEXT", "A text or number that marks missing cells; may be repeated.")
]
Encoding = Annotated[
    str | None, text("--encoding", "E", "Encoding of text files, such as latin-1 or utf-16. Default: found.")
]
Strength = Annotated[
    Any,
    typer.Option(
        "--alpha",
        parser=strength,
        metavar="X|auto",
        help="Strength of the penalty. Default: auto, chosen by the error on held-out values.",
    ),
]
Seed = Annotated[int | None, whole_number("--seed", "N", "Seed of all random choices. Default: 0.")]


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
    confidence: Confidence = 0.9,
    missing: Missing = None,
    index: Annotated[str | None, text("--index", "COLUMN", "The column that names the rows; it is not fitted.")] = None,
    ignore: Annotated[
        list[str] | None, text("--ignore", "COLUMN", "A column that is carried along, not fitted; may be repeated.")
    ] = None,
    encoding: Encoding = None,
    clip: Annotated[
        str | None,
        text("--clip", "LO,HI|observed", "Bounds of filled cells; observed: the range of the column's known cells."),
    ] = None,
    round: Annotated[
        bool, typer.Option("--round", help="Round filled cells in columns whose known cells are whole numbers.")
    ] = False,
    alpha: Strength = None,
    seed: Seed = None,
    model: Annotated[
        Path | None, text("--model", "DIR", "Results of an earlier impute, whose model fills the rows of TABLE.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Fill the missing cells of a table, each with an interval, and write a report.

    Exit status: 0 the table is filled, 1 it is filled but the fit did not converge, 2 bad input,
    130 interrupted.
    """
    from flatmin.cli.commands.impute import Request, run
    from flatmin.formats.tables import Reading

    reading = Reading(tuple(missing or ()), index, tuple(ignore or ()), encoding)
    fit = {"alpha": alpha, "seed": seed}
    line = str(context.find_root().obj)
    return run(Request(table, output, reading, confidence, clip, round, fit, model, json, quiet, line))


def rate(
    context: typer.Context,
    ratings: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RATINGS]",
            help="A table with a line for each known value: a row, a column and the value, such as a person, a film "
            "and the rating, in a file as for impute. With --model: values of new rows.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        output("DIR", "Directory of results, which replaces an earlier one. Default: RATINGS-rated."),
    ] = None,
    row: Annotated[str | None, text("--row", "COLUMN", "The column that names rows, such as people.")] = None,
    column: Annotated[str | None, text("--column", "COLUMN", "The column that names columns, such as films.")] = None,
    value: Annotated[str | None, text("--value", "COLUMN", "The column of values, such as ratings.")] = None,
    predict: Annotated[
        Path | None, text("--predict", "PAIRS", "A table with rows and columns whose values are predicted.")
    ] = None,
    recommend: Annotated[
        int | None, whole_number("--recommend", "N", "Number of best columns for each row. Default: 10; 0 for none.")
    ] = None,
    confidence: Confidence = 0.9,
    missing: Missing = None,
    encoding: Encoding = None,
    clip: Annotated[
        str | None, text("--clip", "LO,HI|observed", "Bounds of predictions; observed: the range of the known values.")
    ] = None,
    alpha: Strength = None,
    seed: Seed = None,
    model: Annotated[
        Path | None, text("--model", "DIR", "Results of an earlier rate, whose model predicts without another fit.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Predict ratings or other values of pairs, each with an interval, and recommend columns for each row.

    Exit status: 0 the predictions are written, 1 they are written but the fit did not converge, 2 bad input,
    130 interrupted.
    """
    from flatmin.cli.commands.rate import Request, run
    from flatmin.formats.tables import PairReading

    reading = PairReading(row, column, value, tuple(missing or ()), encoding)
    fit = {"alpha": alpha, "seed": seed}
    line = str(context.find_root().obj)
    return run(Request(ratings, output, reading, predict, recommend, confidence, clip, fit, model, json, quiet, line))


def separate(
    context: typer.Context,
    input: Annotated[
        Path,
        typer.Argument(
            metavar="TABLE|FRAMES|VIDEO",
            help="A table as impute reads it, an array (.npy, .npz with the key Y, .mtx), a picture, a folder of "
            "pictures, an animated .gif, or a video (.mp4, .mov, .mkv, .avi, …).",
        ),
    ],
    output: Annotated[
        Path | None,
        output("DIR", "Directory of results, which replaces an earlier one. Default: INPUT-separated."),
    ] = None,
    alpha: Annotated[
        Any,
        typer.Option(
            "--alpha",
            parser=strength,
            metavar="X|auto",
            help="Strength of the penalty: 0 splits exactly, auto follows from the noise. Default: 0 if the data are "
            "found to be exact within a few seconds, else auto.",
        ),
    ] = None,
    weight: Annotated[
        float | None, number("--weight", "W", "Cost of a unit of gross error against the nuclear norm.")
    ] = None,
    missing: Annotated[
        list[str] | None, text("--missing", "TEXT", "Tables: a text or number that marks missing cells.")
    ] = None,
    index: Annotated[str | None, text("--index", "COLUMN", "Tables: the column that names the rows.")] = None,
    ignore: Annotated[list[str] | None, text("--ignore", "COLUMN", "Tables: a column that is not fitted.")] = None,
    encoding: Annotated[str | None, text("--encoding", "E", "Tables: encoding of a text file. Default: found.")] = None,
    every: Annotated[int, whole_number("--every", "N", "Moving pictures: use only every N-th frame.")] = 1,
    scale: Annotated[float, number("--scale", "S", "Moving pictures: reduce width and height, such as 0.5.")] = 1.0,
    grey: Annotated[bool, typer.Option("--grey", help="Moving pictures: turn colours into grey.")] = False,
    seed: Seed = None,
    model: Annotated[
        Path | None, text("--model", "DIR", "Results of an earlier separate, whose model splits the rows of the input.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Separate noisy data into a low-rank part and gross errors, such as a scene and what moves in front of it.

    Exit status: 0 the data are separated, 1 they are, but the fit did not converge, 2 bad input, 130 interrupted.
    """
    from flatmin.cli.commands.separate import Request, run
    from flatmin.formats.clips import Sampling
    from flatmin.formats.tables import Reading

    reading = Reading(tuple(missing or ()), index, tuple(ignore or ()), encoding)
    fit = {"alpha": alpha, "weight": weight, "seed": seed}
    line = str(context.find_root().obj)
    return run(Request(input, output, reading, Sampling(every, scale, grey), fit, model, json, quiet, line))

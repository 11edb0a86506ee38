"""The page about a completed table: errors first, then the cells, the columns, and the certificate."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flatmin.report.fitted_sections import (
    coverage_fact,
    coverage_sentence,
    fit_section,
    repeat_section,
    shown_share,
)
from flatmin.report.imputation.filled_map import filled_map
from flatmin.report.imputation.filled_table import FilledTable
from flatmin.report.imputation.interval_chart import interval_chart
from flatmin.report.page import Fact, Page, Section, Table, Verdict
from flatmin.report.words import counted, not_held_out, number, sentence

__all__ = ["imputation_page"]

#: The largest number of columns in a table of the page.
MOST_LISTED = 50


def imputation_page(table: FilledTable) -> Page:
    """Return the page about a completed table."""
    summary = table.summary
    n, d = summary["shape"]
    known = summary["n_known"] + summary["n_filled"]
    share = summary["n_filled"] / known
    sections = [
        _cells(table),
        _columns(table),
        _errors(summary),
        _fit(table),
        repeat_section(table.command, summary["seed"]),
    ]
    return Page(
        title=table.input_name,
        kicker="flatmin impute",
        subtitle=f"{n} rows and {counted(d, 'column')}, {summary['n_fitted_columns']} of them numeric; "
        f"{100 * share:.2g} % of the numeric cells were missing",
        verdict=_verdict(summary),
        highlights=_highlights(summary),
        sections=[section for section in sections if section is not None],
        notes=list(map(sentence, table.notes)),
    )


def _verdict(summary: Mapping[str, Any]) -> Verdict:
    """Return what was filled, and how well cells like these are predicted."""
    found, cells = summary["held_out"], counted(summary["n_filled"], "cell")
    if not summary["n_filled"]:
        return Verdict(
            True, "No cell was missing.", "The table is written unchanged, and its model can fill other rows."
        )
    filled = f"{cells} filled"
    if found is None:
        why = sentence(not_held_out(summary["n_fitted_columns"]))
        return Verdict(False, f"{filled}, with an error that is not known.", why)
    gain = 100 * (1 - found["error"] / found["error_means"]) if found["error_means"] else 0.0
    if found["means_are_as_good"]:
        advice = "On held-out cells the columns told little about each other. The filled cells are near column means."
        return Verdict(False, f"{filled}. Column means predict as well.", advice)
    neighbours = " 5 nearest neighbours predict them better still." if found["neighbours_are_better"] else ""
    advice = (
        f"Known cells that were held out are predicted with {gain:.2g} % less error than by column means.{neighbours}"
    )
    return Verdict(summary["converged"], f"{filled}, better than by column means.", advice)


def _highlights(summary: Mapping[str, Any]) -> list[Fact]:
    found, facts = summary["held_out"], []
    if found is not None:
        unit = "standard deviations of a column"
        facts = [
            Fact("Error on held-out cells", number(found["error"]), unit),
            Fact("Column means", number(found["error_means"]), "error on the same cells"),
            Fact("5 nearest neighbours", number(found["error_neighbours"]), "error on the same cells"),
            coverage_fact(found, "cells"),
        ]
    facts.append(Fact("Filled", str(summary["n_filled"]), f"{summary['holes_left']} left in other columns"))
    return [*facts, Fact("Time", f"{number(summary['seconds'], 2)} s")]


def _cells(table: FilledTable) -> Section:
    prose = []
    if np.isfinite(table.low[table.holes]).any():
        level = shown_share(table.summary["confidence"])
        prose = [
            f"Every filled cell has an interval in intervals.csv, which is meant to contain {level} of such cells. An "
            "interval is for one cell. The errors of cells in one row are related, so an average of filled cells is "
            "less certain than its intervals suggest."
        ]
    figures = [figure for figure in (filled_map(table), interval_chart(table)) if figure is not None]
    return Section("cells", "The filled cells", prose, figures=figures)


def _columns(table: FilledTable) -> Section:
    head = ("Column", "Filled", "Error", "Means", "5 neighbours", "Spread", "Covered", "Smallest", "Largest")
    fitted, about = _worst([column for column in table.summary["columns"] if column["role"] == "fitted"])
    facts = ("error", "error_means", "error_neighbours", "spread", "coverage", "smallest", "largest")
    rows, keys = [], []
    for column in fitted:
        shown = [shown_share(column[f]) if f == "coverage" else number(column[f], 4) for f in facts]
        rows.append([column["name"], str(column["filled"]), *("–" if s == "not known" else s for s in shown)])
        keys.append([column["name"], column["filled"], *(column[f] for f in facts)])
    prose = [
        "Errors are root mean squares over held-out cells, in the unit of the column. The spread is the standard "
        "deviation of its known cells, and the last two numbers are their range.",
        *about,
    ]
    return Section(
        "columns",
        "Column by column",
        prose,
        table=Table("Fitted columns", head, rows, folded=False, keys=keys),
        parts=_carried(table.summary),
    )


def _worst(columns: list[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the columns to list, of many only those with the largest errors, and sentences about the choice."""
    if len(columns) <= MOST_LISTED:
        return columns, []
    shown = sorted(columns, key=_relative_error, reverse=True)[:MOST_LISTED]
    which = "with the largest errors relative to their spread" if _relative_error(shown[0]) >= 0 else "that come first"
    return shown, [f"The {MOST_LISTED} of {len(columns)} columns {which} are listed; all are in summary.json."]


def _relative_error(column: Mapping[str, Any]) -> float:
    """Return the error on held-out cells in units of the spread of the column; -1 if it is not known."""
    return -1.0 if column["error"] is None else float(column["error"] / (column["spread"] or 1.0))


def _carried(summary: Mapping[str, Any]) -> list[Section]:
    """Return the section about the columns that are not filled, if there are any."""
    others = [c for c in summary["columns"] if c["role"] != "fitted" and (c["holes"] or c["role"] != "index")]
    if not others:
        return []
    listing = [[c["name"], str(c["holes"]), c["reason"]] for c in others[:MOST_LISTED]]
    head = ("Column", "Missing cells", "Why")
    table = Table("Columns that are carried along", head, listing, folded=False, words=True)
    left = len(others) - len(listing)
    about = [f"{counted(left, 'more column')} of this kind: see summary.json."] if left else []
    return [Section("carried", "Columns that are not filled", about, table=table)]


def _errors(summary: Mapping[str, Any]) -> Section | None:
    found = summary["held_out"]
    if found is None:
        return None
    points = [
        f"{found['cells']} known cells were hidden, at most a fifth of the table at a time, and predicted by a fit to "
        "the others. The same cells were predicted by the mean of their column, and by 5 nearest neighbours in "
        "standardized columns (scikit-learn's KNNImputer).",
        *(["All this was measured when the model was fitted, on its table."] if summary["model"] else []),
        coverage_sentence(found, "cells"),
        "Missing cells can differ from known ones. If cells are missing because of their own value, errors are larger "
        "and intervals contain fewer cells than stated; nothing in the table can show this.",
    ]
    return Section("errors", "How the error was measured", points=points)


def _fit(table: FilledTable) -> Section:
    model = (
        "The numeric columns, in units of their standard deviations, are fitted by an offset for each column plus a "
        "matrix of low rank, with a penalty on its scaled trace."
    )
    return fit_section(model, "cells", table.summary, table.certificate)

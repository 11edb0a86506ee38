"""The page about predicted values of pairs: errors first, then recommendations, and the certificate last."""

from collections.abc import Mapping
from typing import Any

from flatmin.report.fitted_sections import (
    coverage_fact,
    coverage_sentence,
    fit_section,
    repeat_section,
    shown_share,
)
from flatmin.report.page import Fact, Page, Section, Table, Verdict
from flatmin.report.rating.held_out_charts import error_chart, prediction_chart
from flatmin.report.rating.rated_table import RatedTable
from flatmin.report.words import counted, number, sentence

__all__ = ["rating_page"]

#: The number of recommended columns in the report.
SHOWN_COLUMNS = 5


def rating_page(rated: RatedTable) -> Page:
    """Return the page about predicted values."""
    summary = rated.summary
    n, d = summary["shape"]
    known = f"{counted(summary['n_values'], 'value')} of pairs; " if summary["n_values"] is not None else ""
    sections = [_pictures(rated), _recommended(rated), _errors(rated), _fit(rated)]
    return Page(
        title=rated.input_name,
        kicker="flatmin rate",
        subtitle=f"{known}{counted(n, 'row')} and {counted(d, 'column')} in the model",
        verdict=_verdict(summary),
        highlights=_highlights(summary),
        sections=[*(s for s in sections if s is not None), repeat_section(rated.command, summary["seed"])],
        notes=list(map(sentence, rated.notes)),
    )


def _verdict(summary: Mapping[str, Any]) -> Verdict:
    """Return what was predicted, and how well values like these are predicted."""
    found, pairs = summary["held_out"], f"{counted(summary['n_predicted'], 'pair')} predicted"
    if found is None:
        return Verdict(False, f"{pairs}, with an error that is not known.", "Too few pairs can be held out.")
    if found["offsets_are_as_good"]:
        advice = (
            "On held-out pairs the matrix adds nothing to offsets of rows and columns, so all rows get nearly the same "
            "recommendations."
        )
        return Verdict(False, f"{pairs}. Offsets of rows and columns predict as well.", advice)
    gain = 100 * (1 - found["error"] / found["error_offsets"])
    advice = f"Held-out values are predicted with {gain:.2g} % less error than by offsets of rows and columns."
    return Verdict(summary["converged"], f"{pairs}, better than by offsets.", advice)


def _highlights(summary: Mapping[str, Any]) -> list[Fact]:
    found, given, facts = summary["held_out"], summary["given"], []
    if found is not None:
        facts = [
            Fact("Error on held-out pairs", number(found["error"]), "root mean square, in the unit of the values"),
            Fact("Row and column offsets", number(found["error_offsets"]), "error on the same pairs"),
            Fact("The mean", number(found["error_mean"]), "error on the same pairs"),
            coverage_fact(found, "values"),
        ]
    if given is not None:
        facts.append(Fact("Error on given pairs", number(given["error"]), f"of {given['pairs']} values in --predict"))
    facts.append(Fact("Predicted", str(summary["n_predicted"]), f"{summary['n_unknown']} with an unknown id"))
    return [*facts, Fact("Time", f"{number(summary['seconds'], 2)} s")]


def _pictures(rated: RatedTable) -> Section | None:
    found = rated.held_out
    figures = [] if found is None else [f for f in (prediction_chart(found), error_chart(found)) if f is not None]
    if not figures:
        return None
    level = shown_share(rated.summary["confidence"])
    prose = [
        f"Every prediction has an interval in predictions.csv, which is meant to contain {level} of such values. An "
        "interval is for one value. The errors of one row, or column, are related, so a mean of predictions is less "
        "certain than its intervals suggest."
    ]
    return Section("held-out", "Held-out values", prose, figures=figures)


def _recommended(rated: RatedTable) -> Section | None:
    if not rated.rankings:
        return None
    width = min(SHOWN_COLUMNS, max(len(columns) for _, columns, _ in rated.rankings))
    rows = []
    for row, columns, values in rated.rankings:
        cells = [f"{column} ({number(value)})" for column, value in zip(columns[:width], values[:width], strict=True)]
        rows.append([row, *cells, *[""] * (width - len(cells))])
    prose = [
        "Columns without a value, with the largest predictions first. The table has the rows with most values; "
        "recommendations.csv has all rows. Columns with few values can stand here by chance: see their intervals."
    ]
    head = ("Row", *(f"{k}." for k in range(1, width + 1)))
    table = Table("Recommended columns and predicted values", head, rows, folded=False, words=True)
    return Section("recommended", "Recommendations", prose, table=table)


def _errors(rated: RatedTable) -> Section | None:
    found = rated.summary["held_out"]
    if found is None:
        return None
    points = [
        f"{found['pairs']} known values were hidden, at most a fifth of them at a time, and predicted by a fit to the "
        "others. The same values were predicted by the mean of all others, and by a constant plus an offset for each "
        "row and column with estimated penalties.",
        "Every row and column kept at least one value, so these are errors for known rows and columns. New ones are "
        "predicted by fewer offsets, with larger errors.",
        *(["All this was measured when the model was fitted, on its values."] if rated.summary["model"] else []),
        coverage_sentence(found, "values"),
        "People choose what they rate, so pairs without a value can differ from those with one. Nothing in the values "
        "can show this.",
    ]
    return Section("errors", "How the error was measured", points=points)


def _fit(rated: RatedTable) -> Section:
    model = (
        "The values are fitted by a constant, an offset for each row and column, and a matrix of low rank with a "
        "penalty on its scaled trace, all together."
    )
    return fit_section(model, "values", rated.summary, rated.certificate)

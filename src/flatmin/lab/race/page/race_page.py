"""The page about a race: verdict, medians, charts, tuning runs, and the proof of the flattest value."""

import math
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._version import __version__
from flatmin.lab.displays import ScatterDisplay, page_svg
from flatmin.lab.displays.scatter import Cloud
from flatmin.lab.race.correlation import Correlation
from flatmin.lab.race.page.headline import (
    COLUMN_NAMES,
    PER_CENT,
    number_range,
    unfitting,
    verdict,
    with_interval,
)
from flatmin.lab.race.page.pictures import pictures
from flatmin.lab.race.page.ranking import Ranking
from flatmin.lab.race.page.trajectories import SMALLEST_DRAWN, Band, panels, trajectories
from flatmin.lab.race.result import RaceResult
from flatmin.report.page import Fact, Figure, Page, Section, Table, render
from flatmin.report.proof import proof
from flatmin.report.vocabulary import vocabulary_of
from flatmin.report.words import counted, listed, number

__all__ = ["medians", "write_race"]

#: Columns of the table of medians: the heading for each field.
MEDIANS = {
    "flatness_gap": "Gap",
    "relative_error": "Error",
    "loss": "Loss",
    "fits": "Fits",
    "diverged": "Diverged",
    "scaled_trace": "Trace",
    "rank": "Rank",
    "balance": "Balance",
    "step_size": "Step",
    "strength": "Strength",
    "seconds": "Seconds",
}
#: Columns of the table of tuning runs: the heading for each field.
TRIALS = {
    "step_size": "Step",
    "strength": "Strength",
    "loss": "Loss",
    "relative_error": "Error",
    "diverged": "Diverged",
    "gradients": "Gradients",
    "chosen": "Chosen",
}
#: The name on the page of each number of the protocol.
SETTINGS = {
    "budget": "Gradients a run",
    "seeds": "Seeds of the scored runs",
    "trials": "Step sizes tried for each",
    "tuning_budget": "Gradients a trial",
    "tuning_seed": "Seed of the trials",
    "points": "Largest number of observations of a run",
    "blow_up": "Factor of growth of the loss from which a run has diverged",
    "fits": "Largest loss that counts as fitting the data",
    "task": "Task",
    "version": "Version of the rules",
    "digest": "Fingerprint of the task",
}

EQUALLY_FLAT = (
    "The data determine the scaled trace of this model: all weights that fit are equally flat, and the flatness gap is "
    "0 all along every run. So runs differ in how well they fit, and errors are shown against the loss."
)


def write_race(
    path: Path, result: RaceResult, *, title: str, subtitle: str = "", command: str = "", notes: Sequence[str] = ()
) -> None:
    """Write the page about a race, one HTML file that loads nothing from outside.

    ``title`` and ``subtitle`` name the problem or the data, ``command`` is the command line that repeats the race, and
    ``notes`` are sentences for the reader.
    """
    ranking = Ranking(result)
    sections: list[Section | None] = [_introduction(ranking), medians(ranking), _along(ranking), _ends(ranking)]
    sections += [_diverged(ranking), _competitors(result), _protocol(result), _flattest(result), _repeat(command)]
    page = Page(
        title=title,
        kicker="flatmin race",
        subtitle=subtitle,
        verdict=verdict(ranking),
        caution=unfitting(ranking),
        highlights=_highlights(ranking),
        sections=[section for section in sections if section is not None],
        notes=[*notes, *(f"{name} did not run: {why}" for name, why in result.left_out.items())],
    )
    path.write_text(render(page), encoding="utf-8")


def _highlights(ranking: Ranking) -> list[Fact]:
    result, found = ranking.result, ranking.result.correlation
    runs = counted(len(result.table), "run")
    facts = []
    if result.flattest is not None:
        proved = "certified" if result.flattest.holds else "not certified"
        facts.append(Fact("Flattest value", number(float(result.flattest.value)), proved))
    facts.append(Fact("Competitors", str(len(result.competitors)), runs))
    facts.append(Fact("Budget", str(result.protocol["budget"]), "gradients a run"))
    if found is not None and found.value is not None:
        low, high = found.interval or (math.nan, math.nan)
        interval = f"95{PER_CENT}: {number(low, 2)} to {number(high, 2)}" if found.interval else ""
        facts.append(Fact("Rank correlation", number(found.value, 2), interval))
    facts.append(Fact("Diverged", str(len(ranking.diverged)), f"of {runs}"))
    return facts


def _introduction(ranking: Ranking) -> Section:
    """Return the section that explains the page to a reader who sees such a page for the first time."""
    flattest, budget = ranking.result.flattest, ranking.result.protocol["budget"]
    points = [
        f"Every competitor is a way to train the same model on the same data. A run may compute {budget} gradients. "
        "The step size of each competitor was chosen by one rule for all, stated below.",
        "Many weights fit the data, and training ends at some of them. Weights are called flat if the loss curves "
        "little around them. The scaled trace measures this curvature: it is a sum of second derivatives of the loss "
        "over all weights.",
    ]
    if flattest is not None:
        points.append(
            "The flattest value is the smallest scaled trace of all weights that fit, known with a proof. The flatness "
            "gap of a run is its excess over this value: 0 is as flat as can be, 1 is twice the smallest. It is never "
            "negative. Weights that do not fit the data are compared with all weights that have the same predictions."
        )
    if flattest is None:
        points.append("The error is measured on data that no competitor has seen.")
    elif ranking.has_errors:
        points.append("The error is the relative distance from the truth behind the data. No competitor knows it.")
    return Section("introduction", "What is shown", points=points)


def medians(ranking: Ranking) -> Section:
    """Return the section with the table of medians, in the order of the ranking."""
    columns = {c: head for c, head in MEDIANS.items() if any(row[c] is not None for row in ranking.rows)}
    cells = [[row["competitor"], *(_cell(c, row[c], row["runs"]) for c in columns)] for row in ranking.rows]
    keys = [
        [row["competitor"], *(_key(not row[c] if c == "fits" else row[c]) for c in columns)] for row in ranking.rows
    ]
    prose = [
        "Medians over the seeds; a run that diverged counts as infinite. Competitors that fit the data come first, the "
        "flattest of them before others. Press the head of a column to sort by it."
    ]
    table = Table("Medians", ["Competitor", *columns.values()], cells, folded=False, keys=keys)
    return Section("medians", "Medians", prose, table=table)


def _cell(column: str, value: Any, runs: int = 0) -> str:
    """Return the text of a cell of a table; the number of diverged runs is written as a part of ``runs``."""
    if isinstance(value, bool):
        return "yes" if value else "" if column == "chosen" else "no"
    if column == "diverged":
        return f"{value} of {runs}"
    if column == "gradients":
        return str(value)
    return f"{value:g}" if column == "rank" and value is not None else _digits(value)


def _digits(value: float | None) -> str:
    return "–" if value is None else "∞" if math.isinf(value) else number(float(value), 2)


def _key(value: float | None) -> float | None:
    """Return the number by which a cell is sorted; None places it at the end."""
    return None if value is None or not math.isfinite(value) else float(value)


def _along(ranking: Ranking) -> Section:
    """Return charts of loss and flatness against the gradients spent, with a few competitors in each panel."""
    quantities = {"loss": ranking.bands("loss")}
    if not ranking.determined:
        quantities[COLUMN_NAMES[ranking.flatness]] = ranking.bands(ranking.flatness)
    shown = [name for name in ranking.names if all(name in bands for bands in quantities.values())]
    figures = []
    for index, group in enumerate(panels(shown)):
        title = f"Places {1 + shown.index(group[0])} to {1 + shown.index(group[-1])}" if len(group) > 1 else group[0]
        ends = "; ".join(f"{name} {_end(quantities, name)}" for name in group)
        alt = f"{' and '.join(quantities)} against gradient evaluations, both logarithmic. At the end: {ends}."
        svg = trajectories(f"along-{index}", quantities, group, ranking.looks)
        figures.append(Figure(title, alt[:1].upper() + alt[1:], listed(group) + ".", svg=svg))
    for picture in pictures(ranking):
        svg = page_svg(picture, picture.name)
        figures.append(Figure(picture.title, picture.alt, picture.caption, svg=svg, wide=picture.wide))
    prose = [
        "Lines are medians over the seeds. Their light bands hold all seeds that have not diverged. Where the median "
        "diverges, a line leaves the chart or ends with a cross. Grey lines are the competitors of the other panels. "
        "Panels follow the order of the table."
    ]
    if ranking.determined:
        prose.insert(0, EQUALLY_FLAT)
    return Section("trajectories", "Along the way", prose, figures=figures)


def _end(quantities: Mapping[str, Mapping[str, Band]], name: str) -> str:
    return ", ".join(f"{title} {number(float(bands[name].middle[-1]), 2)}" for title, bands in quantities.items())


def _ends(ranking: Ranking) -> Section:
    """Return the section that shows errors against gaps, or against losses if all solutions are equally flat."""
    found, what = ranking.result.correlation, COLUMN_NAMES[ranking.compared]
    section = partial(Section, "flatness-and-error", "Flatness and error")
    if not ranking.has_errors:
        return section(["The truth is not known, so there are no errors to show."])
    title = "Error against " + what
    if ranking.determined:
        prose = EQUALLY_FLAT
    elif found is None or found.value is None:
        prose = "Too few competitors fit the data, or they differ too little, for a rank correlation."
    else:
        title += f", rank correlation {with_interval(found.value, found.interval)}"
        prose = _correlation_in_words(found)
    display = _scatter(ranking, title)
    figure = Figure(title, display.alt, display.caption, svg=page_svg(display, "errors"), wide=True)
    return section([prose], figures=[figure])


def _scatter(ranking: Ranking, title: str) -> ScatterDisplay:
    """Return the picture of the error of every run against its flatness, or its loss."""
    caption = "Each point is a run; both axes are logarithmic. A competitor has the same colour in all figures."
    if ranking.diverged:
        caption += f" Not shown: {counted(len(ranking.diverged), 'run')} that diverged."
    looks, ends = ranking.looks, ranking.ends()
    clouds = [
        Cloud(name, looks[name], np.maximum(points, SMALLEST_DRAWN)) for name, points in ends.items() if len(points)
    ]
    return ScatterDisplay(
        name="errors",
        title=title,
        caption=caption,
        wide=True,
        x=ranking.compared,
        y="relative_error",
        clouds=clouds,
        x_log=True,
        y_log=True,
        x_label=f"{COLUMN_NAMES[ranking.compared]} at the end",
        y_label="error on the test set" if ranking.result.flattest is None else "relative error",
    )


def _correlation_in_words(found: Correlation) -> str:
    sentence = (
        f"Spearman's rank correlation over {counted(found.runs, 'run')} of {counted(found.competitors, 'competitor')} "
        f"that fit the data is {with_interval(found.value, found.interval)}."
    )
    if found.within is not None:
        within = with_interval(found.within, found.within_interval)
        sentence += f" Among the runs of one competitor it is {within}."
    return f"{sentence} {found.ignores}"


def _diverged(ranking: Ranking) -> Section | None:
    if not ranking.diverged:
        return None
    points = []
    for name in ranking.names:
        rows = [row for row in ranking.diverged if row["competitor"] == name]
        if rows:
            seeds = listed([str(row["seed"]) for row in rows])
            after = number_range([float(row["gradients"]) for row in rows])
            points.append(f"{name}: seed{'s' if len(rows) > 1 else ''} {seeds}, after {after} gradients")
    prose = ["A run that diverges ends there. It counts as a result: its numbers are infinite in the medians."]
    return Section("diverged", "Runs that diverged", prose, points=points)


def _competitors(result: RaceResult) -> Section:
    rows = [[who.name, who.title, who.claims, who.source] for who in result.competitors.values()]
    table = Table("Competitors", ["Name", "What it is", "Said to minimise", "Source"], rows, folded=False, words=True)
    return Section("competitors", "The competitors and their claims", table=table)


def _protocol(result: RaceResult) -> Section:
    """Return the section with the rules of the race, its settings, and all tuning runs."""
    points, facts = [], []
    for name, value in result.protocol.items():
        heading = name.replace("_", " ").capitalize()
        if isinstance(value, str) and " " in value:
            points.append(f"{heading}: {value}")
        elif name != "share":
            facts.append(Fact(SETTINGS.get(name, heading), str(value) if name.endswith("seed") else _setting(value)))
    rows = [[trial["competitor"], *(_cell(c, trial[c]) for c in TRIALS)] for trial in result.tuning]
    head = ["Competitor", *TRIALS.values()]
    table = Table(f"All {len(rows)} trials of the tuning", head, rows) if rows else None
    return Section("protocol", "How it was run", points=points, facts=facts, table=table)


def _setting(value: object) -> str:
    if isinstance(value, list | tuple):
        return listed([_setting(v) for v in value])
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _flattest(result: RaceResult) -> Section | None:
    """Return the section with the proof of the flattest value, to which all gaps refer."""
    if result.flattest is None:
        return None
    solution, problem = result.flattest.solution, result.flattest.problem
    prose = [
        "All gaps refer to one number, the flattest value of the problem, and to a dual vector that proves it. The gap "
        "of a point, whether it fits or not, is its scaled trace minus the lower bound that this vector proves for all "
        "matrices with the same measurements. So it is never negative."
    ]
    certificate = solution.checked_certificate
    statements = proof(certificate, problem.measurement.size, 1.0, vocabulary_of(problem, certificate))
    return Section("flattest", "The flattest value", prose, statements=statements)


def _repeat(command: str) -> Section:
    versions = [Fact("flatmin", __version__), Fact("Python", platform.python_version())]
    versions += [Fact(name, version(package)) for name, package in (("NumPy", "numpy"), ("PyTorch", "torch"))]
    return Section("repeat", "To repeat it", code=command, facts=versions)

"""The page about a race: who came near the flattest value, what became of the error, and how it was run."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flatmin._version import __version__
from flatmin.lab.race import figures
from flatmin.lab.race.correlation import Correlation
from flatmin.lab.race.reading import RaceReading
from flatmin.lab.race.result import RaceResult
from flatmin.lab.race.verdict import PER_CENT, SPOKEN, correlation_of, spread_of, unfitting, verdict
from flatmin.report.page import Fact, Figure, Page, Section, Table, render
from flatmin.report.proof import proof
from flatmin.report.vocabulary import vocabulary_of
from flatmin.report.words import counted, listed, number

__all__ = ["medians", "race_page", "write_race"]

#: Columns of the table of medians: the field, the head.
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
#: What the numbers of the protocol are called.
SETTINGS = {
    "budget": "Gradients a run",
    "seeds": "Seeds of the scored runs",
    "trials": "Step sizes tried for each",
    "tuning_budget": "Gradients a trial",
    "tuning_seed": "Seed of the trials",
    "points": "Looks of the referee at a run, at most",
    "blow_up": "Growth of the loss that is a divergence",
    "fits": "Largest loss of a run that fits",
    "task": "Task",
    "version": "Version of the rules",
    "digest": "Fingerprint of the task",
}

EQUALLY_FLAT = (
    "The data determine the scaled trace of this model: whatever fits is equally flat, and the flatness gap is 0 all "
    "along every run. So runs differ in how well they fit, and errors are shown against the loss."
)


def write_race(
    path: Path, result: RaceResult, *, title: str, subtitle: str = "", command: str = "", notes: Sequence[str] = ()
) -> None:
    """Write the page about a race, one HTML file that loads nothing from outside.

    Parameters
    ----------
    path : Path
        The file.
    result : RaceResult
        The race.
    title, subtitle : str
        What was raced on.
    command : str
        What repeats the race.
    notes : sequence of str
        Sentences for the reader.
    """
    path.write_text(render(race_page(result, title, subtitle, command, notes)), encoding="utf-8")


def race_page(result: RaceResult, title: str, subtitle: str = "", command: str = "", notes: Sequence[str] = ()) -> Page:
    """Return the page about a race."""
    reading = RaceReading(result)
    sections: list[Section | None] = [_introduction(reading), medians(reading), _along(reading), _ends(reading)]
    sections += [_diverged(reading), _who(result), _protocol(result), _flattest(result), _repeat(command)]
    return Page(
        title=title,
        kicker="flatmin race",
        subtitle=subtitle,
        verdict=verdict(reading),
        caution=unfitting(reading),
        highlights=_highlights(reading),
        sections=[section for section in sections if section is not None],
        notes=[*notes, *(f"{name} did not run: {why}" for name, why in result.left_out.items())],
        footer=f"Written by flatmin {__version__}. This page loads nothing from outside.",
    )


def _highlights(reading: RaceReading) -> list[Fact]:
    result, found = reading.result, reading.result.correlation
    runs, gone = len(result.table), len(reading.diverged)
    facts = []
    if result.flattest is not None:
        proved = "certified" if result.flattest.holds else "not certified"
        facts.append(Fact("Flattest value", number(float(result.flattest.value)), proved))
    facts.append(Fact("Competitors", str(len(result.competitors)), counted(runs, "run")))
    if "budget" in result.protocol:
        facts.append(Fact("Budget", str(result.protocol["budget"]), "gradients a run"))
    if found is not None and found.value is not None:
        between = (
            f"95{PER_CENT}: {number(found.interval[0], 2)} to {number(found.interval[1], 2)}" if found.interval else ""
        )
        facts.append(Fact("Rank correlation", number(found.value, 2), between))
    facts.append(Fact("Diverged", str(gone), f"of {counted(runs, 'run')}"))
    return facts


def _introduction(reading: RaceReading) -> Section:
    """Return what is to be seen here, for someone who sees such a page for the first time."""
    flattest, budget = reading.result.flattest, reading.result.protocol.get("budget")
    spent = f"{budget} gradients" if budget else "the same number of gradients"
    points = [
        f"Every competitor is a way to train the same model on the same data. A run may compute {spent}; the step size "
        "of each competitor was chosen by one rule for all, which stands below.",
        "Many weights fit the data, and training ends at some of them. They are called flat where the loss bends "
        "little around them. The scaled trace measures it: a sum of second derivatives of the loss over all weights.",
    ]
    if flattest is not None:
        points.append(
            "The flattest value is the least scaled trace of all weights that fit, known with a proof. The flatness "
            "gap is how far a run lies above it: 0 is as flat as can be, 1 is twice the least. It is never negative; "
            "where weights do not fit, it compares them with what fits the data that they make."
        )
    if flattest is None:
        points.append("The error is the one on data that no competitor has seen.")
    elif reading.has_errors:
        points.append(
            "The error is the distance from the truth behind the data, relative to it. No competitor knows it."
        )
    return Section("introduction", "What is shown", points=points)


def medians(reading: RaceReading) -> Section:
    """Return the table of medians, in the order of the page."""
    rows = [row | {"fits": bool(row["fits"])} for row in reading.rows]
    columns = {c: head for c, head in MEDIANS.items() if any(row[c] is not None for row in rows)}
    cells = [[row["competitor"], *(_shown(column, row) for column in columns)] for row in rows]
    keys = [[row["competitor"], *(_key(not row[c] if c == "fits" else row[c]) for c in columns)] for row in rows]
    prose = [
        "Medians over the seeds; a run that diverged counts as infinite. Competitors that fit the data come first, the "
        "flattest of them before others. Press the head of a column to sort by it."
    ]
    head = ["Competitor", *columns.values()]
    return Section("medians", "Medians", prose, table=Table("Medians", head, cells, folded=False, keys=keys))


def _shown(column: str, row: Mapping[str, Any]) -> str:
    """Return a cell of the table of medians."""
    value = row[column]
    if column == "fits":
        return "yes" if value else "no"
    if column == "diverged":
        return f"{value} of {row['runs']}"
    return f"{value:g}" if column == "rank" and value is not None else _cell(value)


def _cell(value: float | None) -> str:
    return "–" if value is None else "∞" if math.isinf(value) else number(float(value), 2)


def _key(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _along(reading: RaceReading) -> Section:
    """Return loss and flatness along the runs, a few competitors at a time before all others in grey."""
    quantities = {"loss": reading.bands("loss")}
    if not reading.determined:
        quantities[SPOKEN[reading.flatness]] = reading.bands(reading.flatness)
    told = [name for name in reading.names if all(name in bands for bands in quantities.values())]
    groups = figures.panels(told)
    look = figures.styles(groups)
    spoken = " and ".join(quantities)
    drawn = []
    for index, group in enumerate(groups):
        title = f"Places {1 + told.index(group[0])} to {1 + told.index(group[-1])}" if len(group) > 1 else group[0]
        ends = "; ".join(f"{name} {_ends_at(quantities, name)}" for name in group)
        alt = f"{spoken} against gradient evaluations, both logarithmic. At the end: {ends}."
        svg = figures.trajectories(f"along-{index}", quantities, group, look)
        drawn.append(Figure(title, alt[:1].upper() + alt[1:], listed(group) + ".", svg=svg))
    prose = [
        "Lines are medians over the seeds, in their light bands lie all seeds that go on; where the median diverges, a "
        "line leaves the chart or ends with a cross. Grey lines are the competitors of the other panels. Panels follow "
        "the order of the table."
    ]
    if reading.determined:
        prose.insert(0, EQUALLY_FLAT)
    return Section("trajectories", "Along the way", prose, figures=drawn)


def _ends_at(quantities: Mapping[str, Mapping[str, figures.Band]], name: str) -> str:
    return ", ".join(f"{title} {number(float(bands[name].middle[-1]), 2)}" for title, bands in quantities.items())


def _ends(reading: RaceReading) -> Section:
    """Return errors against gaps, with the rank correlation; against the loss where all are equally flat."""
    result, found = reading.result, reading.result.correlation
    if not reading.has_errors:
        return Section("errors", "Flatness and error", ["The truth is not known, so there are no errors to show."])
    what = SPOKEN[reading.compared]
    clouds = reading.clouds()
    kind = "error on the test set" if result.flattest is None else "relative error"
    told = "Error against " + what
    title = told
    prose = []
    if reading.determined:
        prose.append(EQUALLY_FLAT)
    elif found is None or found.value is None:
        prose.append("Too few competitors fit the data, or they differ too little, for a rank correlation.")
    else:
        title += f", rank correlation {correlation_of(found)}"
        prose.append(_correlation_in_words(found))
    points = sum(len(cloud.x) for cloud in clouds.values())
    alt = f"{told} at the end of {counted(points, 'run')}, both logarithmic: "
    alt += "; ".join(f"{name} {_cell(_middle(c.x))}, {_cell(_middle(c.y))}" for name, c in clouds.items() if len(c.x))
    caption = "One point a run, both axes logarithmic. A competitor keeps its colour and mark throughout."
    if reading.diverged:
        caption += f" Not shown: {counted(len(reading.diverged), 'run')} that diverged."
    look = figures.styles(figures.panels(reading.names))
    svg = figures.scatter("errors", clouds, (f"{what} at the end", kind), look)
    return Section("errors", "Flatness and error", prose, figures=[Figure(title, alt + ".", caption, svg=svg)])


def _middle(values: Any) -> float:
    return float(sorted(values)[len(values) // 2])


def _correlation_in_words(found: Correlation) -> str:
    said = (
        f"Spearman's rank correlation over {counted(found.runs, 'run')} of {counted(found.competitors, 'competitor')} "
        f"that fit the data is {correlation_of(found)}."
    )
    if found.within is not None:
        low, high = found.within_interval or (math.nan, math.nan)
        said += f" Among the runs of one competitor it is {number(found.within, 2)}"
        said += f" ({number(low, 2)} to {number(high, 2)})." if found.within_interval else "."
    return f"{said} {found.ignores}"


def _who(result: RaceResult) -> Section:
    rows = [[who.name, who.title, who.claims, who.source] for who in result.competitors.values()]
    table = Table("Competitors", ["Name", "What it is", "Said to minimise", "Source"], rows, folded=False, words=True)
    return Section("competitors", "Who ran, and what is said of them", table=table)


def _protocol(result: RaceResult) -> Section:
    """Return how the race was run: rules in words, settings in numbers, and every trial of the tuning."""
    points, facts = [], []
    for name, value in result.protocol.items():
        spoken = name.replace("_", " ").capitalize()
        if isinstance(value, str) and " " in value:
            points.append(f"{spoken}: {value}")
        elif name != "share":
            facts.append(Fact(SETTINGS.get(name, spoken), str(value) if name.endswith("seed") else _setting(value)))
    head = ("Competitor", "Step", "Strength", "Loss", "Error", "Diverged", "Gradients", "Chosen")
    rows = [
        [
            trial["competitor"],
            *(_cell(trial[column]) for column in ("step_size", "strength", "loss", "relative_error")),
            "yes" if trial["diverged"] else "no",
            str(trial["gradients"]),
            "yes" if trial["chosen"] else "",
        ]
        for trial in result.tuning
    ]
    table = Table(f"All {len(rows)} trials of the tuning", head, rows) if rows else None
    return Section("protocol", "How it was run", points=points, facts=facts, table=table)


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return listed([_setting(v) for v in value])
    if isinstance(value, Mapping):
        return listed([f"{name} {_setting(v)}" for name, v in value.items()])
    return number(float(value)) if isinstance(value, int | float) else "not set" if value is None else str(value)


def _diverged(reading: RaceReading) -> Section | None:
    if not reading.diverged:
        return None
    points = []
    for name in reading.names:
        rows = [row for row in reading.diverged if row["competitor"] == name]
        if rows:
            seeds = listed([str(row["seed"]) for row in rows])
            after = spread_of(sorted(float(row["gradients"]) for row in rows))
            points.append(f"{name}: seed{'s' if len(rows) > 1 else ''} {seeds}, after {after} gradients")
    prose = ["A run that diverges is a result. It stops there, and counts as infinite in medians."]
    return Section("diverged", "Runs that diverged", prose, points=points)


def _flattest(result: RaceResult) -> Section | None:
    """Return how the value that all gaps refer to was proved."""
    if result.flattest is None:
        return None
    solution, problem = result.flattest.solution, result.flattest.problem
    c = solution.certificate
    prose = [
        "All gaps refer to one number, the flattest value of the problem, and to a dual vector that proves it. The gap "
        "of a point, whether it fits or not, is its scaled trace less what that vector proves of matrices with its "
        "measurements; so it is never negative."
    ]
    statements = proof(c, problem.measurement.size, 1.0, vocabulary_of(problem, c))
    return Section("flattest", "The flattest value", prose, statements=statements)


def _repeat(command: str) -> Section:
    versions = [Fact("flatmin", __version__), Fact("Python", platform.python_version())]
    versions += [Fact(name, version(package)) for name, package in (("NumPy", "numpy"), ("PyTorch", "torch"))]
    return Section("repeat", "To repeat it", code=command, facts=versions)

"""What an experiment was run with, in words: its grid, its trials, its machines and its failures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from flatmin.lab.evidence import Evidence
from flatmin.lab.runs.experiment import key_of
from flatmin.lab.runs.store import Result
from flatmin.lab.stored_evidence import Maker, Provenance
from flatmin.report.page import Fact, Table
from flatmin.report.words import counted, listed, number

__all__ = ["failures_of", "part_of_the_grid", "settings_of", "size_of", "spoken_time", "unfinished"]

#: Levels of a parameter and reasons of failures that are listed; of more, the first and the last, or their number.
LEVELS, REASONS = 12, 20
#: What the facts of a maker are called.
NAMES = {"flatmin": "flatmin", "python": "Python", "numpy": "NumPy", "scipy": "SciPy", "machine": "Machine"}


def settings_of(evidence: Evidence, provenance: Provenance | None = None) -> list[Fact]:
    """Return the grid, the repetitions, the time, and with what all was computed."""
    results = [*evidence.results, *evidence.failed]
    facts = [Fact(f"Parameter {name}", _levels(results, name)) for name in _names(results)]
    cells = Counter(result.trial.key[0] for result in results)
    draws = len({result.trial.seed for result in results})
    facts += [
        Fact("Cells", str(len(cells))),
        Fact("Repetitions", _between(list(cells.values())), "Trials of each cell."),
        Fact("Trials", str(len(results)), f"{len(evidence)} done, {len(evidence.failed)} failed."),
        Fact("Seeds", str(draws), _seeds(evidence)),
    ]
    share = _share_of_the_grid(evidence)
    if share:
        facts.append(Fact("Part of the full grid", share, "Trials of the experiment at its default size."))
    facts.append(
        Fact("Time of the trials", spoken_time(sum(result.seconds for result in results)), "Added over all processes.")
    )
    facts.append(Fact("Version", evidence.experiment.version, "A digest of the code of a cell; others are never mixed in."))
    return facts + (_origin(provenance) if provenance is not None else [])


def part_of_the_grid(evidence: Evidence) -> tuple[int, int]:
    """Return how many trials of the recipe's grid are there, done or failed, and how many the grid has."""
    recipe, trials = evidence.planned, {r.trial.key: r.trial for r in [*evidence.results, *evidence.failed]}
    cells = {key_of(cell) for cell in recipe.cells}
    there = [
        trial
        for key, trial in trials.items()
        if key[0] in cells
        and trial.repetition < recipe.repetitions
        and trial == recipe.trial(trial.parameters, trial.repetition)
    ]
    return len(there), len(cells) * recipe.repetitions


def size_of(evidence: Evidence) -> str:
    """Return how many trials there are; where some of the grid are missing, of how many, and how many are not of it."""
    total = len(evidence) + len(evidence.failed)
    there, planned = part_of_the_grid(evidence)
    if there == planned:
        return counted(total, "trial")
    if total > there:
        return f"{counted(total, 'trial')}, {there} of the grid's {planned}"
    return f"{there} of {counted(planned, 'trial')}"


def unfinished(evidence: Sequence[Evidence]) -> str:
    """Return which grids are not complete, in two sentences, or nothing."""
    parts = [each for each in evidence if len(set(part_of_the_grid(each))) == 2]
    if not parts:
        return ""
    named = listed([f"{each.name} ({size_of(each)})" for each in parts], most=20)
    return f"Only a part of the grid is there: {named}. Verdicts may change with the rest."


def failures_of(evidence: Evidence) -> tuple[str, Table]:
    """Return how many trials failed in a sentence, and their reasons with an example each."""
    reasons = Counter(str(result.reason) for result in evidence.failed)
    rows = []
    for reason, count in reasons.most_common(REASONS):
        first = next(result.trial for result in evidence.failed if result.reason == reason)
        where = ", ".join(f"{name} {value}" for name, value in first.parameters.items())
        rows.append([reason, counted(count, "trial"), f"{where}, seed {first.seed}"])
    total = len(evidence) + len(evidence.failed)
    said = f"{counted(len(evidence.failed), 'trial')} of {total} failed, for {counted(len(reasons), 'reason')}."
    if len(reasons) > REASONS:
        said += f" The {REASONS} most frequent ones are listed."
    return said, Table("Reasons of failed trials", ["Reason", "How often", "For example"], rows, False, words=True)


def spoken_time(seconds: float) -> str:
    """Return a time for reading.

    Examples
    --------
    >>> spoken_time(0.25), spoken_time(42), spoken_time(600), spoken_time(9000)
    ('0.25 s', '42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{number(seconds, 2)} s"
    return f"{number(seconds / 60, 2)} min" if seconds < 6000 else f"{number(seconds / 3600, 2)} h"


def _names(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(name for result in results for name in result.trial.parameters))


def _levels(results: Sequence[Result], name: str) -> str:
    """Return the values of a parameter: all, or how many between which."""
    values = {result.trial.parameters[name] for result in results if name in result.trial.parameters}
    levels = sorted(values, key=lambda value: (isinstance(value, str), value))
    if len(levels) <= LEVELS:
        return ", ".join(_value(level) for level in levels)
    return f"{_value(levels[0])} to {_value(levels[-1])} ({len(levels)} values)"


def _value(value: Any) -> str:
    return number(value, 6) if isinstance(value, float) else str(value)


def _between(counts: Sequence[int]) -> str:
    low, high = min(counts, default=0), max(counts, default=0)
    return str(low) if low == high else f"{low} to {high}"


def _seeds(evidence: Evidence) -> str:
    paired = evidence.experiment.paired
    same = f" The same for every {listed(paired)}, so that these are compared on the same draws." if paired else ""
    return f"Different random draws.{same}"


def _share_of_the_grid(evidence: Evidence) -> str:
    """Return how many of the trials of the recipe that is known by this name are there; empty if there is none."""
    from flatmin.lab import recipes

    name = evidence.name
    if name not in recipes.names() or recipes.find(name).version != evidence.experiment.version:
        return ""
    planned = {trial.key for trial in recipes.find(name).trials()}
    there = {result.trial.key for result in [*evidence.results, *evidence.failed]}
    return f"{len(planned & there)} of {len(planned)}"


def _origin(provenance: Provenance) -> list[Fact]:
    facts = [Fact("Store", listed(provenance.files))] if provenance.files else []
    if provenance.repeated:
        facts.append(Fact("In several stores", counted(provenance.repeated, "trial"), "Each counts once."))
    if provenance.first is not None and provenance.last is not None:
        days = sorted({_day(provenance.first), _day(provenance.last)})
        facts.append(Fact("Computed", " to ".join(days)))
    for name, called in NAMES.items():
        found = Counter[str]()
        for maker in provenance.makers:
            found[maker.facts.get(name, "not noted")] += maker.trials
        if found:
            facts.append(Fact(called, _shares(found)))
    return facts + _other_sources(provenance.makers)


def _shares(found: Counter[str]) -> str:
    """Return a value, or each with the number of trials that have it."""
    if len(found) == 1:
        return next(iter(found))
    return listed([f"{value} ({counted(count, 'trial')})" for value, count in found.most_common()])


def _other_sources(makers: Sequence[Maker]) -> list[Fact]:
    older = sum(maker.trials for maker in makers if maker.elsewhere)
    if not older:
        return []
    return [
        Fact("Other sources", counted(older, "trial"), "Computed with another state of flatmin's source than today's.")
    ]


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(moment))

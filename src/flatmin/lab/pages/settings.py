"""Settings of an experiment in words: its grid, trials, machines and failures."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import RECIPES
from flatmin.lab.runs.experiment import key_of
from flatmin.lab.runs.provenance import Provenance
from flatmin.lab.runs.store import Result
from flatmin.report.page import Fact, Table
from flatmin.report.words import counted, listed, number

__all__ = ["failures_of", "part_of_the_grid", "settings_of", "size_of", "time_in_words", "unfinished"]

#: Up to this number of values of a parameter are all listed; of more values only the first and the last.
MAX_LEVELS = 12
#: The largest number of reasons for failures that are listed.
MAX_REASONS = 20
#: The heading of each fact of an environment, by the fact's key.
FACT_NAMES = {"flatmin": "flatmin", "python": "Python", "numpy": "NumPy", "scipy": "SciPy", "machine": "Machine"}


def settings_of(evidence: Evidence, provenance: Provenance | None = None) -> list[Fact]:
    """Return the grid, the repetitions, the computing time, the versions and the machines as facts for the page."""
    results = [*evidence.results, *evidence.failed]
    names = dict.fromkeys(name for result in results for name in result.trial.parameters)
    cells = Counter(result.trial.key[0] for result in results)
    repetitions = sorted({min(cells.values(), default=0), max(cells.values(), default=0)})
    draws = len({result.trial.seed for result in results})
    share, paired = _share_of_the_grid(evidence), evidence.experiment.paired
    same = f" Equal for every {listed(paired)}, so that these are compared on the same draws." if paired else ""
    facts = [
        *(Fact(f"Parameter {name}", _levels(results, name)) for name in names),
        Fact("Cells", str(len(cells))),
        Fact("Repetitions", " to ".join(map(str, repetitions)) or "0", "Trials of each cell."),
        Fact("Trials", str(len(results)), f"{len(evidence)} done, {len(evidence.failed)} failed."),
        Fact("Seeds", str(draws), f"Different random draws.{same}"),
    ]
    if share:
        facts.append(Fact("Part of the full grid", share, "Trials of the experiment at its default size."))
    total = time_in_words(sum(result.seconds for result in results))
    facts.append(Fact("Time of the trials", total, "Added over all processes."))
    version = evidence.experiment.version
    facts.append(
        Fact("Version", version, "A digest of the code that computes a trial; trials of other versions are left out.")
    )
    return facts + (_origin(provenance) if provenance is not None else [])


def part_of_the_grid(evidence: Evidence) -> tuple[int, int]:
    """Return how many trials of the planned grid have a result, and how many trials the grid has."""
    experiment, trials = evidence.planned, {r.trial.key: r.trial for r in [*evidence.results, *evidence.failed]}
    cells = {key_of(cell) for cell in experiment.cells}
    there = [
        trial
        for key, trial in trials.items()
        if key[0] in cells
        and trial.repetition < experiment.repetitions
        and trial == experiment.trial(trial.parameters, trial.repetition)
    ]
    return len(there), len(cells) * experiment.repetitions


def size_of(evidence: Evidence) -> str:
    """Return the number of trials as text; if the grid is incomplete, also the number of planned trials."""
    total = len(evidence) + len(evidence.failed)
    there, planned = part_of_the_grid(evidence)
    if there == planned:
        return counted(total, "trial")
    if total > there:
        return f"{counted(total, 'trial')}, {there} of the grid's {planned}"
    return f"{there} of {counted(planned, 'trial')}"


def unfinished(evidence: Sequence[Evidence]) -> str:
    """Return two sentences about the grids that are incomplete, or an empty text if there is none."""
    parts = [each for each in evidence if len(set(part_of_the_grid(each))) == 2]
    if not parts:
        return ""
    named = listed([f"{each.name} ({size_of(each)})" for each in parts], most=20)
    return f"Only a part of the grid has been computed: {named}. Verdicts may change with the others."


def failures_of(evidence: Evidence) -> tuple[str, Table]:
    """Return a sentence with the number of failed trials, and a table of the reasons, each with an example."""
    reasons = Counter(str(result.reason) for result in evidence.failed)
    rows = []
    for reason, count in reasons.most_common(MAX_REASONS):
        first = next(result.trial for result in evidence.failed if result.reason == reason)
        where = ", ".join(f"{name} {value}" for name, value in first.parameters.items())
        rows.append([reason, counted(count, "trial"), f"{where}, seed {first.seed}"])
    total = len(evidence) + len(evidence.failed)
    summary = f"{counted(len(evidence.failed), 'trial')} of {total} failed, for {counted(len(reasons), 'reason')}."
    if len(reasons) > MAX_REASONS:
        summary += f" The {MAX_REASONS} most frequent ones are listed."
    return summary, Table("Reasons of failed trials", ["Reason", "How often", "For example"], rows, False, words=True)


def time_in_words(seconds: float) -> str:
    """Return a time in seconds, minutes or hours, as text.

    Examples
    --------
    >>> time_in_words(0.25), time_in_words(42), time_in_words(600), time_in_words(9000)
    ('0.25 s', '42 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{number(seconds, 2)} s"
    return f"{number(seconds / 60, 2)} min" if seconds < 6000 else f"{number(seconds / 3600, 2)} h"


def _levels(results: Sequence[Result], name: str) -> str:
    """Return all values of a parameter as text, or the first, the last and their number if there are many."""
    values = {result.trial.parameters[name] for result in results if name in result.trial.parameters}
    levels = sorted(values, key=lambda value: (isinstance(value, str), value))
    if len(levels) <= MAX_LEVELS:
        return ", ".join(map(_value, levels))
    return f"{_value(levels[0])} to {_value(levels[-1])} ({len(levels)} values)"


def _value(value: Any) -> str:
    return number(value, 6) if isinstance(value, float) else str(value)


def _share_of_the_grid(evidence: Evidence) -> str:
    """Return in words which share of the full recipe's trials has a result; empty if no recipe has this name."""
    name = evidence.name
    if name not in RECIPES.names() or RECIPES.find(name).version != evidence.experiment.version:
        return ""
    planned = {trial.key for trial in RECIPES.find(name).trials()}
    there = {result.trial.key for result in [*evidence.results, *evidence.failed]}
    return f"{len(planned & there)} of {len(planned)}"


def _origin(provenance: Provenance) -> list[Fact]:
    facts = [Fact("Store", listed(provenance.files))] if provenance.files else []
    if provenance.repeated:
        facts.append(Fact("In several stores", counted(provenance.repeated, "trial"), "Each counts once."))
    if provenance.first is not None and provenance.last is not None:
        days = sorted({time.strftime("%Y-%m-%d", time.gmtime(day)) for day in (provenance.first, provenance.last)})
        facts.append(Fact("Computed", " to ".join(days)))
    for name, heading in FACT_NAMES.items():
        found = Counter[str]()
        for environment in provenance.environments:
            found[environment.facts.get(name, "not noted")] += environment.trials
        if len(found) == 1:
            facts.append(Fact(heading, next(iter(found))))
        elif found:
            shares = [f"{value} ({counted(count, 'trial')})" for value, count in found.most_common()]
            facts.append(Fact(heading, listed(shares)))
    older = sum(environment.trials for environment in provenance.environments if environment.differs)
    note = "Computed with another state of flatmin's source than today's."
    return facts + ([Fact("Other sources", counted(older, "trial"), note)] if older else [])

"""What a study is: a question, an experiment, and claims that its numbers decide.

To add one, write a file in this directory, named as the study with underscores. Its docstring says what is claimed,
what would refute it, and where it comes from. It defines ``STUDY = Study(name, question, expectation, run)``:

- ``run(quick=False, seed=0)`` returns `Findings`. The full version takes minutes, the quick one seconds: it is what the
  tests run. Everything random comes from ``seed``.
- ``rows`` are measurements: plain dictionaries, one for each network, instance or repetition. ``by`` names the columns
  that make a setting; the table shows the mean and half of the 95 % interval over the rows of each.
- ``claims`` are made before the run, from `Claim.exact` for numbers without chance, `Claim.of_mean` and
  `Claim.of_share` for repetitions. One is a control that would fail if the experiment saw nothing.
- ``draw(figure)`` fills an empty Matplotlib figure.

``python -m flatmin.lab.studies NAME [--quick] [--seed S] [--output DIR]`` finds it by its file.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.files import atomic_directory
from flatmin.errors import InputError
from flatmin.lab.claims import Claim, interval

__all__ = ["Findings", "Row", "Study", "draw_nothing", "write_findings"]

#: One measurement: its setting and what was found, plain numbers, words, True and False.
Row = dict[str, Any]
#: The files of a study's results; a directory with the first one may be replaced.
FILES = ("findings.json", "rows.csv", "figure.png")


def draw_nothing(figure: Any) -> None:
    """Leave a figure empty."""


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Attributes
    ----------
    rows : list of dict
        One measurement each.
    claims : list of Claim
        What was expected, judged by the rows.
    by : tuple of str
        Columns that name a setting; rows that agree in them are repetitions.
    draw : callable
        Draws the picture into an empty Matplotlib figure.
    """

    rows: list[Row]
    claims: list[Claim]
    by: tuple[str, ...] = ()
    draw: Callable[[Any], None] = field(default=draw_nothing, compare=False, repr=False)

    @property
    def columns(self) -> list[str]:
        """Return the names of all columns, in the order in which rows bring them."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    def summary(self) -> list[Row]:
        """Return one row a setting: how many repetitions, and of each number the mean and half the 95% interval."""
        if not self.by:
            return self.rows
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(tuple(row.get(key) for key in self.by), []).append(row)
        rest = [key for key in self.columns if key not in self.by and key != "seed"]
        out = []
        for setting, rows in groups.items():
            cells = {key: _mean([row[key] for row in rows if row.get(key) is not None]) for key in rest}
            out.append(dict(zip(self.by, setting, strict=True)) | {"n": len(rows)} | cells)
        return out

    def table(self) -> str:
        """Return the summary as aligned text."""
        rows = self.summary()
        columns = list(dict.fromkeys(key for row in rows for key in row))
        cells = [columns, *([_cell(row.get(key)) for key in columns] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells)

    def figure(self) -> Any:
        """Return the picture, a Matplotlib figure."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        self.draw(figure)
        return figure

    def __str__(self) -> str:
        return "\n".join([self.table(), "", *map(str, self.claims)])


@dataclass(frozen=True)
class Study:
    """A question, what is expected, and the experiment that answers.

    Attributes
    ----------
    name : str
        As on the command line, "relu-bias".
    question, expectation : str
        One sentence each; the expectation is written before the run.
    run : callable
        ``run(quick=False, seed=0)`` returns `Findings`; the quick one takes a few seconds.
    """

    name: str
    question: str
    expectation: str
    run: Callable[..., Findings]


def write_findings(study: Study, findings: Findings, target: Path, settings: Mapping[str, Any]) -> None:
    """Write ``findings.json``, ``rows.csv`` and ``figure.png`` to a directory, all of them or none.

    Raises
    ------
    InputError
        If the directory cannot be written, or holds something else.
    """
    if target.exists() and not (target.is_dir() and {p.name for p in target.iterdir()} <= set(FILES)):
        raise InputError(f"the output {target} exists and is no former result of a study; choose another directory")
    document = {
        "study": study.name,
        "question": study.question,
        "expectation": study.expectation,
        **settings,
        "claims": [vars(claim) | {"verdict": claim.verdict} for claim in findings.claims],
        "rows": findings.rows,
    }
    try:
        with atomic_directory(target) as folder:
            (folder / FILES[0]).write_text(json.dumps(_plain(document), indent=1, allow_nan=False) + "\n", "utf-8")
            with (folder / FILES[1]).open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, findings.columns)
                writer.writeheader()
                writer.writerows(_plain(findings.rows))
            findings.figure().savefig(folder / FILES[2], dpi=150)
    except OSError as error:
        raise InputError(f"the output {target} cannot be written: {error.strerror or error}") from error


def _mean(values: Sequence[Any]) -> Any:
    """Return one cell for repetitions: mean and half width of numbers, the share of True, or the word."""
    if not values or isinstance(values[0], str):
        return values[0] if len(set(values)) == 1 else None
    numbers = np.asarray(values, dtype=float)
    if len(numbers) == 1 or np.ptp(numbers) == 0:
        return values[0]
    low, high = interval(numbers)
    return f"{numbers.mean():.3g} ± {(high - low) / 2:.1g}"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _plain(value: Any) -> Any:
    """Return what JSON can say: numbers of Python, and null for NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value

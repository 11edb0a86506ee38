"""The pictures of a race for talks: courses in the plane of flatness gap and error, and slices of the loss."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flatmin.lab.displays import Display, save_figures
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.race.page.headline import COLUMN_NAMES
from flatmin.lab.race.page.ranking import Ranking
from flatmin.lab.race.result import RaceResult

__all__ = ["pictures", "write_pictures"]

CHOICE = (
    "From the flattest competitor to the sharpest, of those that fit if any does; of each the run with the median {}."
)
#: Largest number of competitors in a picture.
MOST = 4


def pictures(ranking: Ranking) -> list[Display]:
    """Return the pictures that a race has.

    They show competitors from the flattest to the sharpest; those that fit the data, if any does. Each competitor is
    shown by the run whose last gap is the median of its runs. There are no courses without errors or gaps, or if all
    solutions are equally flat.
    """
    result, caption = ranking.result, CHOICE.format(COLUMN_NAMES[ranking.compared])
    optima = [] if result.flattest_error is None else [result.flattest_error]
    courses = list(_courses(ranking))
    return training_displays(courses, "From start to end", optima=optima, caption=caption, around=caption)


def write_pictures(folder: Path, result: RaceResult) -> None:
    """Write the pictures of a race, such as ``courses.png`` and ``courses.svg``."""
    found = pictures(Ranking(result))
    if found:
        save_figures(found, folder)


def _shown(ranking: Ranking) -> Iterator[dict[str, Any]]:
    """Yield the rows of the runs in the pictures."""
    kept = [row["competitor"] for row in ranking.rows if row["fits"]] or ranking.names
    for name in dict.fromkeys(kept[place] for place in np.linspace(0, len(kept) - 1, MOST).round().astype(int)):
        runs = [row for row in ranking.result.table if row["competitor"] == name and not row["diverged"]]
        if runs:
            runs.sort(key=lambda row: float(row[ranking.compared]))
            yield runs[(len(runs) - 1) // 2]


def _courses(ranking: Ranking) -> Iterator[Course]:
    """Yield the courses of these runs. They have no points if the race has no errors or no gaps to compare."""
    result = ranking.result
    plane = result.flattest is not None and not ranking.determined and ranking.has_errors
    for row in _shown(ranking):
        name, key = row["competitor"], (row["competitor"], row["seed"])
        curves, kept = result.trajectories[key], result.slices.get(key)
        points = np.empty((0, 2))
        if plane:
            points = np.column_stack([curves["flatness_gap"], curves["relative_error"]])
        end = None if kept is None else Slice.from_lists(name, kept)
        yield Course(name, ranking.looks[name], points, end)

"""The pictures of a race for talks: courses in the plane of flatness gap and error, and slices of the loss."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flatmin.lab.displays import Display, save_figures
from flatmin.lab.displays.training.plane import MARKS, Course, PlaneDisplay
from flatmin.lab.displays.training.slices import Slice, SlicesDisplay
from flatmin.lab.race.page.headline import COLUMN_NAMES
from flatmin.lab.race.page.ranking import Ranking
from flatmin.lab.race.result import RaceResult

__all__ = ["pictures", "write_pictures"]

CHOICE = (
    "From the flattest competitor to the sharpest, of those that fit if any does; of each the run with the median {}."
)
SLICED = (
    "The training loss around the last weights of a run, along the directions of the largest and the smallest "
    "curvature. All panels have the same axes; steep curves leave them at the top."
)
#: Largest number of competitors in a picture.
MOST = 4


def pictures(ranking: Ranking) -> list[Display]:
    """Return the pictures that a race has.

    They show competitors from the flattest to the sharpest; those that fit the data, if any does. Each competitor is
    shown by the run whose last gap is the median of its runs. There are no courses without errors or gaps, or if all
    solutions are equally flat.
    """
    return [picture for picture in (_courses(ranking), _slices(ranking)) if picture is not None]


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


def _courses(ranking: Ranking) -> PlaneDisplay | None:
    result = ranking.result
    if result.flattest is None or ranking.determined or not ranking.has_errors:
        return None
    found = []
    for row in _shown(ranking):
        curves = result.trajectories[row["competitor"], row["seed"]]
        points = np.column_stack([curves["flatness_gap"], curves["relative_error"]])
        looks = ranking.looks[row["competitor"]]
        found.append(Course(row["competitor"], looks, points[np.isfinite(points).all(axis=1)]))
    if not found:
        return None
    return PlaneDisplay(
        name="courses",
        title="From start to end",
        caption=f"{CHOICE.format('gap')} {MARKS}",
        x_label="flatness gap",
        y_label="relative error",
        courses=found,
        optimum=result.flattest_error,
    )


def _slices(ranking: Ranking) -> SlicesDisplay | None:
    found = []
    for row in _shown(ranking):
        kept = ranking.result.slices.get((row["competitor"], row["seed"]))
        if kept is not None:
            losses, (largest, smallest) = np.stack([kept["sharpest"], kept["flattest"]]), kept["curvatures"]
            found.append(Slice(row["competitor"], kept["steps"], losses, (float(largest), float(smallest))))
    if not found:
        return None
    return SlicesDisplay(
        name="slices",
        title="The loss around the ends of training",
        caption=f"{SLICED} {CHOICE.format(COLUMN_NAMES[ranking.compared])}",
        slices=found,
    )

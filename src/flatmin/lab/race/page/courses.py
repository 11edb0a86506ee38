"""The picture of a race for talks: a few runs as courses in the plane of flatness gap and error."""

from pathlib import Path

import numpy as np

from flatmin.lab.displays import save_figures
from flatmin.lab.displays.training.plane import MARKS, Course, PlaneDisplay
from flatmin.lab.race.page.ranking import Ranking
from flatmin.lab.race.result import RaceResult

__all__ = ["courses", "write_courses"]

CAPTION = (
    "From the flattest competitor to the sharpest, of those that fit if any does; of each the run with the median gap."
)
#: Largest number of competitors in the picture.
MOST = 4


def courses(ranking: Ranking) -> PlaneDisplay | None:
    """Return the courses of competitors from the flattest to the sharpest; those that fit the data, if any does.

    Each competitor is shown by the run whose last gap is the median of its runs. There is no picture without errors or
    gaps, or if all solutions are equally flat.
    """
    result = ranking.result
    if result.flattest is None or ranking.determined or not ranking.has_errors:
        return None
    kept = [row["competitor"] for row in ranking.rows if row["fits"]] or ranking.names
    found = []
    for name in dict.fromkeys(kept[place] for place in np.linspace(0, len(kept) - 1, MOST).round().astype(int)):
        runs = [row for row in result.table if row["competitor"] == name and not row["diverged"]]
        if not runs:
            continue
        runs.sort(key=lambda row: float(row["flatness_gap"]))
        curves = result.trajectories[name, runs[(len(runs) - 1) // 2]["seed"]]
        points = np.column_stack([curves["flatness_gap"], curves["relative_error"]])
        found.append(Course(name, ranking.looks[name], points[np.isfinite(points).all(axis=1)]))
    if not found:
        return None
    return PlaneDisplay(
        name="courses",
        title="From start to end",
        caption=f"{CAPTION} {MARKS}",
        x_label="flatness gap",
        y_label="relative error",
        courses=found,
        optimum=result.flattest_error,
    )


def write_courses(folder: Path, result: RaceResult) -> None:
    """Write the picture to ``courses.png`` and ``courses.svg``, if there is one."""
    picture = courses(Ranking(result))
    if picture is not None:
        save_figures([picture], folder)

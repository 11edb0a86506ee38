"""The pictures of a race for talks."""

import dataclasses

import numpy as np
import pytest

from flatmin.families import phase_retrieval
from flatmin.lab.race.page.pictures import pictures, write_pictures
from flatmin.lab.race.page.ranking import Ranking
from tests.lab.race.example_races import NETWORK, example_race, flattest


def sliced(result):
    """Return a result whose runs that did not diverge have a bowl at their end."""
    steps = np.linspace(-1, 1, 5)
    bowl = {"steps": steps, "sharpest": 3 * steps**2, "flattest": 0 * steps, "curvatures": np.array([6.0, 0.0])}
    rows = [row for row in result.table if not row["diverged"]]
    return dataclasses.replace(result, slices={(row["competitor"], row["seed"]): bowl for row in rows})


def test_competitors_from_the_flattest_to_the_sharpest_are_shown():
    ranking = Ranking(sliced(example_race(flattest_error=1e-3)))
    plane, slices = pictures(ranking)
    fitting = [row["competitor"] for row in ranking.rows if row["fits"]]
    assert [plane.courses[0].label, plane.courses[-1].label] == [fitting[0], fitting[-1]]
    assert len(plane.courses) == 4
    assert [course.label for course in plane.courses] == [each.label for each in slices.slices]
    assert slices.slices[0].curvatures == (6.0, 0.0)
    assert plane.optima == [1e-3]
    gaps = {
        name: sorted(r["flatness_gap"] for r in ranking.result.table if r["competitor"] == name) for name in fitting
    }
    for course in plane.courses:
        assert course.points[-1, 0] == gaps[course.label][2]
        assert np.isfinite(course.points).all()


def test_pictures_are_written_as_png_and_svg(tmp_path):
    names = ("gradient-descent-small", "two-point")
    write_pictures(tmp_path / "old", example_race(names=names, seeds=1))  # runs without slices
    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == ["courses.png", "courses.svg"]
    write_pictures(tmp_path / "new", sliced(example_race(names=names, seeds=1)))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        f"{name}.{ending}" for name in ("courses", "slices") for ending in ("png", "svg")
    ]
    (unfitting,) = pictures(Ranking(example_race(names=("two-point",), seeds=1)))
    assert [course.label for course in unfitting.courses] == ["two-point"]


@pytest.mark.parametrize(
    "settings", [{"error": False}, {"of": NETWORK}, {"of": flattest(phase_retrieval), "gap": False}]
)
def test_without_errors_or_gaps_there_are_only_slices(settings):
    assert pictures(Ranking(example_race(**settings))) == []
    assert [picture.name for picture in pictures(Ranking(sliced(example_race(**settings))))] == ["slices"]


def test_of_runs_that_diverged_there_is_no_picture(tmp_path):
    lost = example_race(names=("gradient-descent-large-step",))
    assert pictures(Ranking(sliced(lost))) == []
    write_pictures(tmp_path, lost)
    assert not list(tmp_path.iterdir())

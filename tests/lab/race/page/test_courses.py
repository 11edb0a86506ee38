"""The picture of a race for talks."""

import numpy as np

from flatmin.lab.race.page.courses import courses, write_courses
from flatmin.lab.race.page.ranking import Ranking
from tests.lab.race.example_races import NETWORK, example_race


def test_competitors_from_the_flattest_to_the_sharpest_are_shown():
    ranking = Ranking(example_race(flattest_error=1e-3))
    display = courses(ranking)
    fitting = [row["competitor"] for row in ranking.rows if row["fits"]]
    assert [display.courses[0].label, display.courses[-1].label] == [fitting[0], fitting[-1]]
    assert len(display.courses) == 4
    assert display.optimum == 1e-3
    gaps = {
        name: sorted(r["flatness_gap"] for r in ranking.result.table if r["competitor"] == name) for name in fitting
    }
    for course in display.courses:
        assert course.points[-1, 0] == gaps[course.label][2]
        assert np.isfinite(course.points).all()


def test_the_picture_is_written_as_png_and_svg(tmp_path):
    write_courses(tmp_path, example_race(names=("gradient-descent-small", "two-point"), seeds=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["courses.png", "courses.svg"]
    unfitting = courses(Ranking(example_race(names=("two-point",), seeds=1)))
    assert [course.label for course in unfitting.courses] == ["two-point"]


def test_without_errors_gaps_or_fits_there_is_no_picture():
    assert courses(Ranking(example_race(error=False))) is None
    assert courses(Ranking(example_race(of=NETWORK))) is None
    assert courses(Ranking(example_race(names=("gradient-descent-large-step",)))) is None

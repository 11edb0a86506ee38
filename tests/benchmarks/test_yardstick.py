"""The yardstick's instances are what they say, its solves measure, and a run that was cut off goes on."""

import numpy as np
import pytest
from benchmarks import yardstick

SMALL = {"shape": (60, 60), "rank": 2}


@pytest.mark.parametrize("condition", yardstick.CONDITIONS)
def test_instances(condition):
    drawn = yardstick.instance(condition, 2.5, 3, shape=(100, 100), rank=3)
    s = np.linalg.svd(drawn.truth, compute_uv=False)
    entries = drawn.problem.measurement
    assert s[:3] == pytest.approx(np.geomspace(condition, 1, 3))
    assert s[3] < 1e-9
    assert entries.size == round(2.5 * 3 * 197)
    assert len(set(zip(entries.rows, entries.cols, strict=True))) == entries.size
    assert np.array_equal(drawn.problem.data, drawn.truth[entries.rows, entries.cols])


def test_cells_are_drawn_again_where_a_line_has_too_few():
    def fewest(redraw):
        lines = [yardstick.instance(10.0, 2.0, seed, **SMALL, redraw=redraw).problem.measurement for seed in range(40)]
        return [min(np.bincount(i, minlength=60).min() for i in (entries.rows, entries.cols)) for entries in lines]

    again, fallen = fewest(True), fewest(False)
    assert min(again) >= 2 > min(fallen)
    assert [a for a, f in zip(again, fallen, strict=True) if f >= 2] == [f for f in fallen if f >= 2]


def test_solves_measure():
    found = yardstick.reweighted(1e5, 3.0, 0, **SMALL)
    assert found["error"] < 1e-9
    assert found["rank"] == 2
    flat = yardstick.flat(10.0, 2.0, 0, **SMALL)
    assert flat["holds"]
    assert flat["rank"] > 2
    assert flat["error"] > yardstick.RECOVERED


def test_finished_solves_are_kept(tmp_path):
    made = []

    def solve(number):
        made.append(number)
        return {"found": number}

    path = tmp_path / "store.jsonl"
    yardstick.Store(path).get(solve, 1)
    with path.open("a") as file:
        file.write('\n{"solve": ["solve", 2], "fou')
    assert yardstick.Store(path).get(solve, 1) == {"found": 1}
    for _ in range(2):
        assert yardstick.Store(path).get(solve, 2) == {"found": 2}
    assert made == [1, 2]

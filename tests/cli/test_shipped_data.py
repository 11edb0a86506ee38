"""The data that ship with the project."""

import csv
import json
from pathlib import Path

import pytest

from flatmin.formats.image import Image

DATA = Path(__file__).parents[2] / "examples" / "data"


def test_the_pressure_record_is_completed_and_certified(flatmin, tmp_path):
    run = flatmin("recover", "matrix-completion", DATA / "pressure.csv", "--json")
    assert run.code == 0
    summary = json.loads(run.out)
    assert summary["certificate"]["holds"] is True
    assert summary["undetermined_rows"] == summary["undetermined_cols"] == []
    with (DATA / "pressure.csv").open() as before, (tmp_path / "pressure-flat" / "completed.csv").open() as after:
        pairs = [
            pair for rows in zip(csv.reader(before), csv.reader(after), strict=True) for pair in zip(*rows, strict=True)
        ]
    holes = [new for old, new in pairs[1:] if old == ""]
    assert len(holes) == 156
    assert all(950 < float(new) < 1060 for new in holes)
    assert all(old == new for old, new in pairs if old)


def test_the_photograph_has_holes():
    assert (DATA / "astronaut.png").stat().st_size < 100_000
    image = Image.read(DATA / "astronaut.png")
    assert image.cells.shape == (64, 192)
    assert 0.6 < len(image.cells.values) / (64 * 192) < 0.75


@pytest.mark.slow
def test_the_photograph_is_completed_and_certified(flatmin, tmp_path):
    run = flatmin("recover", "matrix-completion", DATA / "astronaut.png", "--json")
    assert run.code == 0
    assert json.loads(run.out)["certificate"]["holds"] is True
    assert (tmp_path / "astronaut-flat" / "completed.png").exists()

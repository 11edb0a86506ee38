"""Solved problems that the report is tried on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import flatmin as fm
from flatmin.families import matrix_completion
from flatmin.measurements import Entries
from flatmin.report import SolvedProblem, write_report
from tests.report.made import context_of, of_network, of_picture, of_split


@pytest.fixture
def page(tmp_path: Path):
    """Return a function that writes a report and returns its text."""

    def write(context: SolvedProblem) -> str:
        path = tmp_path / "report.html"
        write_report(path, context)
        return path.read_text(encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def above() -> SolvedProblem:
    """A completion whose truth is recovered."""
    instance = matrix_completion.sample((60, 40), 2, 1200)
    return context_of(instance.problem, truth=instance.truth, kind="matrix")


@pytest.fixture(scope="session")
def below() -> SolvedProblem:
    """A completion with too few entries to recover the truth."""
    instance = matrix_completion.sample((30, 20), 2, 110)
    return context_of(instance.problem, truth=instance.truth, notes=["A note for the reader."])


@pytest.fixture(scope="session")
def table() -> SolvedProblem:
    """A table whose labels would be markup if they were not escaped; row 4 is empty."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((18, 1)) @ rng.standard_normal((1, 9)) * np.logspace(0, 3, 9)
    keep = rng.random((18, 9)) < 0.75
    keep[4] = False
    rows, cols = np.nonzero(keep)
    return context_of(
        fm.Problem(Entries(rows, cols, (18, 9)), values[rows, cols]),
        kind="table",
        row_labels=[f"<b>row {i}</b>" for i in range(18)],
        column_labels=[
            "<script>alert(1)</script>",
            "$x$",
            "a & b",
            "温度",
            "line\nbreak",
            "nul\0",
            "g",
            "h",
            '"quoted"',
        ],
        notes=["<img src=http://example.org/x.png>"],
    )


@pytest.fixture(scope="session")
def photo() -> SolvedProblem:
    """An image with missing pixels."""
    smooth = 0.5 + 0.4 * np.outer(np.sin(np.arange(48) / 9), np.cos(np.arange(64) / 13))
    keep = np.random.default_rng(0).random((48, 64)) < 0.5
    rows, cols = np.nonzero(keep)
    context = context_of(fm.Problem(Entries(rows, cols, (48, 64)), smooth[rows, cols]), kind="image")
    image = np.clip(context.solution.matrix, 0, 1)
    return replace(context, image=image, observed_image=np.where(keep, image, np.nan))


@pytest.fixture(scope="session")
def network() -> SolvedProblem:
    """A quadratic network beside its teacher."""
    return of_network()


@pytest.fixture(scope="session")
def phases() -> SolvedProblem:
    """A complex image of phase retrieval, with a pixel that no mask sees."""
    return of_picture((20, 30), True)


@pytest.fixture(scope="session")
def split() -> SolvedProblem:
    """Robust PCA of three frames."""
    return of_split(kind="frames", picture=lambda matrix: np.clip(np.hstack([matrix, matrix, matrix]), 0, 1))[0]

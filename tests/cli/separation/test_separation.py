import json

import numpy as np
import pytest

from flatmin.cli.separation.separation import Separation
from flatmin.cli.separation.separation_model import SeparationModel
from tests.cli.separation.conftest import WRONG


@pytest.fixture
def separation(table):
    model = SeparationModel.fit(table, None, None, 0, None)
    return Separation(table, model, *model.fitted_parts(table.matrix), 1.0)


def test_the_summary_counts_what_the_refit_calls_an_error(separation):
    summary = separation.summary
    json.dumps(summary, allow_nan=False)
    assert summary["n_errors"] == separation.mask.sum()
    assert summary["n_errors"] >= WRONG.sum()
    assert summary["error_share"] == pytest.approx(summary["n_errors"] / 360)
    assert (summary["rank"], summary["kind"], summary["frames"]) == (1, "table", None)
    assert 0.02 < summary["sigma"] < 0.1
    assert summary["columns"][0] == {"name": "who", "role": "carried", "reason": "text"}


def test_the_decision_is_said_in_one_line(separation, exact):
    assert [note for note in separation.notes() if note.startswith("treated as noisy")]
    model = SeparationModel.fit(exact, None, None, 0, None)
    split = Separation(exact, model, *model.fitted_parts(exact.matrix), 1.0)
    assert [note for note in split.notes() if note.startswith("treated as exact")]
    assert split.summary["sigma"] == 0


def test_the_report_has_names_and_units(separation):
    shown = separation.reported("t.csv", "flatmin separate t.csv")
    assert shown.name(1) == "b"
    assert shown.label(3) == "p3"
    assert np.median(np.abs(shown.in_units(shown.low_rank))) < 2

import io
import json
import time
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from flatmin import InputError, PairRegressor
from flatmin._core.progress import listening
from flatmin.cli.fitted_estimator import (
    FoldClock,
    comparing,
    coverage_rows,
    earlier_results,
    fit_fields,
    fitted,
    intervals,
)
from flatmin.cli.output import RATING


class Fit:
    def __init__(self, category=None):
        self.category = category

    def fit(self, X):
        if self.category:
            warnings.warn("slow", self.category, stacklevel=1)

    def predict_interval(self, X, confidence_level):
        if confidence_level > 0.9:
            raise InputError("too few")
        return X - confidence_level, X + confidence_level


@pytest.mark.parametrize(("category", "converged"), [(None, True), (UserWarning, True), (ConvergenceWarning, False)])
def test_a_warning_about_convergence_is_a_fact(category, converged):
    assert fitted(Fit(category), np.zeros(3))[1] is converged


def test_intervals_are_unknown_if_they_cannot_be_calibrated():
    low, high = intervals(Fit(), np.zeros((2, 3)), 0.5, (2, 3))
    assert (low[0, 0], high[1, 2]) == (-0.5, 0.5)
    assert np.isnan(intervals(Fit(), np.zeros(4), 0.95, (4,))).all()


def test_earlier_results(tmp_path):
    with pytest.raises(InputError, match="holds no results of flatmin rate"):
        earlier_results(tmp_path, RATING, dict)
    (tmp_path / "summary.json").write_text(json.dumps(dict.fromkeys(RATING.fields, 1)))
    with pytest.raises(InputError, match=r"has no model\.npz"):
        earlier_results(tmp_path, RATING, dict)
    (tmp_path / "model.npz").touch()
    assert earlier_results(tmp_path, RATING, lambda summary: summary["n_predicted"]) == 1
    with pytest.raises(InputError, match="holds no results"):
        earlier_results(tmp_path, RATING, lambda summary: summary["names"])


def test_the_fields_of_a_fit():
    fit = PairRegressor(0.3, random_state=7).fit([(i, j) for i in range(4) for j in range(3)], np.arange(12.0))
    fields = fit_fields(fit, True)
    assert (fields["rank"], fields["alpha"], fields["seed"], fields["predicts"]) == (fit.rank_, fit.alpha_, 7, None)
    assert fields["certificate"]["holds"]


def test_rows_about_intervals():
    found = {"coverage": 0.912, "confidence": 0.9}
    rows = coverage_rows({"held_out": found, "model": "d", "confidence": 0.9}, "50 held-out cells")
    assert rows["intervals"] == "90 % asked for; they contain 91.2 % of 50 held-out cells"
    rows = coverage_rows({"held_out": found, "model": "d", "confidence": 0.5}, "50 held-out cells")
    assert rows["intervals"] == "50 % asked for; those for 90 % contain 91.2 % of 50 held-out cells"
    assert rows["measured"] == "when the model in d was fitted"
    assert coverage_rows({"held_out": found | {"coverage": None}, "model": None}, "") == {}


def test_progress_names_the_fit_after_the_comparison(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    with comparing("values", quiet=False) as watch:
        watch(0, 1)
        watch(1, 1)
    assert "comparing on held-out values: 0 of 1" in terminal.getvalue()
    assert "fitting all values" in terminal.getvalue()


def test_the_time_left_is_that_of_folds_and_of_a_larger_fit(monkeypatch):
    seconds = iter([10.0, 10.0, 50.0, 50.0, 80.0, 200.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))
    clock = FoldClock(started=0.0)
    clock.watch(0, 1)
    assert clock.words("values") == "comparing on held-out values: 0 of 1, 11 s"
    clock.watch(1, 1)
    assert clock.words("values") == "fitting all values, about 70 s left"
    assert clock.words("values") == "fitting all values, about 33 s left"
    assert clock.words("values") == "fitting all values, longer than expected"


def test_the_line_of_progress_is_written_again(monkeypatch):
    heard = []
    monkeypatch.setattr("flatmin.cli.fitted_estimator.TICK", 0.01)
    with listening(heard.append), comparing("values", quiet=False) as watch:
        watch(0, 3)
        deadline = time.monotonic() + 10
        while len(heard) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(heard) >= 3
    assert heard[-1] == {"done": 0, "total": 3}

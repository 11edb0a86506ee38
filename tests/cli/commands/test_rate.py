import csv
import json
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from flatmin import PairRegressor
from tests.cli.rating.conftest import PAIRS, VALUES

#: An option that makes fits fast.
FAST = ("--alpha", "0.1")


def rows(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


@pytest.fixture(autouse=True)
def one_fold(monkeypatch):
    monkeypatch.setattr("flatmin.estimators._pairs.pair_comparison.ALL_FOLDS", 0)


@pytest.fixture
def without_pictures(monkeypatch):
    monkeypatch.setattr("flatmin.cli.commands.rate.write_rating_report", lambda path, rated: path.write_text("-"))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "r.csv"
    lines = [f"{column};{row};{value:.3f}" for (row, column), value in zip(PAIRS.tolist(), VALUES, strict=True)]
    path.write_text("\n".join(["FILM;NUTZER;NOTE", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def rated(flatmin, data, without_pictures):
    run = flatmin("rate", data, "-o", "out", "--json", *FAST)
    assert run.code == 0
    return run


def test_predictions_are_those_of_the_estimator(rated, tmp_path):
    expected = PairRegressor(0.1).fit(PAIRS, VALUES.round(3))
    _, *found = rows(tmp_path / "out" / "predictions.csv")
    pairs = np.array([row[:2] for row in found])
    np.testing.assert_allclose([float(row[2]) for row in found], expected.predict(pairs), rtol=1e-9)
    summary = json.loads(rated.out)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["names"] == ["NUTZER", "FILM", "NOTE"]
    assert (summary["shape"], summary["n_values"], summary["n_predicted"]) == ([25, 12], 200, len(found))
    errors = [summary["held_out"][name] for name in ("error", "error_offsets", "error_mean")]
    assert errors[0] < 0.26 < 0.3 < errors[1] < errors[2]
    assert summary["certificate"]["holds"]
    assert "rows are 'NUTZER', columns 'FILM' and values 'NOTE'; --row" in rated.err


def test_a_model_predicts_given_pairs_and_new_rows(rated, flatmin, tmp_path, monkeypatch):
    _, first, second, *_ = rows(tmp_path / "out" / "predictions.csv")
    (tmp_path / "p.csv").write_text(f"NUTZER,FILM\n{first[0]},{first[1]}\n{second[0]},{second[1]}\n")
    assert flatmin("rate", "--model", "out", "--predict", "p.csv").code == 0
    assert rows(tmp_path / "p-rated" / "predictions.csv")[1:] == [first, second]
    (tmp_path / "new.csv").write_text("film,nutzer,note\nc0,new,2\nc1,new,1\n")
    assert flatmin("rate", "new.csv", "--model", "out", "--recommend", "2", "--clip", "observed").code == 0
    ranked = rows(tmp_path / "new-rated" / "recommendations.csv")[1:]
    assert [row[:2] for row in ranked] == [["new", "1"], ["new", "2"]]
    assert not (tmp_path / "new-rated" / "model.npz").exists()
    again = flatmin("rate", "--model", "new-rated", "--predict", "p.csv", "-o", "other")
    assert (again.code, "no model.npz" in again.err) == (2, True)


def test_predictions_are_clipped(flatmin, data, tmp_path, without_pictures):
    run = flatmin("rate", data, "--clip", "-0.5,0.5", "--recommend", "0", "--json", *FAST)
    assert run.code == 0
    found = [[float(x) for x in row[2:]] for row in rows(tmp_path / "r-rated" / "predictions.csv")[1:]]
    assert all(-0.5 <= low <= value <= high <= 0.5 for value, low, high in found)
    summary = json.loads(run.out)
    assert (summary["clip"], summary["n_recommended"]) == ([-0.5, 0.5], 0)
    assert not (tmp_path / "r-rated" / "recommendations.csv").exists()


def test_the_printed_table_and_the_report(flatmin, data, tmp_path):
    run = flatmin("rate", data, *FAST)
    text = " ".join(run.out.split())
    assert "200 values in 25 rows and 12 columns" in text
    assert "row and column offsets" in text
    page = (tmp_path / "r-rated" / "report.html").read_text()
    parts = ["Error on held-out pairs", "Predicted and true values", "Recommended columns", "The certificate is a"]
    assert [page.index(part) for part in parts] == sorted(page.index(part) for part in parts)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--model", "."], "--model . holds no results of flatmin rate"),
        (["--model", "out", "--seed", "1"], "--seed and --model exclude each other"),
        (["--confidence", "90"], "--confidence is 90, expected a number between 0 and 1"),
        (["--clip", "3,1"], "--clip is '3,1', expected LO,HI such as 1,5, or observed"),
        (["--clip", ",5"], "--clip is ',5', expected LO,HI"),
        (["--recommend", "-1"], "--recommend is -1"),
        (["--row", "nobody"], "--row names the column 'nobody', found 'FILM', 'NUTZER', 'NOTE'"),
        (["--value", "FILM"], "values has no numbers"),
        (["--predict", "none.csv"], "the --predict none.csv does not exist"),
        (["--output", "."], "would replace"),
        (["--alpha", "-1"], "alpha"),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(flatmin, data, tmp_path, options, part):
    run = flatmin("rate", data, *options)
    assert (run.code, run.out) == (2, "")
    assert part in run.err
    assert run.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [data]


def test_ratings_or_a_model_are_needed(flatmin):
    run = flatmin("rate")
    assert (run.code, "RATINGS is missing" in run.err) == (2, True)


def test_without_intervals_values_are_predicted_all_the_same(flatmin, tmp_path, without_pictures):
    (tmp_path / "few.csv").write_text("user,item,rating\na,x,1\na,y,2\nb,x,3\n")
    run = flatmin("rate", "few.csv", "--clip", "observed")
    assert run.code == 0
    assert rows(tmp_path / "few-rated" / "predictions.csv")[1][3:] == ["", ""]
    assert "not measured" in run.out
    assert "predictions have no intervals" in run.err


def test_an_interruption_leaves_nothing(flatmin, data, tmp_path, monkeypatch):
    def interrupted(self, X, y):
        raise KeyboardInterrupt

    monkeypatch.setattr(PairRegressor, "fit", interrupted)
    run = flatmin("rate", data, "-o", "deep/out")
    assert (run.code, run.out, run.err) == (130, "", "")
    assert list(tmp_path.iterdir()) == [data]


def test_a_fit_that_does_not_converge_is_written_with_status_1(flatmin, data, without_pictures, monkeypatch):
    fit = PairRegressor.fit

    def slow(self, *args, **kwargs):
        warnings.warn("iteration_limit", ConvergenceWarning, stacklevel=1)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(PairRegressor, "fit", slow)
    run = flatmin("rate", data, "--json", *FAST)
    assert (run.code, json.loads(run.out)["converged"]) == (1, False)

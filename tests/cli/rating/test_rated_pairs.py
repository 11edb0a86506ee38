from dataclasses import replace

import numpy as np
import pytest

from flatmin.cli.rating import rated_pairs
from flatmin.cli.rating.rated_pairs import RatedPairs
from flatmin.formats.tables import PairTable
from tests.cli.rating.conftest import PAIRS, TABLE, VALUES


def test_all_pairs_without_a_value_are_predicted_if_there_are_few(model):
    found = RatedPairs.predicted(model, TABLE, None, 3, 0.9)
    known, predicted = ({tuple(pair) for pair in pairs.tolist()} for pairs in (PAIRS, found.pairs))
    assert found.chosen == "unrated"
    assert len(found.pairs) == len(predicted) == 25 * 12 - 200
    assert not known & predicted
    np.testing.assert_array_equal(found.value, model.estimator.predict(found.pairs))
    assert np.all(found.low < found.value)
    assert np.all(found.value < found.high)


def test_the_best_columns_of_each_row_are_recommended(model):
    found = RatedPairs.predicted(model, TABLE, None, 3, 0.9)
    by_row = {}
    for (row, column), value in zip(found.pairs.tolist(), found.value, strict=True):
        by_row.setdefault(row, []).append((-value, column))
    assert [row for row, *_ in found.rankings] == list(dict.fromkeys(PAIRS[:, 0].tolist()))
    for row, columns, values in found.rankings:
        best = sorted(by_row[row])[:3]
        assert columns.tolist() == [column for _, column in best]
        np.testing.assert_allclose(-values, [value for value, _ in best])


def test_the_recommended_pairs_are_predicted_if_there_are_many(model, monkeypatch):
    monkeypatch.setattr(rated_pairs, "MOST_PAIRS", 10)
    found = RatedPairs.predicted(model, TABLE, None, 2, 0.9)
    assert found.chosen == "recommended"
    assert len(found.pairs) == found.summary["n_recommended"]
    assert any("--predict takes a file with other pairs" in note for note in found.notes())
    empty = RatedPairs.predicted(model, TABLE, None, 0, 0.9)
    assert (len(empty.pairs), empty.rankings) == (0, [])


def test_given_pairs_with_values_are_judged(model):
    asked = PairTable(("who", "what"), np.array([["r1", "c1"], ["new", "c2"], ["r3", "c3"]]), np.array([1, np.nan, 2]))
    found = RatedPairs.predicted(model, TABLE, asked, 0, 0.9)
    assert found.summary["n_unknown"] == 1
    assert found.unknown.tolist() == [False, True, False]
    errors = found.value[[0, 2]] - [1, 2]
    assert found.summary["given"]["error"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert found.summary["given"]["pairs"] == 2
    assert any("1 pair has an unknown row or column" in note for note in found.notes())


def test_files(model, tmp_path):
    found = RatedPairs.predicted(model, TABLE, None, 1, 0.9)
    assert found.write(tmp_path) == ["predictions.csv", "recommendations.csv"]
    head, first, *rest = (tmp_path / "predictions.csv").read_text().splitlines()
    assert head == "row,column,value,low,high"
    assert first.split(",")[:2] == found.pairs[0].tolist()
    assert float(first.split(",")[2]) == pytest.approx(found.value[0], rel=1e-11)
    assert len(rest) == 99
    assert (tmp_path / "recommendations.csv").read_text().splitlines()[1].split(",")[:2] == [PAIRS[0, 0], "1"]


def test_notes_about_the_values(model):
    table = PairTable(TABLE.names, np.concatenate([PAIRS, PAIRS[:1]]), np.append(VALUES, 1.0), 2, ["read so"])
    notes = RatedPairs.predicted(model, table, None, 1, 0.9).notes()
    assert notes[:3] == [
        "read so",
        "2 lines without a row, a column or a value are left out",
        "1 value is of a pair that stands in an earlier line; all values count",
    ]


def test_a_prediction_is_outside_the_range_if_it_differs_by_more_than_rounding(model):
    found = RatedPairs.predicted(model, TABLE, None, 1, 0.9)
    low, high = (model.facts[side] for side in ("smallest", "largest"))
    assert not any("outside" in note for note in replace(found, value=np.full_like(found.value, high + 1e-14)).notes())
    assert "outside" in replace(found, value=np.full_like(found.value, low - 0.01)).notes()[-1]

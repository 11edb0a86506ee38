"""Ids of rows and columns as users have them."""

import datetime as dt
import pickle
import uuid

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from flatmin.errors import InputError
from flatmin.estimators._pairs.ids import PairIds

NAMES = [("anna", 7), ("bob", 3), ("anna", 3)]


@pytest.mark.parametrize(
    "X",
    [
        NAMES,
        np.array(NAMES, dtype=object),
        pd.DataFrame(NAMES, columns=["who", "what"], index=[5, 5, 2]),
        pd.DataFrame(NAMES).astype({0: "category", 1: "Int64"}),
        pd.DataFrame(NAMES).astype({0: "string", 1: float}),
    ],
)
def test_names_and_numbers_in_whatever_container(X):
    ids = pickle.loads(pickle.dumps(PairIds.from_pairs(X)))
    assert ids.row_ids.tolist() == ["anna", "bob"]
    assert ids.column_ids.tolist() == [3, 7]
    rows, columns = ids.codes(X)
    assert rows.tolist() == [0, 1, 0]
    assert columns.tolist() == [1, 0, 0]
    assert [code.tolist() for code in ids.codes([("carla", 3), ("bob", 8)])] == [[-1, 1], [0, -1]]


@pytest.mark.parametrize(
    "names",
    [
        [3.0, 1.0, 2.5],
        [dt.date(2026, 1, 2), dt.date(2025, 1, 2), dt.date(2027, 1, 2)],
        pd.to_datetime(["2026-01-02", "2025-01-02", "2027-01-02"]),
        [uuid.UUID(int=3), uuid.UUID(int=1), uuid.UUID(int=2)],
        [True, False, True],
        [2**70, 1, 5],
        [b"b", b"a", b"c"],
    ],
)
def test_anything_that_can_be_sorted_is_an_id(names):
    X = pd.DataFrame({"who": names, "what": [1, 2, 3]})
    ids = PairIds.from_pairs(X)
    rows, columns = ids.codes(X)
    assert rows.tolist() == [sorted(set(names)).index(name) for name in names]
    assert columns.tolist() == [0, 1, 2]


def test_whole_numbers_are_the_same_ids_as_floats():
    ids = PairIds.from_pairs(np.array([[1, 2], [3, 4]]))
    assert [code.tolist() for code in ids.codes(np.array([[3.0, 2.0], [1.5, 4.0]]))] == [[1, -1], [0, 1]]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((3, 3)), r"3 feature\(s\) \(shape=\(3, 3\)\), expected two columns"),
        (np.zeros(3), r"shape \(3,\), expected two columns"),
        ("ab", "expected two columns"),
        (None, "expected two columns"),
        (np.zeros((0, 2)), "0 pairs"),
        (pd.DataFrame({"a": [1]}), r"shape=\(1, 1\)"),
        ([("a", 1), ("b",)], "ragged"),
        ([(np.nan, 1), (2, 3)], "column 0 of X contains NaN or missing"),
        ([("a", None)], "column 1 of X contains NaN or missing"),
        (pd.DataFrame({"a": ["x", None], "b": [1, 2]}), "column 0 of X contains NaN or missing"),
        (pd.DataFrame({"a": [1, 2], "b": pd.array([1, None], dtype="Int64")}), "column 1 of X contains NaN"),
        ([("a", 1), (2, 3)], "column 0 of X holds int and str"),
        ([(object(), 1), (object(), 2)], "column 0 of X holds object"),
        (np.array([[1j, 2]]), "Complex data not supported"),
        (scipy.sparse.eye(2).tocsr(), "X is sparse"),
    ],
)
def test_what_is_no_pair_of_ids_is_refused_in_a_sentence(X, message):
    with pytest.raises(InputError, match=message):
        PairIds.from_pairs(X)


def test_strings_in_place_of_numbers_are_no_unknown_ids():
    ids = PairIds.from_pairs([(1, 2), (3, 4)])
    with pytest.raises(InputError, match="column 1 of X holds strings, expected numbers as in fit"):
        ids.codes([(1, "2")])
    with pytest.raises(InputError, match="column 0 of X holds date, expected numbers as in fit"):
        ids.codes([(dt.date(2026, 1, 1), 2)])


@pytest.mark.parametrize("first", [2**60, 2**63, 2**64, 10**30])
def test_large_whole_numbers_are_told_apart(first):
    pairs = [(first, 0), (first + 1, 0), (first + 2, 1), (5, 1)]
    ids = PairIds.from_pairs(pairs)
    assert ids.row_ids.tolist() == [5, first, first + 1, first + 2]
    np.testing.assert_array_equal(ids.codes([*pairs, (7, 1)])[0], [1, 2, 3, 0, -1])
    np.testing.assert_array_equal(ids.codes([(5, 0)])[0], [0])

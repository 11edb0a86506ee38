"""Tables as users have them, and what is said about those that hold no numbers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.validation import check_array

from flatmin import MatrixCompletion
from flatmin.errors import InputError
from flatmin.estimators._completion.marks import marked

WANTED = np.array([[1.5, np.nan, -2.0], [np.nan, 0.25, 4.0]])
SEEN = ~np.isnan(WANTED)


def strings(hole):
    return np.where(SEEN, WANTED.astype(str), hole)


@pytest.mark.parametrize(
    ("X", "mark"),
    [
        (pd.DataFrame(strings(None), dtype="string"), np.nan),
        (pd.DataFrame(strings("?"), dtype="string"), "?"),
        (pd.DataFrame(strings("?"), dtype="string").where(SEEN | [[False], [True]]), "?"),
        (pd.DataFrame(strings(None)).astype("category"), None),
        (pd.DataFrame(np.where(SEEN, WANTED, pd.NA)), pd.NA),
        (pd.DataFrame(np.where(SEEN, WANTED, -9.0)).convert_dtypes(), -9),
        (np.ma.array(np.where(SEEN, WANTED, 1e6), mask=~SEEN), np.nan),
        (np.ma.array(np.where(SEEN, WANTED, -9.0), mask=~SEEN & [[False], [True]]), -9.0),
        (strings("?").tolist(), "?"),
        (np.where(SEEN, WANTED, None), np.nan),
    ],
)
def test_holes_become_nan(X, mark):
    found = check_array(marked(X, mark), dtype=float, ensure_all_finite="allow-nan")
    np.testing.assert_array_equal(found, WANTED)


def test_a_mask_hides_numbers_from_the_fit():
    rng = np.random.default_rng(0)
    table = rng.standard_normal((20, 4))
    hidden = rng.random(table.shape) < 0.2
    masked = np.ma.array(np.where(hidden, 1e6, table), mask=hidden)
    want = MatrixCompletion(0.1).fit_transform(np.where(hidden, np.nan, table))
    np.testing.assert_array_equal(MatrixCompletion(0.1).fit_transform(masked), want)


def test_frames_of_other_libraries_keep_names_and_holes():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(np.where(SEEN, WANTED, -9.0), schema=["a", "b", "c"])
    found = marked(frame, -9.0)
    assert found.columns == ["a", "b", "c"]
    np.testing.assert_array_equal(found.to_numpy(), WANTED)


@pytest.mark.parametrize(
    ("X", "mark", "words"),
    [
        (pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "1"]}), np.nan, "column 'b' of X holds 'x'"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": pd.Categorical(["1", "y"])}), -1, "column 'b' of X holds 'y'"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": pd.to_datetime(["2020-01-01", None])}), np.nan, "column 'b' of X .*dates"),
        (pd.DataFrame({"b": pd.to_timedelta([1, 2], unit="D")}), np.nan, "durations"),
        (np.array([["2020-01-01", "NaT"]], dtype="M8[D]"), np.nan, "dates"),
        (pd.DataFrame({"b": pd.period_range("2020", periods=2)}), np.nan, "column 'b' of X .*dates"),
        ([[1.0, pd.Timestamp("2020-01-01")], [2.0, None]], None, "column 1 of X .*dates"),
        ([[1.0, 2.0], [3.0]], np.nan, "ragged"),
        ([[1.0, "x"], [2.0, None]], None, "column 1 of X holds 'x'"),
        ([[1.0, 2.0]], [1.0], "missing_values"),
    ],
)
def test_what_is_no_number_is_named(X, mark, words):
    with pytest.raises(InputError, match=words):
        MatrixCompletion(0.1, missing_values=mark).fit(X)


def test_pairs_of_text_are_sent_to_the_regressor_of_pairs():
    with pytest.raises(InputError, match=r"'ann': could not convert it to a number.*for PairRegressor"):
        marked(np.array([["ann", "ik"], ["bob", "ik"]], dtype=object), np.nan)

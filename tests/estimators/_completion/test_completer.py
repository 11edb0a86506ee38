"""Completers: what is filled, predicted and refused, for tables and for triples."""

import numpy as np
import pytest

from flatmin import InputError, MatrixCompletion

TABLE = np.outer(np.arange(1.0, 9), np.arange(1.0, 6))
HOLES = TABLE.copy()
HOLES[[0, 3, 5], [1, 4, 0]] = np.nan
PAIRS = [(row, column) for row in "abcd" for column in range(4)]
VALUES = [float(1 + "abcd".index(row) + column) for row, column in PAIRS]


def test_a_table_is_filled_and_observed_cells_stay():
    model = MatrixCompletion(0.0).fit(HOLES)
    np.testing.assert_allclose(model.transform(HOLES), TABLE, atol=1e-6)
    new = np.array([[3.0, np.nan, 9.0, 12.0, np.nan]])
    np.testing.assert_allclose(model.transform(new), [[3, 6, 9, 12, 15]], atol=1e-6)
    assert model.score(HOLES) > 0.99


def test_indicators_and_empty_columns():
    table = np.column_stack([HOLES, np.full(8, np.nan)])
    model = MatrixCompletion(0.0, add_indicator=True).fit(table)
    assert model.get_feature_names_out().tolist() == [
        *(f"x{j}" for j in range(5)),
        *(f"missingindicator_x{j}" for j in (0, 1, 4, 5)),
    ]
    assert MatrixCompletion(0.0, keep_empty_features=True).fit(table).transform(table).shape == (8, 6)


def test_triples_are_predicted_and_unknown_ids_get_the_offsets():
    model = MatrixCompletion(0.01, input="triples").fit(PAIRS, VALUES)
    np.testing.assert_allclose(model.predict(PAIRS), VALUES, atol=0.2)
    both = model.predict([("new", 1), ("new", 2)])
    assert both[0] < both[1]


def test_tables_and_triples_are_not_mixed():
    model = MatrixCompletion(0.01, input="triples").fit(PAIRS, VALUES)
    with pytest.raises(InputError, match="transform was called with input='triples'"):
        model.transform(HOLES)
    with pytest.raises(InputError, match="call fit again"):
        model.set_params(input="table").predict(HOLES)
    with pytest.raises(InputError, match="y is None with input='triples'"):
        MatrixCompletion(0.01, input="triples").fit(PAIRS)

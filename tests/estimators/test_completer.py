"""Completers: tables and pairs have the same fit, offsets predict unknown rows and columns, and results are told."""

import numpy as np
import pytest
from scipy import sparse

from flatmin import InputError, MatrixCompletion, PairRegressor

PAIRS = [(row, column) for row in "abcd" for column in range(4)]
VALUES = [float(1 + "abcd".index(row) + column) for row, column in PAIRS]


@pytest.mark.parametrize("offsets", ["none", "constant", "rows", "columns", "both"])
def test_a_table_and_its_pairs_have_the_same_fit(offsets):
    pairs = PairRegressor(0.05, offsets=offsets, offset_alpha=1.0).fit(PAIRS, VALUES)
    table = MatrixCompletion(0.05, offsets=offsets, offset_alpha=1.0, scale=False)
    if offsets in ("columns", "both"):  # offsets of columns are penalised towards the means of the columns
        assert np.isfinite(table.fit(np.reshape(VALUES, (4, 4))).predict([0], [0])).all()
        return
    table.fit(sparse.csr_array(np.reshape(VALUES, (4, 4))))
    i, j = np.divmod(np.arange(16), 4)
    np.testing.assert_allclose(table.predict(i, j), pairs.predict(PAIRS), atol=1e-7)


def test_unknown_rows_and_columns_get_the_offsets():
    model = PairRegressor(0.01).fit(PAIRS, VALUES)
    np.testing.assert_allclose(model.predict(PAIRS), VALUES, atol=0.2)
    both = model.predict([("new", 1), ("new", 2)])
    assert both[0] < both[1]


def test_offsets_are_named():
    with pytest.raises(InputError, match="offsets is 'all', expected one of 'none', 'constant'"):
        PairRegressor(0.1, offsets="all").fit(PAIRS, VALUES)
    with pytest.raises(InputError, match="offsets is 'auto', expected one of"):
        MatrixCompletion(0.1, offsets="auto").fit(np.eye(3))
    assert "certificate: holds" in str(PairRegressor(0.1).fit(PAIRS, VALUES))

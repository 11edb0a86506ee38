"""Seen columns: rows in another order, and further rows."""

import numpy as np
from scipy.sparse import csr_array

from flatmin.estimators._completion.seen_columns import SeenColumns


def test_rows_are_taken_in_order():
    own, further = csr_array([[1, 0, 1], [0, 0, 0], [0, 1, 0]]), csr_array([[1, 1, 1], [0, 0, 1]])
    seen = SeenColumns.from_cells(own)
    assert seen.of(0).tolist() == [0, 2]
    assert seen.counts.tolist() == [2, 0, 1]
    taken = seen.taken([4, 0, 1, 3], further)
    assert [taken.of(k).tolist() for k in range(4)] == [[2], [0, 2], [], [0, 1, 2]]
    assert np.array_equal(seen.taken([0, 1, 2], csr_array((0, 3))).columns, seen.columns)

"""The map without what offsets explain: its adjoint, and that it is blind to free offsets."""

import numpy as np

import flatmin as fm
from flatmin.solvers.offsets.offset_free import OffsetFree
from flatmin.solvers.offsets.offset_model import OffsetModel


def _map(rows, columns):
    i, j = np.divmod(np.random.default_rng(0).choice(42, 25, replace=False), 6)
    entries = fm.measurements.Entries(i, j, (7, 6))
    return OffsetFree(entries, OffsetModel(entries, rows=rows, columns=columns).equations)


def test_the_adjoint_is_that_of_the_map():
    A, rng = _map(2.0, 3.0), np.random.default_rng(2)
    X, y = rng.standard_normal((7, 6)), rng.standard_normal(A.size)
    assert np.isclose(A.forward(X) @ y, np.sum(X * A.adjoint(y)))
    L, R = rng.standard_normal((7, 2)), rng.standard_normal((6, 2))
    np.testing.assert_allclose(A.forward_factors(L, R), A.forward(L @ R.T), atol=1e-12)


def test_free_offsets_are_not_seen():
    A, rng = _map(0.0, 0.0), np.random.default_rng(1)
    X = 3.0 + rng.standard_normal((7, 1)) + rng.standard_normal((1, 6))
    np.testing.assert_allclose(A.forward(X), 0, atol=1e-10)
    assert np.abs(A.forward(rng.standard_normal((7, 6)))).max() > 0.1

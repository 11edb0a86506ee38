"""Features of cells change the joint fit of offsets and a matrix as a dense oracle does."""

import numpy as np
import pytest

from flatmin.measurements import Entries
from flatmin.solvers.offsets.cell_features import CellTerm
from flatmin.solvers.offsets.offset_model import OffsetModel


@pytest.mark.parametrize(("kappa", "ridge"), [(0.0, 0.0), (2.0, 0.0), (2.0, 3.0)])
def test_slopes_and_freedom_are_those_of_dense_least_squares(kappa, ridge):
    rng = np.random.default_rng(0)
    shape, cells = (7, 6), np.flatnonzero(rng.random(42) < 0.8)
    rows, cols = np.divmod(cells, 6)
    roots, values, X = (
        rng.uniform(0.5, 2, len(cells)),
        rng.standard_normal(len(cells)),
        rng.standard_normal((*shape, 2)),
    )
    model = OffsetModel(Entries(rows, cols, shape, roots), rows=kappa, columns=kappa, cells=CellTerm(X, ridge))
    H = np.hstack([np.ones((len(cells), 1)), np.eye(7)[rows], np.eye(6)[cols], X[rows, cols]]) * roots[:, None]
    K = np.diag([0.0, *[kappa] * 13, ridge, ridge])
    inverse = np.linalg.pinv(H.T @ H + K)
    z = inverse @ H.T @ (roots * values)
    found = model.fit(values)
    np.testing.assert_allclose(found.cell_slopes, z[-2:])
    np.testing.assert_allclose(found.at(rows, cols), H @ z / roots)
    assert model.freedom == pytest.approx(np.trace(H @ inverse @ H.T))
    problem = model.problem(values)
    residual = problem.data
    least = np.sum((roots * values - H @ z) ** 2) + z @ K @ z
    assert residual @ residual * len(cells) / len(residual) == pytest.approx(least)
    y, M = rng.standard_normal(problem.measurement.size), rng.standard_normal(shape)
    assert y @ problem.measurement.forward(M) == pytest.approx(np.sum(M * problem.measurement.adjoint(y)))


def test_features_that_offsets_explain_have_no_slope():
    entries = Entries(*np.divmod(np.arange(30), 6), (5, 6))
    X = np.add.outer(np.arange(5.0), np.arange(6.0) ** 2)[:, :, None]
    model = OffsetModel(entries, rows=0, columns=0, cells=CellTerm(X))
    found = model.fit(np.random.default_rng(0).standard_normal(30))
    assert found.cell_slopes == [0.0]

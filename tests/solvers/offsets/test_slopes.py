"""The elimination of slopes leaves the least objective over offsets and slopes."""

import numpy as np
import pytest

from flatmin.measurements import Entries
from flatmin.solvers.offsets.cell_features import CellTerm
from flatmin.solvers.offsets.feature_products import ProductTerm
from flatmin.solvers.offsets.offsets import OffsetModel


@pytest.mark.parametrize("ridge", [0.0, 3.0])
@pytest.mark.parametrize("kind", ["cells", "products"])
def test_the_residual_is_the_least_joint_objective(kind, ridge):
    rng = np.random.default_rng(0)
    shape, cells = (7, 6), np.flatnonzero(rng.random(42) < 0.8)
    rows, cols = np.divmod(cells, 6)
    U, W = rng.standard_normal((7, 2)), rng.standard_normal((6, 1))
    features = np.einsum("ip,js->ijps", U, W).reshape(7, 6, 2)
    term = CellTerm(features, ridge) if kind == "cells" else ProductTerm(U, W, ridge)
    model = OffsetModel(Entries(rows, cols, shape), rows=2.0, columns=2.0, products=term)
    values = rng.standard_normal(len(cells))
    H = np.hstack([np.ones((len(cells), 1)), np.eye(7)[rows], np.eye(6)[cols], features[rows, cols]])
    K = np.diag([0.0, *[2.0] * 13, ridge, ridge])
    z = np.linalg.lstsq(H.T @ H + K, H.T @ values, rcond=None)[0]
    problem = model.problem(values)
    measurement, residual = problem.measurement, problem.data
    least = np.sum((values - H @ z) ** 2) + z @ K @ z
    assert residual @ residual * len(cells) / len(residual) == pytest.approx(least)
    y, M = rng.standard_normal(measurement.size), rng.standard_normal(shape)
    assert y @ measurement.forward(M) == pytest.approx(np.sum(M * measurement.adjoint(y)))

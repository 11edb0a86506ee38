"""Fits to small tables with noise, as the tests of intervals use them."""

import numpy as np
from scipy.sparse import csr_array

from flatmin.estimators._completion.fitting import Settings, complete
from flatmin.estimators._completion.observations import Observations, Strengths


def noisy(shape=(60, 12), rank=2, sigma=0.4, holes=0.3, seed=0):
    """Return a low-rank truth, the table with noise, and which cells are observed."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    table = truth + sigma * rng.standard_normal(shape)
    return truth, table, rng.random(shape) >= holes


def fitted(table, seen, alpha="auto", wanted="auto", strengths=Strengths(True, None, 0.0), weights=None):  # noqa: B008
    """Return the fit to the observed cells of a table."""
    i, j = np.nonzero(seen)
    cells = csr_array((table[i, j], (i, j)), shape=table.shape)
    settings = Settings(1.0, None, 1e-8, None, 0)
    return complete(Observations.from_cells(cells, weights, strengths), alpha, wanted, settings)

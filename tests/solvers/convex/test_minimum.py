"""The memory that convex solves need is estimated from above."""

import numpy as np

import flatmin as fm
from flatmin.solvers.convex.minimum import working_memory


def test_memory_is_estimated_by_what_is_held():
    def estimated(d, m, **limits):
        rng = np.random.default_rng(0)
        A = fm.measurements.Entries(rng.integers(0, d, m), rng.integers(0, d, m), (d, d))
        return working_memory(fm.Problem(A, np.ones(m)), **limits)

    assert estimated(10_000, 1000) < 1e8
    assert estimated(1500, 1000) > 24 * 1500**2  # which the certificate forms
    assert estimated(2001, 1000) < estimated(2000, 1000)
    assert estimated(10_000, 300_000, widest=2) < estimated(10_000, 300_000)
    grown = estimated(10_000, 400_000, widest=5) - estimated(10_000, 300_000, widest=5)
    assert grown == 3 * 24 * 100_000
    assert 5e9 < estimated(1_000_000, 50_000) + 3 * 24 * 10_000_000 < 10e9

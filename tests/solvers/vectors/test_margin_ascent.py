"""The ascent of the margin keeps its constraints, and raising the lowest eigenvalues makes a proof."""

import numpy as np
import pytest

from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.margin_ascent import ascend_margin, raise_lowest
from flatmin.solvers.vectors.uniqueness_dual import _proposal
from tests.solvers.vectors.instances import coded, dense_margin, whitened


def test_the_proposal_meets_its_constraints():
    A, U = whitened(30, 300, 3, complex)
    complement = Complement(A, np.linalg.qr(U)[0])
    dual = _proposal(complement, 0)
    assert np.linalg.norm(A.adjoint(dual) @ U) < 1e-12 * np.linalg.norm(U)
    p = ascend_margin(complement, dual)
    assert np.linalg.norm(A.adjoint(p) @ U) < 1e-6 * np.linalg.norm(U) * np.linalg.norm(A.adjoint(p), 2)


def test_the_ascent_makes_the_margin_larger():
    A, U = whitened(10, 60, 1, float)
    complement = Complement(A, np.linalg.qr(U)[0])
    start = complement.polished(np.ones(60))
    best = complement.polished(ascend_margin(complement, start))
    assert complement.dimension == 9
    assert dense_margin(A, best, U)[0] > dense_margin(A, start, U)[0]


@pytest.mark.parametrize("dtype", [float, complex])
def test_raising_the_lowest_eigenvalues_makes_a_proof_of_a_proposal_that_is_none(dtype):
    """A margin that is slightly negative becomes positive, while the constraints stay."""
    A, U = coded(12, 16, 6, seed=3) if dtype is complex else whitened(100, 290, 1, float, seed=0)
    complement = Complement(A, np.linalg.qr(U)[0])
    dual = _proposal(complement, 0)
    before = dense_margin(A, dual, U)[0]
    smallest, mean, residual = dense_margin(A, raise_lowest(complement, dual, 0), U)
    assert smallest > max(before, 0)
    assert mean == pytest.approx(1)
    assert residual < 1e-13


def test_a_dual_without_a_trace_is_returned_as_it_is():
    A, U = whitened(10, 60, 1, float)
    complement = Complement(A, np.linalg.qr(U)[0])
    np.testing.assert_array_equal(ascend_margin(complement, np.zeros(60)), np.zeros(60))

"""Raising the lowest eigenvalues turns a proposal into a proof."""

import numpy as np
import pytest

from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.raised_eigenvalues import raise_lowest
from flatmin.solvers.vectors.uniqueness_dual import _proposal
from tests.solvers.vectors.instances import coded, dense_margin, whitened


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

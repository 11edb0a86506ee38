"""The constraints of matrices that vanish on given columns."""

import numpy as np
import pytest

from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.margin_ascent import _constraints
from tests.solvers.vectors.instances import draw, whitened


@pytest.mark.parametrize("dtype", [float, complex])
def test_constraints_are_those_of_a_matrix_that_vanishes_on_the_columns(dtype):
    rng = np.random.default_rng(0)
    X, r = draw(rng, (50, 6), dtype), 2
    C = _constraints(X[:, r:], X[:, :r])
    p = np.linalg.qr(C, mode="complete")[0][:, C.shape[1] :] @ rng.standard_normal(50 - C.shape[1])
    W = (X.conj().T * p) @ X
    assert C.shape[1] == (2 * 2 * 4 + 4 if dtype is complex else 2 * 4 + 3) + 1
    np.testing.assert_allclose(W[:, :r], 0, atol=1e-10)
    assert np.sum(p) == pytest.approx(0, abs=1e-10)


def test_zero_weights_stay_zero():
    A, U = whitened(10, 60, 1, float)
    complement = Complement(A, np.linalg.qr(U)[0])
    np.testing.assert_array_equal(complement.polished(np.zeros(60)), np.zeros(60))

"""Bounds on the share of a tangent space in hidden cells, against dense projections."""

import mpmath
import numpy as np
import pytest

from flatmin.proofs.robust.hidden_cells import hidden_share, incoherence_bound


def _share(hidden, U, V):
    """Return ``‖P_Ω P_T‖²`` from the dense projection on the tangent space."""
    (d1, d2), units = hidden.shape, np.eye(hidden.size).reshape(-1, *hidden.shape)
    P1, P2 = U @ U.T, V @ V.T
    tangent = np.stack([P1 @ E + E @ P2 - P1 @ E @ P2 for E in units]).reshape(d1 * d2, -1)
    return float(np.linalg.norm(tangent[hidden.ravel()], 2) ** 2)


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_both_bounds_hold(q, share):
    rng = np.random.default_rng(q)
    hidden = rng.random((14, 11)) < share
    U, V = (np.linalg.qr(rng.standard_normal((d, q)))[0] for d in hidden.shape)
    true = _share(hidden, U, V)
    assert true <= incoherence_bound(hidden, U, V) * (1 + 1e-12)
    assert true <= hidden_share(hidden, U, V) * (1 + 1e-12)
    assert hidden_share(hidden, U, V) <= true + 0.3 * (1 - true) + 1e-6


@pytest.mark.parametrize("q", [1, 3])
def test_the_bound_by_rows_and_columns_holds_in_sixty_digits(q):
    """Eigenvalues of the small Gram matrices for stored vectors, made orthonormal exactly."""
    rng = np.random.default_rng(q)
    hidden = rng.random((9, 8)) < 0.2
    U, V = (np.linalg.qr(rng.standard_normal((d, q)))[0] for d in hidden.shape)
    with mpmath.workdps(60):
        total = mpmath.mpf(0)
        for F, cells in ((U, hidden.T), (V, hidden)):
            M = mpmath.matrix(F.tolist())
            values, Q = mpmath.eigsy(M.T * M)
            M = M * Q * mpmath.diag([1 / mpmath.sqrt(w) for w in values])
            grams = [sum((M[i, :].T * M[i, :] for i in np.flatnonzero(line)), mpmath.zeros(q)) for line in cells]
            total += max(max(mpmath.eigsy(G, eigvals_only=True)) for G in grams)
        bound = incoherence_bound(hidden, U, V)
        assert total <= mpmath.mpf(bound) <= total * (1 + mpmath.mpf(10) ** -10)

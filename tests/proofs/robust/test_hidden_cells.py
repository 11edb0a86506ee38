"""Bounds on the share of a tangent space in hidden cells, against dense projections."""

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

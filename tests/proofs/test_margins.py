"""Lower bounds on eigenvalues outside a null space: rigorous, and useful."""

import numpy as np
import pytest

from flatmin.linalg.metric import Metric
from flatmin.linalg.subspaces import lowest_on_complement
from flatmin.proofs import margins
from flatmin.proofs.margins import complement_margin


def _hermitian(values, dtype=float, seed=0):
    rng = np.random.default_rng(seed)
    d = len(values)
    F = rng.standard_normal((d, d)) + (1j * rng.standard_normal((d, d)) if dtype is complex else 0)
    Q = np.linalg.qr(F)[0]
    return (Q * values) @ Q.conj().T, Q


class TestComplementMargin:
    """The smallest eigenvalue beside a null space, from below."""

    @pytest.mark.parametrize("dtype", [float, complex])
    @pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-6])
    @pytest.mark.parametrize("k", [1, 3])
    def test_is_a_proved_lower_bound(self, dtype, smallest, k):
        W, Q = _hermitian(np.concatenate([np.zeros(k), np.linspace(smallest, 1, 25 - k)]), dtype)
        margin, kind = complement_margin(W, Q[:, :k], Metric(np.ones(len(W))))
        assert kind == "cholesky"
        assert 0.85 * smallest <= margin <= smallest * (1 + 1e-9)

    @pytest.mark.parametrize("smallest", [0.0, -1e-3, -1.0])
    def test_nothing_is_proved_of_a_matrix_that_is_not_positive_there(self, smallest):
        W, Q = _hermitian(np.concatenate([np.zeros(2), np.linspace(smallest, 1, 23)]))
        margin, kind = complement_margin(W, Q[:, :2], Metric(np.ones(len(W))))
        assert margin <= 1e-9
        assert kind == "estimated" or margin <= 0

    def test_a_lying_lanczos_iteration_cannot_raise_it(self, monkeypatch):
        W, Q = _hermitian(np.concatenate([np.zeros(2), np.linspace(0.1, 1, 23)]))
        for lie in (0.12, 0.5, 10.0):
            monkeypatch.setattr(margins, "lowest_on_complement", lambda *a, lie=lie: (np.array([lie]), Q[:, 2:3]))
            margin, kind = complement_margin(W, Q[:, :2], Metric(np.ones(len(W))))
            assert kind == "estimated" or margin <= 0.1

    @pytest.mark.parametrize("dtype", [float, complex])
    @pytest.mark.parametrize("smallest", [0.5, 0.05, -0.05])
    def test_beyond_the_reach_of_a_factorization_random_starts_bound_it(self, dtype, smallest, monkeypatch):
        from scipy.sparse.linalg import aslinearoperator

        monkeypatch.setattr(margins, "LARGEST_FORMED", 10)
        values = np.concatenate([np.zeros(5), np.linspace(smallest, 2, 195)])
        W, Q = _hermitian(values, dtype)
        seen = Metric(np.concatenate([np.zeros(2), np.ones(198)]), Q)  # two directions unseen, three in U
        for form in (W, aslinearoperator(W)):
            margin, kind = complement_margin(form, Q[:, 2:5], seen)
            assert margin <= max(smallest, 0)
            assert complement_margin(form, Q[:, 2:5], seen, randomized=False)[1] == "estimated"
            if smallest > 0:
                assert kind == "probabilistic"
                assert margin >= 0.4 * smallest


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("count", [1, 4])
def test_lowest_eigenvalues_beside_a_null_space_leave_out_what_is_not_seen(dtype, count):
    values = np.concatenate([np.zeros(5), np.linspace(-0.2, 1, 55)])
    W, Q = _hermitian(values, dtype)
    whole = Metric(np.concatenate([np.zeros(2), np.ones(58)]), Q)  # two directions unseen, three in U
    found, vectors = lowest_on_complement(W, Q[:, 2:5], whole, count, 1e-10)
    np.testing.assert_allclose(found, values[5 : 5 + count], atol=1e-8)
    np.testing.assert_allclose(W @ vectors, vectors * found, atol=1e-4)
    np.testing.assert_allclose(Q[:, :5].conj().T @ vectors, 0, atol=1e-8)

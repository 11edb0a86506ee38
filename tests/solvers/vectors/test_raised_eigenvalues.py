"""Raising the lowest eigenvalues turns a proposal into a proof."""

import numpy as np
import pytest

from flatmin.linalg.metric import Metric
from flatmin.measurements import CodedDiffraction, RankOne
from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.raised_eigenvalues import raise_lowest
from flatmin.solvers.vectors.uniqueness_dual import _proposal


def draw(rng, shape, dtype):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def instance(d, m, r, dtype, seed=0):
    """Return a whitened measurement and a whitened factor."""
    rng = np.random.default_rng(seed)
    A, S = RankOne(draw(rng, (m, d), dtype)), draw(rng, (d, r), dtype)
    D = Metric.root(A.gram_diagonals()[0] / m)
    return A.congruence(D.power(-1), D.power(-1)), D @ S


def coded(h, w, count, seed=0):
    rng = np.random.default_rng(seed)
    shape = (count, h, w)
    masks = rng.choice([1, -1, 1j, -1j], shape) * rng.choice([np.sqrt(0.5), np.sqrt(3)], shape, p=[0.8, 0.2])
    A = CodedDiffraction(masks)
    D = A.metric()[0]
    return A.congruence(D.power(-1), D.power(-1)), D @ draw(rng, (h * w, 1), complex)


def dense_margin(A, dual, U):
    """The smallest eigenvalue on the complement of U, and the residual on U, with plain NumPy."""
    W = A.adjoint(dual)
    N = np.linalg.qr(U, mode="complete")[0][:, U.shape[1] :]
    values = np.linalg.eigvalsh(N.conj().T @ W @ N)
    return values[0], values.mean(), np.linalg.norm(W @ U) / np.linalg.norm(U)


@pytest.mark.parametrize("dtype", [float, complex])
def test_raising_the_lowest_eigenvalues_makes_a_proof_of_a_proposal_that_is_none(dtype):
    """A margin that is slightly negative becomes positive, while the constraints stay."""
    A, U = coded(12, 16, 6, seed=3) if dtype is complex else instance(100, 290, 1, float, seed=0)
    complement = Complement(A, np.linalg.qr(U)[0])
    dual = _proposal(complement, 0)
    before = dense_margin(A, dual, U)[0]
    smallest, mean, residual = dense_margin(A, raise_lowest(complement, dual, 0), U)
    assert smallest > max(before, 0)
    assert mean == pytest.approx(1)
    assert residual < 1e-13

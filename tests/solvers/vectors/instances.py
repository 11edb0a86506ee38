"""Random measurements by vectors and masks, shared by the tests of this folder."""

import numpy as np

from flatmin.linalg.metric import Metric
from flatmin.measurements import CodedDiffraction, RankOne


def draw(rng, shape, dtype):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def whitened(d, m, r, dtype, seed=0):
    """Return a whitened measurement and a whitened factor."""
    rng = np.random.default_rng(seed)
    A, S = RankOne(draw(rng, (m, d), dtype)), draw(rng, (d, r), dtype)
    D = Metric.root(A.gram_diagonals()[0] / m)
    return A.congruence(D.power(-1), D.power(-1)), D @ S


def measured(d, m, r, dtype, seed=0):
    """Return a measurement, a factor and its data."""
    rng = np.random.default_rng(seed)
    A, S = RankOne(draw(rng, (m, d), dtype)), draw(rng, (d, r), dtype)
    return A, S, A.forward_factors(S, S)


def distance(U, S):
    X, Y = U @ U.conj().T, S @ S.conj().T
    return np.linalg.norm(X - Y) / np.linalg.norm(Y)


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

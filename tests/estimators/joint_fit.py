"""A matrix and unpenalised coefficients fitted together, by a general convex solver on dense arrays."""

import cvxpy as cp
import numpy as np


def root(square):
    """Return the square root of a positive semidefinite matrix."""
    values, Q = np.linalg.eigh(square)
    return (Q * np.sqrt(np.maximum(values, 0))) @ Q.T


def left_over(tensor, regressors):
    """Return what regressors leave of sensing matrices, and how many measurements that is worth."""
    m = len(tensor)
    P = np.eye(m) - regressors @ np.linalg.pinv(regressors)
    rank = np.linalg.matrix_rank(regressors) if regressors.size else 0
    return np.tensordot(P, tensor, 1), m - rank


def metrics(tensor, regressors, symmetric):
    """Return D1, D2, the number of measurements that regressors leave, and the trace factor."""
    A, m = left_over(tensor, regressors)
    d1, d2 = A.shape[1:]
    rows, cols = np.einsum("mij,mkj->ik", A, A), np.einsum("mij,mik->jk", A, A)
    if symmetric:
        D = root(rows / m)
        return D, D, m, 8
    return root(rows / (m * d2)), root(cols / (m * d1)), m, 4


def tempered(D, power):
    """Return ``D^p`` in the scale of D."""
    values, Q = np.linalg.eigh(D)
    return (Q * values**power) @ Q.T * np.mean(values**2) ** ((1 - power) / 2)


def joint_fit(tensor, regressors, y, alpha, *, symmetric, power=1.0):
    """Minimise ``‖A(X) + T z − y‖² / m' + alpha · c ‖D1^p X D2^p‖_*`` over X and z; return X, z and the value.

    m' is the number of degrees of freedom that the regressors leave.
    """
    D1, D2, m, factor = metrics(tensor, regressors, symmetric)
    d1, d2 = tensor.shape[1:]
    X, z = cp.Variable((d1, d2), symmetric=symmetric), cp.Variable(max(1, regressors.shape[1]))
    rows = tensor.reshape(len(tensor), -1)
    offsets = regressors @ z if regressors.size else 0 * z  # cvxpy 1.5 has no variables of length zero
    misfit = cp.sum_squares(rows @ cp.vec(X, order="C") + offsets - y) / m
    penalty = cp.normNuc(tempered(D1, power) @ X @ tempered(D2, power))
    problem = cp.Problem(cp.Minimize(misfit + alpha * factor * penalty))
    problem.solve(solver=cp.CLARABEL)
    return X.value, z.value[: regressors.shape[1]], problem.value


def joint_bound(tensor, regressors, y, alpha, dual, *, symmetric):
    """Return the Fenchel bound of a dual vector of the joint problem, and how far it is from meeting ``Tᵀ λ = 0``."""
    D1, D2, m, factor = metrics(tensor, regressors, symmetric)
    W = np.linalg.pinv(D1) @ np.tensordot(dual, tensor, 1) @ np.linalg.pinv(D2)
    scaled = dual / max(1.0, np.linalg.norm(W, 2))
    bound = alpha * factor * (y @ scaled) - factor**2 / 4 * m * alpha**2 * (scaled @ scaled)
    return bound, np.abs(regressors.T @ dual).max(initial=0.0)

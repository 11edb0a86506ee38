"""Slow, independent answers: dense definitions in NumPy, and the convex programmes handed to cvxpy.

Nothing here uses flatmin's metric, solver or certificate; only `Measurement.matrices` and the data.
"""

import warnings

import cvxpy as cp
import numpy as np


def nuclear(M):
    return float(np.linalg.svd(M, compute_uv=False).sum())


def roots(problem, power=1.0):
    """Return ``D1^p, D2^p`` and their pseudo-inverses, from the definition."""
    T = problem.measurement.matrices()
    m, d1, d2 = T.shape
    out = []
    for flat, d in ((T.transpose(1, 0, 2).reshape(d1, -1), d2), (T.transpose(2, 0, 1).reshape(d2, -1), d1)):
        Q, values, _ = np.linalg.svd(flat / np.sqrt(m * d), full_matrices=False)
        inside = values > 1e-13 * values[0]
        mean = np.sum(values**2) / len(flat)
        scaled = np.where(inside, values, 1) ** power * mean ** ((1 - power) / 2) * inside
        inverse = np.where(inside, 1 / np.where(inside, scaled, 1), 0)
        out.append(((Q * scaled) @ Q.T, (Q * inverse) @ Q.T))
    return out


def objective(problem, X, power=1.0):
    """Return ``4 ‖D1^p X D2^p‖_*``."""
    (D1, _), (D2, _) = roots(problem, power)
    return 4 * nuclear(D1 @ X @ D2)


def whitened_rows(problem, power=1.0):
    """Return the matrix of ``vec(Z) ↦ A(D1⁻¹ Z D2⁻¹)``, row-major."""
    (_, W1), (_, W2) = roots(problem, power)
    return (W1 @ problem.measurement.matrices() @ W2).reshape(problem.measurement.size, -1)


def _solve(program):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "may be inaccurate": the last digits are beyond what is compared
        try:
            program.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
        except cp.SolverError:
            program.solve(solver=cp.SCS, eps=1e-8, max_iters=100_000)
    assert program.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE), program.status
    return float(program.value)


def flattest(problem, *, alpha=0.0, power=1.0):
    """Return the optimal value and matrix of the flat programme, or with alpha > 0 of loss + alpha · scaled trace."""
    Z = cp.Variable(problem.shape)
    measured = whitened_rows(problem, power) @ cp.vec(Z, order="C")
    trace = 4 * cp.normNuc(Z)
    if alpha > 0:
        loss = cp.sum_squares(measured - problem.data) / problem.measurement.size
        value = _solve(cp.Problem(cp.Minimize(loss + alpha * trace)))
    else:
        value = _solve(cp.Problem(cp.Minimize(trace), [measured == problem.data]))
    (_, W1), (_, W2) = roots(problem, power)
    return value, W1 @ Z.value @ W2


def spread(problem, value, direction):
    """Return how far ``⟨direction, Z⟩`` varies over the flat minima, whose value is given (and may be inflated)."""
    Z = cp.Variable(problem.shape)
    constraints = [whitened_rows(problem) @ cp.vec(Z, order="C") == problem.data, 4 * cp.normNuc(Z) <= value]
    target = cp.sum(cp.multiply(direction, Z))
    return _solve(cp.Problem(cp.Maximize(target), constraints)) - _solve(cp.Problem(cp.Minimize(target), constraints))


def hessian(f, x, h=0.05):
    """Return the dense Hessian of f by fourth-order central differences."""
    n = len(x)
    steps = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    H = np.empty((n, n))
    E = h * np.eye(n)
    for i in range(n):
        for j in range(i + 1):
            H[i, j] = H[j, i] = sum(
                a * c * f(x + p * E[i] + q * E[j]) for p, a in steps.items() for q, c in steps.items()
            )
    return H / h**2

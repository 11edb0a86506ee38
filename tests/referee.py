"""Slow, independent answers: dense definitions in NumPy, and the convex programmes handed to cvxpy.

Nothing here uses flatmin's metric, solver or certificate; only `Measurement.matrices` and the data.
"""

import warnings

import cvxpy as cp
import numpy as np


def nuclear(M):
    return float(np.linalg.svd(M, compute_uv=False).sum())


def roots(problem, power=1.0):
    """Return ``D1^p, D2^p`` and their pseudo-inverses, from the definition; for Hermitian models both are ``D^½``."""
    T = problem.measurement.matrices()
    m, d1, d2 = T.shape
    over = (1, 1) if problem.parametrization.cone.is_hermitian else (d2, d1)
    out = []
    for flat, d in zip((T.transpose(1, 0, 2).reshape(d1, -1), T.transpose(2, 0, 1).reshape(d2, -1)), over, strict=True):
        Q, values, _ = np.linalg.svd(flat / np.sqrt(m * d), full_matrices=False)
        inside = values > 1e-13 * values[0]
        mean = np.sum(values**2) / len(flat)
        scaled = np.where(inside, values, 1) ** power * mean ** ((1 - power) / 2) * inside
        inverse = np.where(inside, 1 / np.where(inside, scaled, 1), 0)
        out.append(((Q * scaled) @ Q.conj().T, (Q * inverse) @ Q.conj().T))
    return out if not problem.parametrization.cone.is_hermitian else out[:1] * 2


def objective(problem, X, power=1.0):
    """Return ``4 ‖D1^p X D2^p‖_*``, for Hermitian models 8 in place of 4."""
    (D1, _), (D2, _) = roots(problem, power)
    return factor(problem) * nuclear(D1 @ X @ D2)


def factor(problem):
    return 4 if not problem.parametrization.cone.is_hermitian else 8


def whitened_rows(problem, power=1.0):
    """Return the matrix of ``vec(Z) ↦ A(D1⁻¹ Z D2⁻¹)``, row-major; its real part counts, of the conjugated rows."""
    (_, W1), (_, W2) = roots(problem, power)
    return (W1 @ problem.measurement.matrices() @ W2).reshape(problem.measurement.size, -1)


def _solve(program):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "may be inaccurate": the last digits are beyond what is compared
        for options in (
            {"solver": cp.CLARABEL, "tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10},
            {"solver": cp.CLARABEL},
            {"solver": cp.SCS, "eps": 1e-8, "max_iters": 100_000},
        ):
            try:
                program.solve(**options)
                break
            except cp.SolverError:
                continue
    assert program.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE), program.status
    return float(np.real(program.value))


def _real(expression):
    return cp.real(expression) if expression.is_complex() else expression


class Cone:
    """The matrices Z of a model in whitened coordinates, as variables of cvxpy: their norm and measurements.

    Hermitian matrices are a difference of two positive semidefinite ones, whose traces add up to the norm.
    """

    def __init__(self, problem, power=1.0):
        self.inverse = [W for _, W in roots(problem, power)]
        self.seen = [_range(W) for W in self.inverse]  # Z vanishes beyond
        rows, cone = whitened_rows(problem, power), problem.parametrization.cone
        (Q1, Q2), (n1, n2) = self.seen, (Q.shape[1] for Q in self.seen)
        if not cone.is_hermitian:
            self.variable = cp.Variable((n1, n2))
            self.norm, self.constraints = cp.normNuc(self.variable), []
        else:
            kind = {"hermitian": True} if np.iscomplexobj(rows) else {"symmetric": True}
            parts = [cp.Variable((n1, n1), **kind) for _ in range(1 + (not cone.is_semidefinite))]
            self.variable = parts[0] if len(parts) == 1 else parts[0] - parts[1]
            self.constraints = [part >> 0 for part in parts]
            self.norm = _real(sum(cp.trace(part) for part in parts))
        inner = (Q1.conj().T @ rows.reshape(-1, *problem.shape) @ Q2).reshape(len(rows), -1)
        self.measured = _real(inner.conj() @ cp.vec(self.variable, order="C"))

    @property
    def X(self):
        (Q1, Q2), (W1, W2) = self.seen, self.inverse
        return W1 @ Q1 @ self.variable.value @ Q2.conj().T @ W2

    def along(self, direction):
        """Return ``⟨direction, Z⟩``."""
        Q1, Q2 = self.seen
        return _real(cp.sum(cp.multiply(np.conj(Q1.conj().T @ direction @ Q2), self.variable)))


def _range(W):
    U, s, _ = np.linalg.svd(W)
    return U[:, s > 1e-13 * s[0]]


def flattest(problem, *, alpha=0.0, power=1.0):
    """Return the optimal value and matrix of the flat programme, or with alpha > 0 of loss + alpha · scaled trace."""
    cone = Cone(problem, power)
    trace = factor(problem) * cone.norm
    if alpha > 0:
        loss = cp.sum_squares(cone.measured - problem.data) / problem.measurement.size
        value = _solve(cp.Problem(cp.Minimize(loss + alpha * trace), cone.constraints))
    else:
        value = _solve(cp.Problem(cp.Minimize(trace), [*cone.constraints, cone.measured == problem.data]))
    return value, cone.X


def spread(problem, value, direction):
    """Return how far ``⟨direction, Z⟩`` varies over the flat minima, whose value is given (and may be inflated)."""
    cone = Cone(problem)
    limits = [*cone.constraints, cone.measured == problem.data, factor(problem) * cone.norm <= value]
    target = cone.along(direction)
    return _solve(cp.Problem(cp.Maximize(target), limits)) - _solve(cp.Problem(cp.Minimize(target), limits))


def farthest(problem, direction, *, noise=0.0, norm=None, power=1.0):
    """Return the X farthest along a direction of Z that fits up to noise, of whitened norm at most ``norm``."""
    cone = Cone(problem, power)
    limits = list(cone.constraints)
    limits += [cp.norm(cone.measured - problem.data) <= noise] if noise else [cone.measured == problem.data]
    limits += [] if norm is None else [cone.norm <= norm]
    _solve(cp.Problem(cp.Maximize(cone.along(direction)), limits))
    return cone.X


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

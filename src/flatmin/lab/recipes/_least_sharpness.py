"""Certified least sharpness and certified least weighted ℓ1 norm of the fits of a sparse regression by two factors."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from flatmin._core.arrays import Array
from flatmin.measurements import Dense
from flatmin.parametrizations import Hadamard
from flatmin.problem import Problem
from flatmin.solvers.choose import flat_minimum

__all__ = ["LeastSharpness", "least_sharpness", "least_weighted_norm", "sharpness"]

#: The search ends at this relative gap between the sharpness that is found and its lower bound, or after this number of
#: linear programmes.
GAP, PROGRAMMES = 1e-3, 300
#: Number of eigenvectors of each fit that bound the next one.
EIGENVECTORS = 4


@dataclass(frozen=True)
class LeastSharpness:
    """A fit x of least sharpness, its sharpness at balanced factors, and the certified lower bound for all fits.

    For other data b, the bound is ``bound · ⟨price, b⟩``; `price` proves it.
    """

    x: Array
    value: float
    bound: float
    price: Array

    @property
    def factors(self) -> tuple[Array, Array]:
        """The balanced factors u and v of x."""
        root = np.sqrt(np.abs(self.x))
        return root, np.sign(self.x) * root

    def gap(self, A: Array, u: Array, v: Array) -> float:
        """Return the sharpness of factors less the bound for the data that they fit, relative to ``bound``."""
        return max(sharpness(A, u, v) / self.bound - float(self.price @ (A @ (u * v))), 0.0)


def sharpness(A: Array, u: Array, v: Array) -> float:
    """Return the largest eigenvalue of the Hessian of ``(1/m) ‖A (u ∘ v) − b‖²`` at factors that fit.

    There the Hessian is ``(2/m) Jᵀ J`` with ``J = A [diag(v), diag(u)]``, and ``J Jᵀ = A diag(u² + v²) Aᵀ``.
    """
    return float(np.linalg.eigvalsh((A * (u**2 + v**2)) @ A.T)[-1]) * 2 / len(A)


def least_weighted_norm(A: Array, b: Array, weights: Array) -> tuple[Array, float, Array]:
    """Return x with ``A x = b`` and the least ``Σ q_j |x_j|``, its certified lower bound, and a vector y.

    For other data b' the bound times ``⟨y, b'⟩`` is a lower bound of the least norm.

    `flat_minimum` weights coordinates by ``w_j = (1/m) Σ_i a_ij²``. For the unknowns ``y_j = x_j w_j / q_j`` these
    weights are ``q_j² / w_j``, so that the flat value of y is four times the norm.
    """
    scale = weights / np.mean(A**2, axis=0)
    flat = flat_minimum(Problem(Dense(A * scale), b, Hadamard(2)))
    dual = flat.duals[0]
    return flat.matrix[:, 0] * scale, float(flat.checked_certificate.lower_bound) / 4, dual / (dual @ b)


def least_sharpness(A: Array, b: Array) -> LeastSharpness:
    """Return the fit ``A x = b`` of least sharpness over all of its factors.

    Since ``u² + v² ≥ 2 |x|``, the least sharpness of x is ``(4/m) λ_max(A diag(|x|) Aᵀ)``. This is the largest
    ``(4/m) Σ_j a_jᵀ Z a_j |x_j|`` over matrices Z ≥ 0 of trace one. Linear programmes with more and more ``Z = z zᵀ``
    lead to x, and their multipliers to one Z, for which `least_weighted_norm` certifies the bound.
    """
    m, n = A.shape
    found, value, cuts = np.zeros(n), np.inf, [np.mean(A**2, axis=0)]
    for _ in range(PROGRAMMES):
        rows = np.array(cuts)
        programme = linprog(
            np.append(np.zeros(2 * n), 1.0),
            A_ub=np.hstack([rows, rows, -np.ones((len(rows), 1))]),
            b_ub=np.zeros(len(rows)),
            A_eq=np.hstack([A, -A, np.zeros((m, 1))]),
            b_eq=b,
            method="highs-ds",
        )
        positive, negative = programme.x[:n], programme.x[n : 2 * n]
        eigenvalues, vectors = np.linalg.eigh((A * (positive + negative)) @ A.T)
        if eigenvalues[-1] < value:
            found, value = positive - negative, float(eigenvalues[-1])
        shares = np.maximum(-programme.ineqlin.marginals, 0)
        if value <= (1 + GAP) * programme.fun:
            break
        cuts += [(A.T @ z) ** 2 for z in vectors[:, -EIGENVECTORS:].T]
    _, bound, price = least_weighted_norm(A, b, shares @ rows / shares.sum())
    return LeastSharpness(found, 4 / m * value, 4 / m * bound, price)

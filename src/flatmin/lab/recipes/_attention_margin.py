"""One head of softmax attention that chooses tokens, and the matrices that choose them with the least norm.

The head computes ``vᵀ Xᵀ softmax(X W z)`` for n sequences of T tokens X, shape (T, d), with a query z and a label ±1.
The scores ``y X v`` are 1 for one token of each sequence, the optimal one, and 0 for all others. W separates the tokens
if ``a_iᵀ W q_i > 0`` for every difference a_i of the optimal and another token, with the query q_i of its sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy.optimize import nnls

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.measurements import RankOne
from flatmin.problem import Problem
from flatmin.solvers.choose import flat_minimum

__all__ = ["AttentionData", "Separator", "largest_frobenius_margin", "largest_nuclear_margin", "trained"]

#: Largest relative gap between norm and lower bound of a certified separator.
CERTIFIED = 1e-6
#: Largest number of active sets that are tried.
ROUNDS = 50


@dataclass(frozen=True, eq=False)
class AttentionData:
    """Tokens, shape (n, T, d), of which the first is optimal, and queries, shape (n, d)."""

    tokens: Array
    queries: Array

    @classmethod
    def sample(cls, n: int, length: int, d: int, seed: int) -> Self:
        """Draw Gaussian tokens and queries; tokens are moved along v until their scores are 1 and 0."""
        rng = np.random.default_rng(seed)
        tokens, queries = rng.standard_normal((n, length, d)), rng.standard_normal((n, d))
        v, labels = rng.standard_normal(d), rng.choice([-1.0, 1.0], n)
        values = labels[:, None] * (np.arange(length) == 0)
        return cls(tokens + (values - tokens @ v)[..., None] * v / (v @ v), queries)

    @cached_property
    def differences(self) -> Array:
        """The vectors a_i, shape (n (T − 1), d)."""
        return (self.tokens[:, :1] - self.tokens[:, 1:]).reshape(-1, self.tokens.shape[2])

    @cached_property
    def repeated_queries(self) -> Array:
        """The vectors q_i, shape (n (T − 1), d)."""
        return np.repeat(self.queries, self.tokens.shape[1] - 1, axis=0)

    def margins(self, W: Array) -> Array:
        """Return the ``a_iᵀ W q_i``."""
        return np.asarray(np.sum((self.differences @ W) * self.repeated_queries, axis=1))

    def gradient(self, W: Array) -> Array:
        """Return a positive multiple of the gradient of the loss ``(1/n) Σ_i exp(−y_i f_i)`` in W.

        The factor is chosen so that the gradient does not underflow where all tokens are separated widely. There the
        probabilities p of other tokens than the optimal one are tiny: the output y f is ``1 − Σ p``.
        """
        n, length, _ = self.tokens.shape
        logits = -self.margins(W).reshape(n, length - 1)
        top = np.maximum(logits.max(axis=1), 0)
        total = top + np.log(np.exp(-top) + np.exp(logits - top[:, None]).sum(axis=1))
        scale = float((logits - total[:, None] - total[:, None]).max())
        others = np.exp(logits - total[:, None]).sum(axis=1)
        # The derivative of the loss in the margin of token t is −exp(−y f) p_t p_0, where p_0 = exp(−total).
        weights = np.exp(logits - 2 * total[:, None] - scale) * np.exp(others - 1)[:, None]
        return np.asarray(-(self.differences.T * weights.ravel()) @ self.repeated_queries)


@dataclass(frozen=True, eq=False)
class Separator:
    """A matrix with ``a_iᵀ W q_i ≥ 1`` of least norm, its norm, and a certified lower bound on this least norm."""

    matrix: Array
    norm: float
    bound: float

    @property
    def gap(self) -> float:
        """The relative difference of norm and bound."""
        return self.norm / self.bound - 1

    def excess(self, data: AttentionData, W: Array, order: str) -> float:
        """Return ``1 − margin of W / largest margin`` among matrices of its norm (``order`` as in `numpy.linalg`)."""
        return float(1 - data.margins(W).min() / np.linalg.norm(W, order) * self.bound)  # type: ignore[call-overload]


def largest_nuclear_margin(data: AttentionData) -> Separator:
    """Return the separator of least nuclear norm, with a certificate from the dual vector of `flat_minimum`.

    With equalities on a subset of the tokens, the problem is bilinear sensing. The positive part λ of its dual vector
    bounds the norm of all separators from below by ``Σ λ_i / ‖Σ λ_i a_i q_iᵀ‖``. Tokens with negative dual numbers
    leave the subset, and violated ones enter it, until bound and norm agree.

    Raises
    ------
    InputError
        If no subset is found for which they agree, for instance because the tokens cannot be separated.
    """
    a, q = data.differences, data.repeated_queries
    active = np.ones(len(a), bool)
    for _ in range(ROUNDS):
        solution = flat_minimum(Problem(RankOne(a[active], q[active]), np.ones(active.sum())), metric_power=0)
        dual, margins = solution.duals[0], data.margins(solution.matrix)
        assert dual is not None
        positive = np.maximum(dual, 0)
        spread = float(np.linalg.norm((a[active].T * positive) @ q[active], 2))
        if margins.min() > 0 and spread > 0:
            matrix = solution.matrix / margins.min()
            found = Separator(matrix, float(np.linalg.norm(matrix, "nuc")), float(positive.sum()) / spread)
            if found.gap <= CERTIFIED:
                return found
        kept = active.copy()
        kept[np.flatnonzero(active)[dual < -CERTIFIED * np.abs(dual).max()]] = False
        kept |= margins < 1 - CERTIFIED
        if (kept == active).all():
            break
        active = kept
    raise InputError("the separator of least nuclear norm is not certified, expected tokens that can be separated")


def largest_frobenius_margin(data: AttentionData) -> Separator:
    """Return the separator of least Frobenius norm; its dual is a nonnegative least-squares problem."""
    rows = np.einsum("id,ie->ide", data.differences, data.repeated_queries).reshape(len(data.differences), -1)
    dual, _ = nnls(np.vstack([rows.T, np.ones(len(rows))]), np.append(np.zeros(rows.shape[1]), 1.0))
    w = rows.T @ dual
    margin = float((rows @ w).min())
    if not margin > 0:
        raise InputError("the tokens cannot be separated, expected more dimensions or fewer sequences")
    matrix = (w / margin).reshape(data.tokens.shape[2], -1)
    return Separator(matrix, float(np.linalg.norm(matrix)), float(dual.sum() / np.linalg.norm(w)))


def trained(data: AttentionData, start: float, step_size: float, steps: int, seed: int) -> Iterator[Array]:
    """Yield W after each step of normalized gradient descent, which is gradient flow at another speed.

    ``W = K Qᵀ`` with Gaussian K and Q of standard deviation ``start`` or, if it is 0, W itself is trained from zero.
    """
    d = data.tokens.shape[2]
    rng = np.random.default_rng([seed, 1])
    K, Q = start * rng.standard_normal((2, d, d)) if start else (np.zeros((d, d)), np.eye(d))
    for _ in range(steps):
        G = data.gradient(K @ Q.T)
        gradients = (G @ Q, G.T @ K) if start else (G, 0 * Q)
        size = np.sqrt(sum(float(np.sum(g * g)) for g in gradients))
        if not 0 < size < np.inf:
            return
        K, Q = K - step_size / size * gradients[0], Q - step_size / size * gradients[1]
        yield K @ Q.T

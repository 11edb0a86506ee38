r"""A search for the flattest layers of a linear network that fit the data, without a proof that they are flattest.

For more than two layers and general measurements, flatness is not a convex function of ``X = W_N ⋯ W_1``, and
`flat_minimum` refuses the problem. For small matrices, the search here minimises the trace of the Hessian over the
layers by an augmented Lagrangian. Let L_l and R_l be the products of the layers on either side of layer l,
``P_l = L_l L_lᵀ``, ``Q_l = R_lᵀ R_l`` and ``K = (1/m) Σ_i A_i ⊗ A_i``. The trace is ``2 Σ_l vec(P_l)ᵀ K vec(Q_l)``; its
cost does not depend on the number of measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate

import numpy as np
from scipy.optimize import minimize

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.measurements.identity import Identity
from flatmin.parametrizations.base import Factors
from flatmin.parametrizations.chain import Chain
from flatmin.problem import Problem

__all__ = ["FlatLayers", "flattest_layers", "layers_of"]

#: Largest number of entries of the matrix X; the tensor K has the square of this number of entries.
LARGEST = 400
#: Largest number of rounds of the augmented Lagrangian.
ROUNDS = 40
#: Largest number of steps of a round.
STEPS = 2000
#: Initial weight of the misfit, times the number of measurements.
WEIGHT = 10.0
#: The weight of the misfit grows by GROWTH if a round leaves more than the share PROGRESS of the misfit.
GROWTH, PROGRESS = 3.0, 0.25
#: Layers fit the data if their relative misfit is at most this.
FITS = 1e-8
#: Largest number of restarts from perturbed layers, and the size of the perturbation relative to the layers.
SHAKES, SHAKE = 4, 0.01
#: Layers count as flatter if the trace is smaller by at least this share.
FLATTER = 1e-6


@dataclass(frozen=True)
class FlatLayers:
    """The result of the search: layers, their product, the trace of the Hessian, and ``‖A(X) − b‖ / ‖b‖``."""

    factors: Factors
    matrix: Array
    trace: float
    misfit: float

    @property
    def fits(self) -> bool:
        """Whether the layers fit the data."""
        return self.misfit <= FITS


def layers_of(problem: Problem, matrix: Array) -> Factors:
    """Return the layers of a matrix that would be flattest for isotropic measurements."""
    model = _chain(problem)
    metric = model.metric(Identity(problem.shape))
    gamma = model.isotropy(metric)
    assert gamma is not None
    U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
    return model.flattest(U, gamma * s, Vt.T, metric)


def flattest_layers(problem: Problem, start: Factors, *, seed: int = 0) -> FlatLayers:
    """Return layers that fit the data, with the smallest Hessian trace that a descent from the start finds.

    If the measurements are at least as many as the degrees of freedom, every low-rank matrix that fits is a stationary
    point, and the descent may end there although another matrix is flatter. So the layers are perturbed and the descent
    is repeated, until no flatter layers are found. The result is a local minimum; another start may end at flatter
    layers.

    The problem must have a `Chain`, a matrix of at most 400 entries, and data that are not zero; otherwise `InputError`
    is raised. The layers of the start need not fit the data. Directions that are zero on both sides of a layer stay
    zero, so add a little noise to the start.

    Examples
    --------
    >>> import flatmin as fm
    >>> A = fm.families.matrix_sensing.sample((4, 4), 1, 14, seed=0).problem
    >>> problem = fm.Problem(A.measurement, A.data, fm.Chain((4,)))
    >>> rng = np.random.default_rng(0)
    >>> found = flattest_layers(problem, problem.parametrization.random((4, 4), 4, rng))
    >>> flattest = fm.flat_minimum(problem).certificate.value
    >>> found.fits, bool(abs(found.trace / flattest - 1) < 1e-6)
    (True, True)
    """
    chain = _chain(problem)
    start = chain.check(start, problem.shape)
    scale = float(np.linalg.norm(problem.data)) / np.sqrt(problem.measurement.size)
    if scale == 0:
        raise InputError("the data are zero, expected other data: the flattest layers of zero are zero")
    share = scale ** (1 / chain.depth)
    search = _Search(problem, problem.data / scale)
    point = search.descend(_Point(np.concatenate([W.ravel() / share for W in start])))
    rng = np.random.default_rng(seed)
    for _ in range(SHAKES):
        size = SHAKE * np.sqrt(np.mean(point.weights**2))
        other = search.descend(replace(point, weights=point.weights + size * rng.standard_normal(point.weights.size)))
        flatter = other.misfit <= FITS and search.trace(other) < (1 - FLATTER) * search.trace(point)
        if point.misfit <= FITS and not flatter:
            break
        point = other
    factors = tuple(share * W for W in search.layers(point.weights))
    trace = chain.gauss_newton_trace(factors, problem.measurement, problem.metric)
    return FlatLayers(factors, problem.parametrization.matrix(factors), trace, point.misfit)


@dataclass(frozen=True)
class _Point:
    """The state of a search: all weights, the multiplier, the weight of the misfit and the relative misfit."""

    weights: Array
    multiplier: Array | float = 0.0
    weight: float = 0.0
    misfit: float = np.inf


class _Search:
    """Trace and misfit of a linear network as functions of all weights in one vector."""

    def __init__(self, problem: Problem, data: Array) -> None:
        d1, d2 = problem.shape
        self.shape, self.data = problem.shape, data
        self.maps = problem.measurement.matrices().reshape(len(data), -1)
        K = (self.maps.T @ self.maps / len(data)).reshape(d1, d2, d1, d2)
        self.K = np.ascontiguousarray(K.transpose(0, 2, 1, 3).reshape(d1 * d1, d2 * d2))
        sizes = (d2, *_chain(problem).widths, d1)
        self.shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
        self.ends = list(accumulate(rows * cols for rows, cols in self.shapes))

    def layers(self, weights: Array) -> Factors:
        parts = np.split(weights, self.ends[:-1])
        return tuple(part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True))

    def descend(self, point: _Point) -> _Point:
        """Return the end point of the augmented Lagrangian method; a round ends at a gradient below the misfit."""
        weights, multiplier, before = point.weights, point.multiplier, np.inf
        weight = point.weight or WEIGHT / len(self.data)
        misfit = min(point.misfit, 1.0)
        for _ in range(ROUNDS):
            settings = {"maxiter": STEPS, "maxfun": 3 * STEPS, "maxcor": 30, "ftol": 1e-16, "gtol": max(misfit, 1e-9)}
            step = minimize(self.lagrangian, weights, (multiplier, weight), "L-BFGS-B", jac=True, options=settings)
            weights = step.x
            residual = self.maps @ reduce(lambda X, W: W @ X, self.layers(weights)).ravel() - self.data
            misfit = float(np.linalg.norm(residual) / np.linalg.norm(self.data))
            if misfit <= FITS:
                break
            multiplier = multiplier + weight * residual
            weight *= GROWTH if misfit > PROGRESS * before else 1.0
            before = misfit
        return _Point(weights, multiplier, weight, misfit)

    def trace(self, point: _Point) -> float:
        return self.lagrangian(point.weights, np.zeros(len(self.data)), 0.0)[0]

    def lagrangian(self, weights: Array, multiplier: Array | float, weight: float) -> tuple[float, Array]:
        """Return ``tr H + ⟨multiplier, ρ⟩ + (weight/2) ‖ρ‖²`` with the residual ρ, and its gradient."""
        layers = self.layers(weights)
        behind, ahead = _around(layers)
        (d1, d2), last = self.shape, len(layers) - 1
        value, by_behind, by_ahead = 0.0, [], []
        for L, R in zip(behind, ahead, strict=True):
            P, Q = (L @ L.T).ravel(), (R.T @ R).ravel()
            seen = self.K @ Q
            value += 2 * float(P @ seen)
            by_behind.append(4 * seen.reshape(d1, d1) @ L)
            by_ahead.append(4 * R @ (P @ self.K).reshape(d2, d2))
        residual = self.maps @ (layers[last] @ ahead[last]).ravel() - self.data
        value += float(np.sum(multiplier * residual) + weight / 2 * residual @ residual)
        by_matrix = ((multiplier + weight * residual) @ self.maps).reshape(self.shape)
        gradient = [np.zeros(shape) for shape in self.shapes]
        # Backwards through L_l = L_{l+1} W_{l+1}, then through R_l = W_{l−1} R_{l−1} with X as the last of them.
        reached = by_behind[0]
        for i in range(1, last + 1):
            gradient[i] += behind[i].T @ reached
            reached = reached @ layers[i].T + by_behind[i]
        gradient[last] += by_matrix @ ahead[last].T
        reached = by_ahead[last] + layers[last].T @ by_matrix
        for i in range(last - 1, -1, -1):
            gradient[i] += reached @ ahead[i].T
            reached = layers[i].T @ reached + by_ahead[i]
        return value, np.concatenate([part.ravel() for part in gradient])


def _around(layers: Factors) -> tuple[list[Array], list[Array]]:
    """Return the products of the layers behind and ahead of each layer: ``X = behind · W · ahead``."""
    behind, ahead = [np.eye(len(layers[-1]))], [np.eye(layers[0].shape[1])]
    for W in layers[:0:-1]:
        behind.append(behind[-1] @ W)
    for W in layers[:-1]:
        ahead.append(W @ ahead[-1])
    return behind[::-1], ahead


def _chain(problem: Problem) -> Chain:
    model = problem.parametrization
    if not isinstance(model, Chain):
        raise InputError(f"the parametrization is {model!r}, expected a Chain of layers")
    if np.prod(problem.shape) > LARGEST:
        raise InputError(f"the matrix has shape {problem.shape}, expected at most {LARGEST} entries")
    return model

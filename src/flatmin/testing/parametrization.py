"""Checks of a parametrization."""

from __future__ import annotations

from typing import Any

import numpy as np

from flatmin.errors import InputError
from flatmin.metric import Array, Metric
from flatmin.parametrizations import Parametrization
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.testing._checks import TOLERANCE, agree, require

__all__ = ["check_parametrization"]


def check_parametrization(p: Parametrization | Problem, *, seed: int = 0) -> None:
    """Check a two-factor parametrization against finite differences on small random problems.

    Width and matrix; ``hessian_trace`` and ``scaled_trace`` against the Hessian of the loss by finite differences, off
    and on the zero-loss set; the minimum over the fibre, which the flattest factors attain and no other factors of
    the same matrix beat; and what a rotation of the factors must not change.

    Parameters
    ----------
    p : Parametrization or Problem
        The parametrization; a problem stands for its own.
    seed : int
        Draws the problems and points.

    Raises
    ------
    AssertionError
        With one sentence: which property failed, by how much, and what usually causes it.

    Examples
    --------
    >>> import flatmin as fm
    >>> fm.testing.check_parametrization(fm.Product())
    """
    model = p.parametrization if isinstance(p, Problem) else p
    rng = np.random.default_rng(seed)
    shape, m = (4, 3), 7
    for width in (1, 2, 5):
        factors = tuple(rng.standard_normal((n, width)) for n in shape)
        for blind in (False, True):
            sensing = rng.standard_normal((m, *shape))
            sensing[:, 0, :] *= not blind
            _check_traces(model, factors, sensing, rng)
            _check_fibre(model, factors, _dense_metric(sensing), rng)
    require(model, model.check(factors, shape)[0].dtype == float, "check must return float64 arrays")
    try:
        model.check((factors[0][:-1], factors[1]), shape)
    except InputError:
        return
    raise AssertionError(f"{model!r}: check accepts factors of a wrong shape; it must raise InputError")


def _check_traces(model: Parametrization, factors: Factors, sensing: Array, rng: np.random.Generator) -> None:
    """Compare both traces with the diagonal of a finite-difference Hessian of the loss, off and on zero loss."""
    m, d1, d2 = sensing.shape
    L, R = factors
    require(model, model.width(factors) == L.shape[1], f"width is {model.width(factors)}, expected {L.shape[1]}")
    clean = np.tensordot(sensing, model.matrix(factors), 2)
    for place, data in (("off", clean + rng.standard_normal(m)), ("on", clean)):

        def loss(theta: Array, data: Array = data) -> float:
            parts = np.split(theta, [L.size])
            X = model.matrix((parts[0].reshape(L.shape), parts[1].reshape(R.shape)))
            return float(np.mean((np.tensordot(sensing, X, 2) - data) ** 2))

        diagonal = _hessian_diagonal(loss, np.concatenate([L.ravel(), R.ravel()]))
        left, right = diagonal[: L.size].sum(), diagonal[L.size :].sum()
        metric = _dense_metric(sensing)
        cause = "it is the trace for the loss (1/m) ‖A(X) − b‖², with no factor ½"
        name = f"hessian_trace {place} the zero-loss set"
        agree(model, name, model.hessian_trace(factors, metric), left + right, cause, tolerance=1e-7)
        cause = "the L block of the Hessian is divided by d1, the R block by d2"
        name = f"scaled_trace {place} the zero-loss set"
        agree(model, name, model.scaled_trace(factors, metric), left / d1 + right / d2, cause, tolerance=1e-7)


def _check_fibre(
    model: Parametrization, factors: Factors, metric: tuple[Metric, Metric], rng: np.random.Generator
) -> None:
    D1, D2 = (np.asarray(D) for D in metric)
    Z = D1 @ model.matrix(factors) @ D2
    minimum = model.fibre_minimum(factors, metric)
    U, s, V = model.singular(factors, metric)
    agree(model, "singular, U s Vᵀ = D1 X D2,", (U * s) @ V.T, Z, "Z is measured in whitened coordinates")
    flat = model.flattest(U, s, V, metric)
    agree(model, "the matrix of the flattest factors", D1 @ model.matrix(flat) @ D2, Z, "look at flattest")
    cause = "the smallest scaled trace of X is 4 ‖D1 X D2‖_*"
    agree(model, "fibre_minimum at the flattest factors", model.scaled_trace(flat, metric), minimum, cause)
    L, R = factors
    k = L.shape[1]
    for _ in range(10):
        G = rng.standard_normal((k, k)) + 2 * np.eye(k)
        other = (L @ G, R @ np.linalg.inv(G).T)
        trace = model.scaled_trace(other, metric)
        require(
            model,
            trace >= minimum * (1 - TOLERANCE),
            f"other factors of the same matrix have scaled trace {trace:.10g}, below fibre_minimum {minimum:.10g}",
        )
        agree(model, "fibre_minimum on the fibre", model.fibre_minimum(other, metric), minimum, cause, tolerance=1e-7)
    Q = np.linalg.qr(rng.standard_normal((k, k)))[0]
    turned = (L @ Q, R @ Q)
    for name in ("hessian_trace", "scaled_trace", "fibre_minimum"):
        got, want = (getattr(model, name)(w, metric) for w in (turned, factors))
        agree(model, f"{name} after a rotation of the factors", got, want, "it may only depend on L Lᵀ and R Rᵀ")
    for name in ("balance", "norm_excess"):
        got, want = (getattr(model, name)(w) for w in (turned, factors))
        agree(model, f"{name} after a rotation of the factors", got, want, "rotations change neither", scale=1 + want)


def _dense_metric(sensing: Array) -> tuple[Metric, Metric]:
    m, d1, d2 = sensing.shape
    rows = np.tensordot(sensing, sensing, ((0, 2), (0, 2))) / (m * d2)
    return Metric.root(rows), Metric.root(np.tensordot(sensing, sensing, ((0, 1), (0, 1))) / (m * d1))


def _hessian_diagonal(f: Any, x: Array, h: float = 0.1) -> Array:
    """Return second derivatives by the five-point formula, exact for polynomials of degree five."""
    weights = {-2: -1, -1: 16, 0: -30, 1: 16, 2: -1}
    return np.array([sum(w * f(x + j * h * e) for j, w in weights.items()) for e in np.eye(len(x))]) / (12 * h**2)

"""Checks of a parametrization."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.measurements import Dense, Identity, Measurement
from flatmin.parametrizations import Chain, Hadamard, Parametrization
from flatmin.parametrizations.base import Factors, Metrics
from flatmin.problem import Problem
from flatmin.testing._checks import TOLERANCE, agree, draw, require

__all__ = ["check_parametrization"]


def check_parametrization(p: Parametrization | Problem, *, seed: int = 0) -> None:
    """Check a parametrization against finite differences on small random problems.

    The check compares ``hessian_trace`` with the finite-difference Hessian of the loss, with and without a residual,
    and ``gauss_newton_trace`` with the same Hessian at zero loss. The check tests that the scaled trace of the flattest
    factors is ``fibre_minimum``, and that no other factors of the same matrix have a smaller scaled trace. The check
    also tests the width, the matrix, and that a rotation of the factors does not change traces, balance and norm
    excess. Models of positive semidefinite matrices are also checked with complex factors, whose coordinates are the
    real and imaginary parts.

    Parameters
    ----------
    p : Parametrization or Problem
        The parametrization of matrices, or a problem that has it.
    seed : int
        Seed of the random problems and points.

    Raises
    ------
    AssertionError
        If a property fails; one sentence names the property, the size of the error, and its usual cause.

    Examples
    --------
    >>> import flatmin as fm
    >>> fm.testing.check_parametrization(fm.Product())
    """
    model = p.parametrization if isinstance(p, Problem) else p
    rng = np.random.default_rng(seed)
    shape, m = (4, 4) if model.cone.is_hermitian else (4, 3), 7
    if isinstance(model, Hadamard):
        shape = (4, 1)
    for width in (1, 2, 5):
        factors = model.random(shape, width, rng)
        for blind in (False, True):
            _check_point(model, factors, _sensing(rng, m, shape, float, blind), rng)
            if model.cone.is_semidefinite:
                waves = tuple(draw(rng, F.shape, complex) for F in factors)
                _check_point(model, waves, _sensing(rng, m, shape, complex, blind), rng)
        if isinstance(model, Chain):
            _check_point(model, factors, Identity(shape), rng)
    found = model.check(factors, shape)
    require(model, all(F.dtype == float for F in found), "check must return float64 arrays")
    try:
        model.check((factors[0][:-1], *factors[1:]), shape)
    except InputError:
        return
    raise AssertionError(f"{model!r}: check accepts factors of a wrong shape; it must raise InputError")


def _sensing(rng: np.random.Generator, m: int, shape: tuple[int, int], dtype: Any, blind: bool) -> Dense:
    """Return random sensing matrices, Hermitian if square; with ``blind`` their first row is zero."""
    A = draw(rng, (m, *shape), dtype)
    A[:, 0, :] *= not blind
    if shape[0] == shape[1]:
        A[:, :, 0] *= not blind
        A = A + A.conj().transpose(0, 2, 1)
    return Dense(A)


def _check_point(model: Parametrization, factors: Factors, A: Measurement, rng: np.random.Generator) -> None:
    _check_traces(model, factors, A, rng)
    _check_fibre(model, factors, A, rng)
    _check_turned(model, factors, A, rng)


def _check_traces(model: Parametrization, factors: Factors, A: Measurement, rng: np.random.Generator) -> None:
    """Compare traces with the diagonal of a finite-difference Hessian of the loss, at positive and zero loss."""
    P, Q = model.pair(factors)
    deep, width = not model.has_cone_norm, model.width(factors)
    require(model, deep or width == P.shape[1], f"width is {width}, expected {P.shape[1]}")
    agree(model, "matrix", model.matrix(factors), P @ Q.conj().T, "X = P Q* for the pair (P, Q)")
    clean, metric = A.forward(model.matrix(factors)), model.metric(A)
    for place, data in (("off", clean + rng.standard_normal(A.size)), ("on", clean)):

        def loss(theta: Array, data: Array = data) -> float:
            return float(np.mean((A.forward(model.matrix(_weights(theta, factors))) - data) ** 2))

        diagonal = _hessian_diagonal(loss, np.concatenate([_coordinates(F) for F in factors]))
        cause = "it is the trace for the loss (1/m) ‖A(X) − b‖², with no factor ½"
        got = model.hessian_trace(factors, A, metric, clean - data)
        name = f"hessian_trace {place} the zero-loss set"
        agree(model, name, got, diagonal.sum(), cause, scale=float(np.abs(diagonal).sum()) or 1.0, tolerance=1e-7)
    cause = "at zero loss the Hessian is its Gauss-Newton part"
    gauss_newton = model.gauss_newton_trace(factors, A, metric)
    agree(model, "gauss_newton_trace", gauss_newton, diagonal.sum(), cause, tolerance=1e-7)
    scaled = model.scaled_trace(factors, A, metric)
    if not model.cone.is_hermitian and len(factors) == 2 and not deep:
        (d1, d2), left = A.shape, diagonal[: factors[0].size].sum()
        cause = "the L block of the Hessian is divided by d1, the R block by d2"
        agree(model, "scaled_trace", scaled, left / d1 + (diagonal.sum() - left) / d2, cause, tolerance=1e-7)
    else:
        agree(model, "scaled_trace", scaled, gauss_newton, "it is the Gauss-Newton trace", tolerance=1e-12)


def _check_fibre(model: Parametrization, factors: Factors, A: Measurement, rng: np.random.Generator) -> None:
    metric = model.metric(A)
    D1, D2 = (np.asarray(D) for D in metric)
    Z = D1 @ model.matrix(factors) @ D2
    minimum = model.fibre_minimum(factors, metric)
    if minimum is None:  # no formula is known for layers beyond two and such measurements
        return
    U, s, V = model.singular(factors, metric)
    size = float(np.linalg.norm(Z)) or 1.0
    agree(model, "singular, U s V* = D1 X D2,", (U * s) @ V.conj().T, Z, "Z is measured in whitened coordinates", size)
    flat = model.flattest(U, s, V, metric)
    agree(model, "the matrix of the flattest factors", D1 @ model.matrix(flat) @ D2, Z, "look at flattest", size)
    want, cause = _least_trace(model, A, model.matrix(factors), float(np.linalg.norm(Z, "nuc")))
    agree(model, "fibre_minimum", minimum, want, cause)
    agree(model, "fibre_minimum at the flattest factors", model.scaled_trace(flat, A, metric), minimum, cause)
    for _ in range(10):
        _check_other(model, factors, _moved(model, factors, rng), A, metric, minimum)


def _check_turned(model: Parametrization, factors: Factors, A: Measurement, rng: np.random.Generator) -> None:
    """Check that a rotation of the factors changes no measure of flatness, and recompute balance and norm excess."""
    metric, turned = model.metric(A), _turned(model, factors, rng)
    residual = rng.standard_normal(A.size)
    for name, arguments in (
        ("hessian_trace", (A, metric, residual)),
        ("gauss_newton_trace", (A, metric)),
        ("scaled_trace", (A, metric)),
        ("fibre_minimum", (metric,)),
        ("balance", ()),
        ("norm_excess", ()),
    ):
        got, want = (getattr(model, name)(w, *arguments) for w in (turned, factors))
        if want is not None:
            cause = "a rotation makes no other model"
            agree(model, f"{name} after a rotation of the factors", got, want, cause, scale=1 + abs(want))
    if not model.has_cone_norm:
        return
    P, Q = model.pair(factors)
    balance = float(np.linalg.norm(P.conj().T @ P - Q.conj().T @ Q, "nuc"))
    agree(model, "balance", model.balance(factors), balance, "‖P*P − Q*Q‖_* for X = P Q*", scale=1 + balance)
    norm = float(np.linalg.norm(P) ** 2 + np.linalg.norm(Q) ** 2) / 2
    excess = norm / float(np.linalg.norm(P @ Q.conj().T, "nuc")) - 1
    agree(model, "norm_excess", model.norm_excess(factors), excess, "(‖P‖² + ‖Q‖²)/(2‖X‖_*) − 1", scale=1 + excess)


def _least_trace(model: Parametrization, A: Measurement, X: Array, norm: float) -> tuple[float, str]:
    """Return the smallest scaled trace of all factors of X, from its definition; ``norm`` is ``‖D1 X D2‖_*``."""
    if isinstance(model, Hadamard):
        weights = np.mean(A.matrices() ** 2, axis=0)
        least = 2 * model.depth * float(np.sum(weights * np.abs(X) ** (2 - 2 / model.depth)))
        return least, "the smallest trace of x is 2N Σ w_j |x_j|^(2 − 2/N)"
    if isinstance(model, Chain) and model.depth > 2:
        N, cells = model.depth, X.size
        least = 2 * N * float(cells ** (1 / N) * np.linalg.norm(X, "nuc") ** (2 - 2 / N)) / A.size
        return least, "the smallest trace of X is 2N (d1 d2)^(1/N) ‖X‖_*^(2 − 2/N) / m for the whole matrix"
    scale = float(np.sqrt(X.size)) if isinstance(model, Chain) else 1.0
    factor = f"{model.trace_factor} √(d1 d2)" if isinstance(model, Chain) else str(model.trace_factor)
    return scale * model.trace_factor * norm, f"the smallest scaled trace of X is {factor} ‖D1 X D2‖_*"


def _check_other(
    model: Parametrization, factors: Factors, other: Factors, A: Measurement, metric: Metrics, minimum: float
) -> None:
    """Check that other factors of the same matrix have no smaller trace and the same ``fibre_minimum``."""
    X = model.matrix(factors)
    require(model, np.allclose(model.matrix(other), X, atol=1e-8 * np.linalg.norm(X)), "these factors make another X")
    trace = model.scaled_trace(other, A, metric)
    sentence = f"other factors of the same matrix have scaled trace {trace:.10g}, below fibre_minimum {minimum:.10g}"
    require(model, trace >= minimum * (1 - TOLERANCE), sentence)
    cause = "it depends on X only"
    agree(model, "fibre_minimum on the fibre", model.fibre_minimum(other, metric), minimum, cause, tolerance=1e-7)
    require(model, min(model.balance(other), model.norm_excess(other)) >= -1e-8, "balance or norm_excess is negative")


def _moved(model: Parametrization, factors: Factors, rng: np.random.Generator) -> Factors:
    """Return other factors of the same matrix, as different as the symmetry of the model allows."""
    if isinstance(model, Hadamard):
        g = np.exp(rng.standard_normal(factors[0].shape))
        return factors[0] * g, factors[1] / g, *factors[2:]
    if isinstance(model, Chain):
        layer = int(rng.integers(len(model.widths)))
        k = model.widths[layer]
        G = rng.standard_normal((k, k)) + 2 * np.eye(k)
        between = G @ factors[layer], factors[layer + 1] @ np.linalg.inv(G)
        return *factors[:layer], *between, *factors[layer + 2 :]
    k = factors[0].shape[1]
    if not model.cone.is_hermitian:
        G = rng.standard_normal((k, k)) + 2 * np.eye(k)
        return factors[0] @ G, factors[1] @ np.linalg.inv(G).T
    if model.cone.is_semidefinite:
        return _turned(model, factors, rng)
    Q = _rotation(k, float, rng)
    plus, minus = np.hstack([factors[0] @ Q, np.zeros((len(factors[0]), 1))]), factors[1]
    if minus.shape[1] == 0:
        return plus, minus
    t = rng.standard_normal()  # a hyperbolic turn of one column of each sign
    p, q = plus[:, :1] * np.cosh(t) + minus[:, :1] * np.sinh(t), plus[:, :1] * np.sinh(t) + minus[:, :1] * np.cosh(t)
    return np.hstack([p, plus[:, 1:]]), np.hstack([q, minus[:, 1:]])


def _turned(model: Parametrization, factors: Factors, rng: np.random.Generator) -> Factors:
    """Return rotated factors, which have the same matrix and the same norm."""
    if isinstance(model, Hadamard):
        signs = np.sign(rng.standard_normal(factors[0].shape))
        return signs * factors[0], signs * factors[1], *factors[2:]
    if isinstance(model, Chain):
        Q = _rotation(model.widths[0], float, rng)
        return Q @ factors[0], factors[1] @ Q.T, *factors[2:]
    turns = [_rotation(F.shape[1], F.dtype, rng) for F in factors]
    if not model.cone.is_hermitian:
        turns = turns[:1] * 2
    return tuple(F @ Q for F, Q in zip(factors, turns, strict=True))


def _rotation(k: int, dtype: Any, rng: np.random.Generator) -> Array:
    return np.asarray(np.linalg.qr(draw(rng, (k, k), dtype))[0])


def _coordinates(F: Array) -> Array:
    """Return the entries of a factor as real numbers."""
    return np.concatenate([F.real.ravel(), F.imag.ravel()]) if np.iscomplexobj(F) else F.ravel()


def _weights(theta: Array, like: Factors) -> Factors:
    """Return the factors whose concatenated coordinates are ``theta``."""
    parts = np.split(theta, np.cumsum([_coordinates(F).size for F in like])[:-1])
    halves = [(part[: F.size], part[F.size :]) for part, F in zip(parts, like, strict=True)]
    return tuple(
        (re + 1j * im if np.iscomplexobj(F) else re).reshape(F.shape) for (re, im), F in zip(halves, like, strict=True)
    )


def _hessian_diagonal(f: Any, x: Array, h: float = 0.1) -> Array:
    """Return second derivatives by the five-point formula, exact for polynomials of degree five."""
    weights = {-2: -1, -1: 16, 0: -30, 1: 16, 2: -1}
    return np.array([sum(w * f(x + j * h * e) for j, w in weights.items()) for e in np.eye(len(x))]) / (12 * h**2)

"""Exact fits of data, found by least squares over factors from random starts, without flatmin's own solvers."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.parametrizations import Gram, Product, SignedGram
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem

__all__ = ["exact_fit"]

#: Largest number of trust-region steps, and number of Gauss-Newton steps after them, which converge quadratically.
STEPS, LAST_STEPS = 200, 3


def exact_fit(problem: Problem, width: int, scale: float, rng: np.random.Generator) -> tuple[Factors, float]:
    """Return factors near a random start that fit the data, and their misfit ``‖A(X) − b‖ / ‖b‖``.

    The squared misfit is minimised over the factors by SciPy's `least_squares`, and then by Gauss-Newton steps of least
    length. Flatness plays no part: the start decides which of many fits is found. The misfit of a fit is about 1e-16.
    The misfit is large if there is no fit near the start, or if the linear algebra of a step fails.

    The parametrization must be `Product`, `Gram` or `SignedGram`, and the data not zero; otherwise `InputError` is
    raised. ``width`` is the number of columns of the factors (of both signs together for `SignedGram`), and ``scale``
    the standard deviation of the entries at the start.

    Examples
    --------
    >>> import flatmin as fm
    >>> problem = fm.families.matrix_sensing.sample((4, 3), 1, 8, seed=1).problem
    >>> factors, misfit = exact_fit(problem, 3, 1.0, np.random.default_rng(0))
    >>> misfit < 1e-14, fm.flat_minimum(problem).flatness.scaled_trace < fm.flatness(problem, factors).scaled_trace
    (True, True)
    """
    model, b = problem.parametrization, problem.data
    if not isinstance(model, Product | Gram | SignedGram):
        raise InputError(f"the parametrization is {model!r}, expected Product, Gram or SignedGram")
    size = float(np.linalg.norm(b))
    if size == 0:
        raise InputError("the data b are all zero, expected something to fit")
    A, is_complex = problem.measurement.matrices(), np.iscomplexobj(problem.measurement.matrices(0, 1))
    start = [scale * F for F in model.random(problem.shape, width, rng)]
    if is_complex:
        start = [(F + 1j * scale * rng.standard_normal(F.shape)) / np.sqrt(2) for F in start]

    def factors_of(weights: Array) -> Factors:
        flat = weights[: len(weights) // 2] + 1j * weights[len(weights) // 2 :] if is_complex else weights
        ends = np.cumsum([F.size for F in start])[:-1]
        return tuple(part.reshape(F.shape) for part, F in zip(np.split(flat, ends), start, strict=True))

    def misfit(weights: Array) -> Array:
        return np.asarray(problem.residual(factors_of(weights)) / size)

    def slopes(weights: Array) -> Array:
        J = np.concatenate([part.reshape(len(b), -1) for part in _slopes(model, A, factors_of(weights))], axis=1)
        return (np.concatenate([J.real, J.imag], axis=1) if is_complex else J) / size

    flat = np.concatenate([F.ravel() for F in start])
    weights = np.concatenate([flat.real, flat.imag]) if is_complex else flat
    try:
        found = least_squares(misfit, weights, slopes, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=STEPS).x
    except np.linalg.LinAlgError:  # LAPACK's fast singular values give up on a few matrices that lack rank
        return tuple(start), float(np.linalg.norm(misfit(weights)))
    for _ in range(LAST_STEPS):
        moved = found - np.linalg.lstsq(slopes(found), misfit(found), rcond=None)[0]
        if not np.linalg.norm(misfit(moved)) < np.linalg.norm(misfit(found)):
            break
        found = moved
    return factors_of(found), float(np.linalg.norm(misfit(found)))


def _slopes(model: Product | Gram | SignedGram, A: Array, factors: Factors) -> Sequence[Array]:
    """Return the derivatives of all measurements by each factor, (m, d, k), complex for complex factors."""
    if isinstance(model, Product):
        L, R = factors
        return A @ R, A.transpose(0, 2, 1) @ L
    return [2 * sign * (A @ U) for sign, U in zip((1, -1), factors, strict=False)]

"""Exact fits up to rounding, optimal multipliers, and the nearest data that some matrix fits."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import Linearization, QuadraticMap
from flatmin.linalg.subspaces import EPS, block_norm, couplings
from flatmin.measurements import Measurement
from flatmin.solvers.factored.cell_equations import CellEquations
from flatmin.solvers.factored.tangent import TangentSpace, solve_definite

__all__ = ["EXACT", "correct_dual", "fit_exactly", "fit_widely", "is_wide", "largest_drop", "project_data"]

#: Relative residual up to which a fit counts as exact.
EXACT = 1e-13
#: A singular value below this share of the previous one may be an artefact of slow convergence.
ARTEFACT_RATIO = 1e-2
#: Relative norm of the gradient below which a point is stationary.
STATIONARY_GRADIENT = 1e-14
#: Largest number of steps of `fit_widely`.
MAX_WIDE_STEPS = 12
#: `fit_widely` ends if a step leaves more than this share of the misfit.
MAX_WIDE_LEFT = 0.5
#: Relative residual to which the linear equations of a step of `fit_widely` are solved.
WIDE_ACCURACY = 1e-4
#: Largest number of conjugate gradient steps for the linear equations of a step of `fit_widely`.
MAX_PRODUCTS = 100
#: Number of observed entries up to which Gauss-Newton steps are as fast as `fit_widely`.
MIN_ENTRIES = 2000


def fit_exactly(model: QuadraticMap, b: Array, x: Array, value: Array, enough: float) -> tuple[Array, float]:
    """Move stacked factors that nearly fit onto the data; return them and their relative misfit.

    The misfit is the larger one of those in the units of b and of the data.

    Smaller ranks are tried first if singular values drop sharply there and the data exceed the degrees of freedom,
    because an exact fit of such a rank is no coincidence. Such a fit is returned if its nuclear norm is at most
    ``enough``. This test is needed because near the recovery threshold a fit of small rank may not be the flattest.
    """
    moved, misfit = _fitted(model, b, x, value, enough)
    return moved, misfit if model.units is None else max(misfit, model.relative_residual(moved, b))


def _fitted(model: QuadraticMap, b: Array, x: Array, value: Array, enough: float) -> tuple[Array, float]:
    U, s, V = model.canonical(x)
    for rank in range(1, len(s)):
        if s[rank] < ARTEFACT_RATIO * s[rank - 1] and model.freedom(rank) < len(b):
            start = model.stack(U[:, :rank], s[:rank], V[:, :rank])
            moved, misfit = _gauss_newton(model, b, start, b - model.value(start))
            if misfit <= EXACT and float(model.canonical(moved)[1].sum()) <= enough:
                return moved, misfit
    return fit_widely(model, b, x, EXACT) if is_wide(model, x) else _gauss_newton(model, b, x, b - value)


def largest_drop(s: Array, floor: float = EPS) -> int:
    """Return the rank after which the ratio of a singular value to the next one, or the floor, is largest."""
    return 1 + int(np.argmax(s[:-1] / np.maximum(s[1:], floor))) if len(s) > 1 else 1


def is_wide(model: QuadraticMap, x: Array) -> bool:
    """Return whether `fit_widely` applies: there are many entries, but no more than degrees of freedom at this rank."""
    whitened = model.whitened
    if not model.is_product or whitened.size <= MIN_ENTRIES or model.freedom(x.shape[1]) < whitened.size:
        return False
    return whitened.curvature_blocks(*(np.zeros((d, 0)) for d in whitened.shape)) is not None


def fit_widely(model: QuadraticMap, b: Array, x: Array, exact: float) -> tuple[Array, float]:
    """Return the stacked factors of a matrix of the same rank that fits, and its relative misfit.

    Each step goes to the nearest fit in the tangent space, by conjugate gradients in the space of the data. With
    orthonormal U and V, the equations ``q(U M2* + M1 V*) = r`` are well conditioned for any singular values. With a
    multiplier y, the trace changes by ``⟨y, r⟩`` and terms of second order. The steps end at the relative misfit
    ``exact``.
    """
    U, s, V = model.canonical(x)
    size, residual = float(np.linalg.norm(b)), b - model.value(model.stack(U, s, V))
    misfit = float(np.linalg.norm(residual)) / size
    for _ in range(MAX_WIDE_STEPS):
        if misfit <= exact:
            break
        space = TangentSpace(model, U, V)
        least = space.adjoint(solve_definite(space.gram, residual, WIDE_ACCURACY, MAX_PRODUCTS))
        M1, M2 = space.split(space.diagonal(s) + least)
        moved = model.canonical(np.concatenate([np.hstack([U, M1]), np.hstack([M2, V])]))
        moved = moved[0][:, : len(s)], moved[1][: len(s)], moved[2][:, : len(s)]
        left = b - model.value(model.stack(*moved))
        ratio = float(np.linalg.norm(left)) / size / misfit
        if ratio < 1:
            (U, s, V), residual, misfit = moved, left, misfit * ratio
        if ratio > MAX_WIDE_LEFT:
            break
    return model.stack(U, s, V), misfit


def _gauss_newton(model: QuadraticMap, b: Array, x: Array, residual: Array, steps: int = 8) -> tuple[Array, float]:
    """Take minimum-norm Gauss-Newton steps towards ``q(x) = b`` while they help.

    After a step that divides the residual by more than a thousand, the next step uses the same derivative.
    """
    scale, inverse = float(np.linalg.norm(b)), None
    for _ in range(steps):
        size = float(np.linalg.norm(residual))
        if x.size == 0 or size <= EXACT * scale:
            break
        inverse = inverse or _pseudo_inverse(model.linearize(x))
        relative = size / scale  # a step must cost no digits
        moved = x + inverse(residual, max(0.1 * min(relative, 1.0), 0.3 * EXACT / relative))
        left = b - model.value(moved)
        ratio = float(np.linalg.norm(left)) / size
        if ratio > 0.9:
            break
        x, residual = moved, left
        inverse = inverse if ratio < 1e-3 else None
    return x, float(np.linalg.norm(residual)) / scale


def correct_dual(model: QuadraticMap, x: Array, y: Array, seed: int) -> tuple[Array, float]:
    """Return the multiplier nearest to y that makes x stationary, and the (estimated) norm of its dual matrix.

    This multiplier is optimal up to rounding if x is an exact fit of the right rank.
    """
    correction = _pseudo_inverse(model.linearize(x))
    U, s, V = model.canonical(x)
    # A second correction removes the error of the regularized inverse. Columns that may be artefacts would spoil it.
    for _ in range(2 if s.min(initial=1.0) > ARTEFACT_RATIO**2 * s.max(initial=1.0) else 1):
        lacking = x - model.apply(model.dual_matrix(y), x)
        size, goal = float(np.linalg.norm(lacking)), STATIONARY_GRADIENT * float(np.linalg.norm(x))
        if size <= goal:
            break
        y = y + correction(lacking, goal / size)
    del correction  # it holds large arrays
    S = model.dual_matrix(y)
    outside = model.largest_escape(S, U, V, seed, tol=1e-4)  # the bound is changed by the square of this error
    return y, block_norm(*couplings(S, U, V)[2:], max(outside, 0.0))


def _pseudo_inverse(derivative: Linearization) -> Callable[[Array, float], Array]:
    """Return ``r ↦ J⁺ r`` for residuals (m,), which is also ``g ↦ (Jᵀ)⁺ g`` for arrays shaped like x.

    The second argument is the relative accuracy of iterations. For sampled products, changes d with ``J d = 0`` are not
    removed from the result.
    """
    n, k = derivative.x.shape
    cells = CellEquations.from_derivative(derivative) if derivative.J is None else None
    if cells is not None:
        return cells.pseudo_inverse
    if derivative.J is None:
        from scipy.sparse.linalg import lsmr

        operator = derivative.as_linear_operator()

        def iterate(target: Array, tol: float) -> Array:
            if target.ndim == 2:
                return np.asarray(lsmr(operator.T, target.T.ravel(), atol=1e-12, btol=1e-12, maxiter=100)[0])
            return np.asarray(lsmr(operator, target, atol=1e-10, btol=1e-10, maxiter=100)[0]).reshape(k, n).T

        return iterate
    J = derivative.matrix
    short = len(J) <= n * k
    gram = J @ J.T if short else J.T @ J
    gram[np.diag_indices(len(gram))] += 1e-13 * np.trace(gram)
    factor = cho_factor(gram, overwrite_a=True, check_finite=False)

    def solve(target: Array, tol: float) -> Array:
        transposed = target.ndim == 2
        if short:
            solved = cho_solve(factor, derivative.forward(target) if transposed else target)
            return np.asarray(solved if transposed else derivative.adjoint(solved))
        aim = target if transposed else derivative.adjoint(target)
        solved = np.asarray(cho_solve(factor, aim.T.ravel())).reshape(k, n).T
        return derivative.forward(solved) if transposed else np.asarray(solved)

    return solve


def project_data(model: QuadraticMap, b: Array) -> tuple[Array, float]:
    """Return the data nearest to b that some matrix fits, and their relative distance from b in unweighted units.

    The distance is 0 if the least-squares iteration does not converge.
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import aslinearoperator, lsmr

    units = np.ones_like(b) if model.units is None else model.units
    operator = aslinearoperator(diags_array(units)) @ _on_all_matrices(model.whitened)
    b = units * b
    result = lsmr(operator, b, atol=1e-13, btol=1e-13, conlim=1e14, maxiter=2000)
    fitted = operator.matvec(result[0])
    residual = b - fitted
    distance = float(np.linalg.norm(residual)) / float(np.linalg.norm(b))
    steepness = float(np.linalg.norm(operator.rmatvec(residual)))
    settled = steepness <= 1e-6 * float(result[5]) * float(np.linalg.norm(residual))
    return fitted / units, distance if settled else 0.0


def _on_all_matrices(measurement: Measurement) -> Any:
    """Return a measurement as a linear operator on matrices, complex ones in real coordinates."""
    from scipy.sparse.linalg import LinearOperator

    if not np.issubdtype(measurement.dtype, np.complexfloating):
        return measurement.as_linear_operator()

    def forward(x: Array) -> Array:
        real, imaginary = x.reshape(2, *measurement.shape)
        return measurement.forward(real + 1j * imaginary)

    def adjoint(y: Array) -> Array:
        S = measurement.adjoint(y)
        return np.concatenate([S.real.ravel(), S.imag.ravel()])

    shape = (measurement.size, 2 * int(np.prod(measurement.shape)))
    return LinearOperator(shape, matvec=forward, rmatvec=adjoint, dtype=float)

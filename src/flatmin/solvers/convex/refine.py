"""Exact fits up to rounding, optimal multipliers, and the nearest data that some matrix fits."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import Linearization, QuadraticMap
from flatmin.linalg.subspaces import block_norm, couplings
from flatmin.measurements import Measurement
from flatmin.solvers.completion.cell_equations import CellEquations
from flatmin.solvers.completion.wide_fit import fit_widely, is_wide

__all__ = ["EXACT", "correct_dual", "fit_exactly", "project_data"]

#: Relative residual of an exact fit.
EXACT = 1e-13
#: Ratio to the previous singular value below which one may be an artefact of slow convergence.
SHARP = 1e-2
#: Relative accuracy to which a multiplier makes a point stationary.
STATIONARY = 1e-14


def fit_exactly(model: QuadraticMap, b: Array, x: Array, value: Array, enough: float) -> tuple[Array, float]:
    """Move stacked factors onto the data, at a smaller rank if that is as flat.

    Ranks at which the singular values drop sharply are tried where such matrices have fewer degrees of freedom than
    there are data: there an exact fit is no coincidence, and removes the small components that a slowly converging
    solve leaves behind. Near the recovery threshold it may be the truth and yet not the flattest solution.

    Parameters
    ----------
    model : QuadraticMap
        The measured model.
    b : ndarray, shape (m,)
        The data.
    x : ndarray, shape (n, k)
        Stacked factors that nearly fit.
    value : ndarray, shape (m,)
        ``q(x)``.
    enough : float
        A smaller rank is taken if its norm is at most this.

    Returns
    -------
    x : ndarray
        The moved factors.
    misfit : float
        ``‖q(x) − b‖ / ‖b‖``.
    """
    U, s, V = model.canonical(x)
    for rank in range(1, len(s)):
        if s[rank] < SHARP * s[rank - 1] and model.freedom(rank) < len(b):
            start = model.stack(U[:, :rank], s[:rank], V[:, :rank])
            moved, misfit = _gauss_newton(model, b, start, b - model.value(start))
            if misfit <= EXACT and float(model.canonical(moved)[1].sum()) <= enough:
                return moved, misfit
    return fit_widely(model, b, x, EXACT) if is_wide(model, x) else _gauss_newton(model, b, x, b - value)


def _gauss_newton(model: QuadraticMap, b: Array, x: Array, residual: Array, steps: int = 8) -> tuple[Array, float]:
    """Take minimum-norm Gauss-Newton steps towards ``q(x) = b`` while they help.

    A step that shrinks the residual a thousandfold is followed by one with the same derivative.
    """
    scale, inverse = float(np.linalg.norm(b)), None
    for _ in range(steps):
        size = float(np.linalg.norm(residual))
        if x.size == 0 or size <= EXACT * scale:
            break
        inverse = inverse or _pseudo_inverse(model.linearize(x))
        moved = x + inverse(residual, _forcing(size / scale))
        left = b - model.value(moved)
        ratio = float(np.linalg.norm(left)) / size
        if ratio > 0.9:
            break
        x, residual = moved, left
        inverse = inverse if ratio < 1e-3 else None
    return x, float(np.linalg.norm(residual)) / scale


def _forcing(misfit: float) -> float:
    """Return how accurately a Gauss-Newton step from this relative misfit need be computed, to cost no digits."""
    return max(0.1 * min(misfit, 1.0), 0.3 * EXACT / misfit)


def correct_dual(model: QuadraticMap, x: Array, y: Array, seed: int) -> tuple[Array, float]:
    """Return the multiplier nearest to y that makes x stationary, and the (estimated) norm of its dual matrix.

    Where the fit is exact and the rank is right, this is the optimal multiplier to rounding.
    """
    correction = _pseudo_inverse(model.linearize(x))
    U, s, V = model.canonical(x)
    # A second time removes what the regularized inverse left, unless columns are so small that they may be artefacts.
    for _ in range(2 if s.min(initial=1.0) > SHARP**2 * s.max(initial=1.0) else 1):
        lacking = x - model.apply(model.dual_matrix(y), x)
        size, goal = float(np.linalg.norm(lacking)), STATIONARY * float(np.linalg.norm(x))
        if size <= goal:
            break
        y = y + correction(lacking, goal / size)
    S = model.dual_matrix(y)
    _, values, _ = model.escapes(S, U, V, 2, seed, tol=1e-4)  # the bound is as wrong as this is, squared
    return y, block_norm(*couplings(S, U, V)[2:], float(values.max(initial=0.0)))


def _pseudo_inverse(derivative: Linearization) -> Callable[[Array, float], Array]:
    """Return ``r ↦ J⁺ r`` for residuals (m,), which is also ``g ↦ (Jᵀ)⁺ g`` for arrays shaped like x.

    For sampled products it is exact up to changes d that leave ``J d`` alone, and as accurate, relatively, as the
    second argument says; for others as accurate as it can be.
    """
    n, k = derivative.x.shape
    equations = CellEquations.of(derivative) if derivative.J is None else None
    if equations is not None:
        cells = equations
        return lambda target, tol: (
            cells.least_norm(target, tol) if target.ndim == 2 else cells.least_squares(target, tol)
        )
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
    """Return the data nearest to b, in their own units, that some matrix fits, and how far they are, relatively.

    The distance is 0 where the least-squares iteration did not settle the question.
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

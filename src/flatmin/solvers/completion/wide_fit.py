"""Exact fits by matrices of fixed rank with more degrees of freedom than there are data."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.linalg.subspaces import EPS
from flatmin.solvers.factored.tangent import TangentSpace

__all__ = ["fit_widely", "is_wide"]

#: Largest number of steps along tangent spaces, and the factor by which each must shrink the misfit.
MAX_STEPS = 12
SHRINK = 0.5
#: Relative residual of the equations of a step, and the number of products.
ACCURACY = 1e-4
MAX_PRODUCTS = 100
#: Number of entries up to which other methods are fast enough.
MIN_ENTRIES = 2000


def is_wide(model: QuadraticMap, x: Array) -> bool:
    """Return whether `fit_widely` is for these stacked factors: more freedom than entries, and many of these."""
    whitened = model.whitened
    if not model.is_product or whitened.size <= MIN_ENTRIES or model.freedom(x.shape[1]) < whitened.size:
        return False
    return whitened.curvature_blocks(*(np.zeros((d, 0)) for d in whitened.shape)) is not None


def fit_widely(model: QuadraticMap, b: Array, x: Array, exact: float) -> tuple[Array, float]:
    """Return the stacked factors of a matrix of the same rank that fits, and its relative misfit.

    Below the recovery threshold a flat solution has more degrees of freedom than there are data, so that many matrices
    near a point fit. Each step takes the nearest one in the tangent space: with orthonormal U and V the equations
    ``q(U M2* + M1 V*) = r`` are conditioned well however far apart the singular values are, in the space of the data
    where their least solution is looked for by conjugate gradients. The trace changes by ``⟨y, r⟩`` and terms of second
    order, as with any other small correction on the tangent space of an optimum.

    Parameters
    ----------
    model : StackedProduct
        The measured model.
    b : ndarray, shape (m,)
        The data.
    x : ndarray, shape (n, k)
        Stacked factors that nearly fit.
    exact : float
        The relative misfit that is small enough.
    """
    U, s, V = model.canonical(x)
    size, residual = float(np.linalg.norm(b)), b - model.value(model.stack(U, s, V))
    misfit = float(np.linalg.norm(residual)) / size
    for _ in range(MAX_STEPS):
        if misfit <= exact:
            break
        space = TangentSpace(model, U, V)
        M1, M2 = space.split(space.diagonal(s) + space.adjoint(_least(space, residual)))
        moved = model.canonical(np.concatenate([np.hstack([U, M1]), np.hstack([M2, V])]))
        moved = moved[0][:, : len(s)], moved[1][: len(s)], moved[2][:, : len(s)]
        left = b - model.value(model.stack(*moved))
        ratio = float(np.linalg.norm(left)) / size / misfit
        if ratio < 1:
            (U, s, V), residual, misfit = moved, left, misfit * ratio
        if ratio > SHRINK:
            break
    return model.stack(U, s, V), misfit


def _least(space: TangentSpace, r: Array) -> Array:
    """Return w with ``F F* w = r`` for the map F on the tangent space."""
    w, p, rr = np.zeros_like(r), r, float(r @ r)
    goal = ACCURACY**2 * rr
    for _ in range(MAX_PRODUCTS):
        Ap = space.forward(space.adjoint(p))
        curvature = float(p @ Ap)
        if curvature <= EPS * float(p @ p):  # the rest of the residual lies outside the tangent space
            break
        step = rr / curvature
        w, r = w + step * p, r - step * Ap
        rr, before = float(r @ r), rr
        if rr <= goal:
            break
        p = r + rr / before * p
    return w

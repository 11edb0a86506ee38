"""Whether a flat minimum is the only one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin.measurements import Measurement
from flatmin.metric import Array, svd_of_product
from flatmin.operator_norm import EPS, TopSpectrum

__all__ = ["SAFETY", "Uniqueness", "core_columns", "uniqueness"]

#: Margins count only when they exceed the numerical noise by this factor.
SAFETY = 1e3
#: Other flat minima must be confined to this distance, relatively and times the injectivity, for uniqueness.
CONFINED = 1e-3
#: A second solution is as flat, and measures the same, to this relative accuracy.
AS_GOOD = 1e-9
#: More numbers than this are never formed for the symmetric core map.
LARGEST_CORE = 60_000_000


@dataclass(frozen=True, eq=False)
class Uniqueness:
    """What is known about other flat minima.

    Attributes
    ----------
    unique : bool or None
        True: any other is confined to about 1e-3 of this one, relatively, or less. False: ``alternative`` is another
        one. None: undecided.
    q : int
        Number of singular values of the dual matrix at one.
    injectivity : float or None
        Smallest over largest singular value of the map on symmetric q×q cores; None if it is too large to form.
    margin : float
        One minus the next singular value of the dual matrix.
    alternative : tuple of ndarray or None
        Another flat minimum in whitened coordinates, as a pair of factors, where one is in hand.
    """

    unique: bool | None
    q: int
    injectivity: float | None
    margin: float
    alternative: tuple[Array, Array] | None = None


def core_columns(whitened: Measurement, U: Array, V: Array) -> Array:
    """Return the matrix of ``S ↦ B(U S Vᵀ)`` on an orthonormal basis of symmetric matrices, (m, q(q+1)/2)."""
    q = U.shape[1]
    rows, cols = np.triu_indices(q)
    columns = np.empty((whitened.size, len(rows)), order="F")
    J = whitened.jacobian(U, V) if whitened.size * q * sum(whitened.shape) <= LARGEST_CORE else None
    if J is not None:
        core = J[..., : whitened.shape[0]] @ U
        columns[:] = core[:, rows, cols] + core[:, cols, rows]
    else:
        for c, (i, j) in enumerate(zip(rows, cols, strict=True)):
            columns[:, c] = whitened.forward_factors(U[:, [i, j]], V[:, [j, i]])
    return columns / np.where(rows == cols, 2, np.sqrt(2))


def uniqueness(
    whitened: Measurement, Z: tuple[Array, Array, Array], spectrum: TopSpectrum, gap: float, sizes: Array
) -> Uniqueness:
    """Decide whether ``Z = U s Vᵀ`` is the only flat minimum, given the spectrum of a nearly optimal dual matrix.

    Every flat minimum is ``U1 S V1ᵀ`` with S symmetric positive semidefinite, U1 and V1 being the singular vectors of
    an optimal dual matrix whose singular value is one. So it is unique if ``S ↦ B(U1 S V1ᵀ)`` is injective on
    symmetric matrices. A dual matrix with a relative gap g confines every flat minimum to a distance of
    ``(2 √(g/δ) + √(2g/(1 − η))) ‖Z‖_*`` from such a matrix, with δ the margin and ``1 − η`` the q-th singular value;
    True is said only if twice that (there are two of them), over the injectivity, is small. Where the map is not
    injective and S stays semidefinite along a null direction, a second flat minimum is in hand.

    Parameters
    ----------
    whitened : Measurement
        The map B on ``Z = D1 X D2``.
    Z : tuple of ndarray
        Singular value decomposition of the solution.
    spectrum : TopSpectrum
        Of the dual matrix, scaled to norm at most one.
    gap : float
        Relative duality gap.
    sizes : ndarray, shape (m,)
        Norms of the whitened sensing matrices, which make the rows of the core map comparable.
    """
    total = float(Z[1].sum())
    rank = int(np.count_nonzero(Z[1] > max(abs(gap), EPS) * total))
    leading = spectrum.values[:rank]
    noise = max(abs(gap), float(np.max(np.abs(1 - leading), initial=0.0)), 10 * EPS * sum(whitened.shape))
    q = max(rank, int(np.count_nonzero(spectrum.values > 1 - SAFETY * noise)))
    margin = max(0.0, 1 - spectrum.below(q)) if q < min(whitened.shape) else 1.0
    if q == 0:
        return Uniqueness(True, 0, 1.0, margin)
    if whitened.size * q * (q + 1) / 2 > LARGEST_CORE:
        return Uniqueness(None, q, None, margin)
    U, V = spectrum.U[:, :q], spectrum.V[:, :q]
    triangle = core_columns(whitened, U, V) / np.where(sizes > 0, sizes, 1)[:, None]
    if len(triangle) > triangle.shape[1]:
        triangle = np.asarray(np.linalg.qr(triangle, mode="r"))
    values = np.linalg.svd(triangle, compute_uv=False)
    smallest = values[-1] if len(values) == triangle.shape[1] else 0.0
    injectivity = float(smallest / values[0]) if values[0] > 0 else 0.0
    threshold = SAFETY * EPS * np.sqrt(len(sizes))
    clear = injectivity > max(threshold, SAFETY * noise) and margin > SAFETY * noise
    g = max(abs(gap), EPS)
    spread = 2 * np.sqrt(g / max(margin, EPS)) + np.sqrt(2 * g / max(spectrum.values[q - 1], EPS))
    if clear and 2 * spread <= CONFINED * injectivity:
        return Uniqueness(True, q, injectivity, margin)
    if injectivity < threshold:
        other = _second_solution(whitened, U, V, Z, _null_space(triangle, threshold))
        if other is not None:
            return Uniqueness(False, q, injectivity, margin, other)
    return Uniqueness(None, q, injectivity, margin)


def _null_space(triangle: Array, threshold: float) -> Array:
    """Return symmetric matrices (n, q, q), orthonormal, that the core map sends to (almost) zero."""
    _, values, directions = np.linalg.svd(triangle, full_matrices=True)
    values = np.concatenate([values, np.zeros(len(directions) - len(values))])
    null = directions[values <= threshold * values[0]]
    q = round((np.sqrt(8 * len(directions) + 1) - 1) / 2)
    rows, cols = np.triu_indices(q)
    N = np.zeros((len(null), q, q))
    N[:, rows, cols] = N[:, cols, rows] = null / np.where(rows == cols, 1, np.sqrt(2))
    return N


def _second_solution(
    whitened: Measurement, U: Array, V: Array, Z: tuple[Array, Array, Array], null: Array
) -> tuple[Array, Array] | None:
    """Return the solution moved within the null space, if it stays as flat and measures the same to rounding.

    The most promising direction raises the eigenvalues of the core that are zero; any will do if there are none.
    """
    core = (U.T @ Z[0] * Z[1]) @ (Z[2].T @ V)
    core = (core + core.T) / 2
    w, Q = np.linalg.eigh(core)
    zero = Q[:, w <= 1e-9 * w[-1]]
    lift = np.einsum("nij,nij->n", null, np.broadcast_to(zero @ zero.T, null.shape))
    data, norm = whitened.forward_factors(Z[0] * Z[1], Z[2]), float(Z[1].sum())
    for direction in (np.einsum("n,nij->ij", lift, null), null[-1]):
        scale = float(np.linalg.norm(direction, 2))
        if scale <= 1e-9:
            continue
        for sign in (1.0, -1.0):
            for step in w[-1] / scale * 0.5 ** np.arange(10):
                left = np.hstack([Z[0] * Z[1], U @ (sign * step * direction)])
                right = np.hstack([Z[2], V])
                moved = svd_of_product(left, right)[1]
                misfit = float(np.linalg.norm(whitened.forward_factors(left, right) - data))
                if moved.sum() <= norm * (1 + AS_GOOD) and misfit <= AS_GOOD * float(np.linalg.norm(data)):
                    return left, right
    return None

"""How far any other matrix can be that fits as well and is as flat: certified error radii."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigvalsh, lapack

from flatmin._core.arrays import Array
from flatmin.linalg.metric import Metric
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Entries, Measurement

__all__ = [
    "Stability",
    "core_gram",
    "derivative",
    "distance_to_cores",
    "root_of_smallest",
    "smallest_singular_value",
    "spread_of",
    "tangent_columns",
]

#: More multiplications than this are not spent on the map on the tangent space …
MOST_WORK = 1.5e9
#: … nor more forward maps where the measurement does not offer its derivative.
MOST_FORWARD_MAPS = 400


@dataclass(frozen=True)
class Stability:
    """Constants of the bound on how far other matrices of the model are, in whitened coordinates.

    Let Z be the solution, λ the dual vector, ``Y = B*(λ)``, and U1, V1 its q leading singular vectors. Every matrix Z'
    of the model with ``‖B(Z') − b‖ ≤ noise`` and ``‖Z'‖_* ≤ (1 + excess) ‖Z‖_*`` has
    ``‖Z'‖_* − ⟨Y, Z'⟩ ≤ ε' = gap + excess · size + dual_size · noise``, which confines it to the neighbourhood of the
    tangent space of U1, V1 (linearly in ε') or of the symmetric cores ``U1 S V1*`` (like its square root). Where the
    measurements tell the elements of that space apart, Z' is near Z. Proofs: docs/theory/uniqueness.md.

    Attributes
    ----------
    space : str
        "tangent" or "core".
    semidefinite : bool
        Whether the model makes positive semidefinite matrices only.
    gap : float
        ``‖Z‖_* − ⟨λ, b⟩`` plus what the computed singular vectors couple with the rest, at least rounding; negative
        where Z fits less well than it is flat.
    size : float
        ``‖Z‖_*``.
    margin, inner : float
        ``1 − σ_{q+1}(Y)`` and ``σ_q(Y)``.
    injectivity : float
        Smallest singular value of B on the space.
    spread : float
        A bound on ``‖B(Z)‖ / ‖Z‖_*``.
    dual_size, growth : float
        Norm of the dual vector; how much the trace can grow with the noise where the data determine it.
    misfit : float
        ``‖B(Z) − b‖``.
    outside : float
        Nuclear norm of the part of Z outside the space.
    unwhiten : float
        ``‖D1⁻¹‖ ‖D2⁻¹‖``, which turns distances of Z into those of X.
    """

    space: str
    semidefinite: bool
    gap: float
    size: float
    margin: float
    inner: float
    injectivity: float
    spread: float
    dual_size: float
    growth: float
    misfit: float
    outside: float
    unwhiten: float

    def radius(self, noise: float = 0.0, excess: float = 0.0) -> float:
        """Return a bound on ``‖X' − X‖_F`` for every other matrix X' of the model.

        Parameters
        ----------
        noise : float
            X' fits the data up to ``‖A(X') − b‖ ≤ noise``.
        excess : float
            X' is at most this much less flat, relatively.
        """
        largest = (1 + excess) * self.size + self.growth * (noise + self.misfit)  # bounds ‖Z'‖_*, and so its rounding
        rounding = abs(self.gap) * (largest / self.size - 1) if self.size else 0.0
        doubt = max(0.0, self.gap + rounding + excess * self.size + self.dual_size * noise)
        if self.space == "tangent":
            apart = doubt / self.margin
        else:
            apart = distance_to_cores(doubt, largest, self.margin, self.inner, self.semidefinite)
        apart += self.outside
        within = (noise + self.misfit + self.spread * apart) / self.injectivity
        return float(self.unwhiten * np.hypot(within, apart))

    def as_dict(self) -> dict[str, Any]:
        """Return the constants by name."""
        return asdict(self)


def distance_to_cores(doubt: float, size: float, margin: float, inner: float, semidefinite: bool) -> float:
    """Return a bound on the distance in the nuclear norm of any Z' from the cores ``U1 S V1*``, S Hermitian.

    Parameters
    ----------
    doubt, size : float
        Bounds on ``‖Z'‖_* − ⟨Y, Z'⟩`` and ``‖Z'‖_*``.
    margin, inner : float
        ``1 − σ_{q+1}(Y)`` and ``σ_q(Y)``.
    semidefinite : bool
        Whether Z' is positive semidefinite.
    """
    if semidefinite:
        return float(2 * np.sqrt(doubt * size / margin))
    return float(np.sqrt(2 * doubt * size * (2 / margin + 2 / (1 + inner))))


def spread_of(size: int, plain: tuple[Metric, Metric], metric: tuple[Metric, Metric], hermitian: bool) -> float:
    """Return a bound on ``‖B(Z)‖ / ‖Z‖_*`` for ``B(Z) = A(D1⁻¹ Z D2⁻¹)``, from the metric alone.

    For a unit matrix u v* it is the root of ``u* (Σ B_i B_i*) u`` at most, and ``Σ A_i A_i*`` is m d2 (Hermitian
    models: m) times the square of the metric.

    Parameters
    ----------
    size : int
        The number of measurements m.
    plain : tuple of Metric
        The metric of the measurements.
    metric : tuple of Metric
        The metric (D1, D2) by which they were whitened, a function of the plain one.
    hermitian : bool
        Whether the metric is that of a Hermitian model.
    """
    bounds = []
    for this, other in ((0, 1), (1, 0)):
        inside = metric[this].values > 0
        ratio = float(np.max(plain[this].values[inside] / metric[this].values[inside], initial=0.0))
        weakest = float(np.min(metric[other].values[metric[other].values > 0], initial=np.inf))
        dimension = 1 if hermitian else len(metric[other].values)
        bounds.append(np.sqrt(size * dimension) * ratio / weakest)
    return float(min(bounds))


def derivative(whitened: Measurement, U: Array, V: Array, cone: str, unseen: tuple[int, int] = (0, 0)) -> Array | None:
    """Return ``B_i V`` with axes [i, c, row] and, for rectangular matrices, ``B_iᵀ U`` behind it; None if too large.

    It is None too where more unknowns than measurements leave no hope that B is injective on the tangent space.

    Parameters
    ----------
    whitened : Measurement
        The map B.
    U, V : ndarray, shapes (d1, q) and (d2, q)
        Orthonormal columns; in the Hermitian cones V is U up to signs.
    cone : str
        `Parametrization.cone`.
    unseen : tuple of int
        The dimensions of what B does not see on either side.
    """
    (d1, d2), q, m, both = whitened.shape, U.shape[1], whitened.size, cone == "rectangular"
    n1, n2 = d1 - unseen[0], d2 - unseen[1]
    free = q * (n1 + n2 - q) if both else q * (2 * n1 - q) // (1 if np.iscomplexobj(U) else 2)
    if free > m or m * free**2 > MOST_WORK:
        return None
    found = whitened.jacobian(U, V) if both else whitened.products(V)
    if found is not None or q * (d1 + d2) > MOST_FORWARD_MAPS or np.iscomplexobj(U):
        return found
    out = np.empty((m, q, d1 + d2 if both else d1))
    for c in range(q):
        for row, unit in enumerate(np.eye(d1)):
            out[:, c, row] = whitened.forward_factors(unit[:, None], V[:, [c]])
        for row, unit in enumerate(np.eye(d2) if both else ()):
            out[:, c, d1 + row] = whitened.forward_factors(U[:, [c]], unit[:, None])
    return out


def tangent_columns(sides: Array, U: Array, V: Array, cone: str, blind: tuple[Array, Array] | None = None) -> Array:
    """Return the matrix of B on an orthonormal basis of the tangent space of U and V, up to signs.

    For rectangular matrices that is ``{U E* + F V*}``, else its Hermitian elements: also those that mix signs.

    Parameters
    ----------
    sides : ndarray
        The `derivative` of B at (U, V).
    U, V : ndarray, shapes (d1, q) and (d2, q)
        Orthonormal columns; in the Hermitian cones V is U up to signs.
    cone : str
        `Parametrization.cone`.
    blind : tuple of ndarray, optional
        Orthonormal bases of what B does not see on either side: there matrices vanish.
    """
    m, q, d1 = len(sides), U.shape[1], len(U)
    known = [np.hstack([F, N]) for F, N in zip((U, V), blind, strict=True)] if blind else [U, V]
    outer = [np.linalg.qr(F, mode="complete")[0][:, F.shape[1] :] for F in known]
    if cone == "rectangular":
        parts = [sides[..., :d1] @ U, sides[..., :d1] @ outer[0], sides[..., d1:] @ outer[1]]
        return np.concatenate([part.reshape(m, -1) for part in parts], axis=1)
    inner, rows, cols = sides @ U.conj(), *np.triu_indices(q, 1)
    diagonal = np.einsum("mcc->mc", inner).real
    rest = np.sqrt(2) * np.concatenate([inner[:, rows, cols], (sides @ outer[0].conj()).reshape(m, -1)], axis=1)
    return np.concatenate([diagonal, rest.real, rest.imag] if np.iscomplexobj(rest) else [diagonal, rest], axis=1)


def core_gram(entries: Entries, U: Array, V: Array, pairs: list[tuple[int, int]]) -> tuple[Array, float]:
    """Return the Gram matrix of ``S ↦ B(U S Vᵀ)`` on a basis of symmetric cores, and a bound on its error.

    Cells in a row share a row u of U, so their part of ``Σ w² (u_i v_j)(u_k v_l)`` is ``u_i u_k`` times an entry of
    the block ``Σ w² v vᵀ`` of that row: q⁴ numbers a row, however many cells it has.

    Parameters
    ----------
    entries : Entries
        The map B.
    U, V : ndarray, shapes (d1, q) and (d2, q)
        Real.
    pairs : list of tuple of int
        Positions i ≤ j at which cores may differ from zero: the basis has a core for each.

    Returns
    -------
    gram : ndarray, shape (n, n)
        For n pairs.
    error : float
        A bound on the norm of its rounding error, and on that of a Cholesky factorization.

    Examples
    --------
    >>> everything = Entries([0, 0, 1, 1], [0, 1, 0, 1], (2, 2))
    >>> core_gram(everything, np.eye(2), np.eye(2), [(0, 0), (0, 1), (1, 1)])[0]
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    (d1, q), n = U.shape, len(pairs)
    blocks = entries.row_blocks(V).reshape(d1, -1)
    squares = (U[:, :, None] * U[:, None, :]).reshape(d1, -1)
    products = (squares.T @ blocks).reshape(q, q, q, q)  # [i, k, j, l]
    i, j = np.array(pairs, dtype=int).reshape(-1, 2).T
    gram = np.zeros((n, n))
    for left, right in ((i, j), (j, i)):
        for first, second in ((i, j), (j, i)):
            gram += products[left[:, None], first, right[:, None], second]
    lengths = np.where(i == j, 2.0, np.sqrt(2.0))
    gram /= np.outer(lengths, lengths)
    total = float(np.einsum("iijj->", products))
    return gram, 1.1 * EPS * (entries.size + d1 + 2 * n + 30) * total


def smallest_singular_value(columns: Array) -> float:
    """Return a proved lower bound on the smallest singular value of a tall matrix, 0.0 where nothing is proved."""
    m, n = columns.shape
    if n == 0 or m < n:
        return 0.0
    gram = columns.T @ columns
    return root_of_smallest(gram, 1.1 * EPS * (m + 2 * n + 4) * float(np.trace(gram)))


def root_of_smallest(gram: Array, error: float) -> float:
    """Return a proved lower bound on the root of the smallest eigenvalue of a Gram matrix, 0.0 where none is proved.

    An eigenvalue solver estimates it; a Cholesky factorization of the matrix less a share of its square proves it, with
    the rounding errors of forming and factorizing (Rump 2006), at most ``error``, counted against it.
    """
    guess = float(eigvalsh(gram, subset_by_index=[0, 0], check_finite=False)[0])
    for share in (0.99, 0.9, 0.5):
        if share * guess > error and _positive_definite(gram, share * guess):
            return float(np.sqrt(share * guess - error))
    return 0.0


def _positive_definite(gram: Array, shift: float) -> bool:
    shifted = gram.copy()
    shifted[np.diag_indices(len(gram))] -= shift
    return bool(lapack.dpotrf(shifted, lower=1, clean=0, overwrite_a=1)[1] == 0)

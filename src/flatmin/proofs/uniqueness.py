"""Whether a flat minimum is the only one, and how far any other can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Entries, Measurement
from flatmin.parametrizations import Parametrization
from flatmin.proofs.norms import TopSpectrum
from flatmin.proofs.radius import (
    Stability,
    core_gram,
    derivative,
    distance_to_cores,
    root_of_smallest,
    smallest_singular_value,
    tangent_columns,
)

__all__ = ["NEAR", "SAFETY", "Evidence", "Uniqueness", "core_columns", "uniqueness"]

#: Margins count only when they exceed the numerical noise by this factor.
SAFETY = 1e3
#: Other flat minima must be proved to lie within this distance, relatively, for uniqueness.
NEAR = 1e-2
#: A second solution is as flat, and measures the same, to this relative accuracy.
AS_GOOD = 1e-9
#: More numbers than this are never formed for the symmetric core map …
LARGEST_CORE = 60_000_000
#: … and second solutions are not looked for in spaces of cores of a larger dimension.
MOST_CORES = 1500
#: More multiplications than this are not spent on its columns.
MOST_WORK = 5e9
#: … nor more than these where the gap leaves so much room that True cannot be the answer.
CHEAP = 1e8
#: … but for those of fast loops.
SLIGHT = 1e9
#: A Gram matrix tells singular values apart whose squares are not below this, relatively.
SQUARED = 1e-8


@dataclass(frozen=True, eq=False)
class Evidence:
    """What uniqueness is judged by: a solution in whitened coordinates and a dual matrix that proves it flattest.

    Attributes
    ----------
    model : Parametrization
        Which matrices count.
    whitened : Measurement
        The map B on ``Z = D1 X D2``.
    Z : tuple of ndarray
        Decomposition ``U, s, V`` of the solution.
    spectrum : TopSpectrum
        Of the dual matrix, scaled to norm at most one.
    dual : ndarray, shape (m,)
        The dual vector of that matrix, or of what it lacks to be the identity.
    gap : float
        How much others may exceed the bound of the dual vector, relative to ``‖Z‖_*``.
    sizes : ndarray, shape (m,)
        Norms of the whitened sensing matrices, which make the rows of the core map comparable.
    blind : tuple of ndarray
        Orthonormal bases of what the measurements do not see on either side: there matrices vanish.
    misfit : float
        Others have measurements that differ from those of Z by at most this.
    spread, unwhiten, growth : float
        See `flatmin.proofs.radius.Stability`.
    size : float
        The Frobenius norm of X.
    """

    model: Parametrization
    whitened: Measurement
    Z: tuple[Array, Array, Array]
    spectrum: TopSpectrum
    dual: Array
    gap: float
    sizes: Array
    blind: tuple[Array, Array]
    misfit: float
    spread: float
    unwhiten: float
    size: float
    growth: float = 0.0

    @property
    def norm(self) -> float:
        """``‖Z‖_*``."""
        return float(self.Z[1].sum())


@dataclass(frozen=True, eq=False)
class Uniqueness:
    """What is known about other flat minima.

    Attributes
    ----------
    unique : bool or None
        True: any other lies within 1e-2 of this one, relatively, or less. False: ``alternative`` is another
        one. None: undecided.
    q : int
        Number of singular values of the dual matrix at one.
    injectivity : float or None
        Smallest over largest singular value of the map on Hermitian q×q cores; None if it is too large to form.
    margin : float
        One minus the next singular value of the dual matrix.
    alternative : tuple of ndarray or None
        Another flat minimum in whitened coordinates, as a pair of factors, where one is in hand.
    stability : Stability or None
        What bounds the distance of others, where the measurements tell them apart.
    """

    unique: bool | None
    q: int
    injectivity: float | None
    margin: float
    alternative: tuple[Array, Array] | None = None
    stability: Stability | None = None


@dataclass(frozen=True, eq=False)
class _Cores:
    """The map on Hermitian cores: its triangle, where measurements count in units of their own sizes, and a bound.

    ``injectivity`` is a lower bound on the smallest singular value of the map itself.
    """

    triangle: Array
    injectivity: float

    @classmethod
    def of(cls, evidence: Evidence, U: Array, V: Array, sides: Array | None, work: float) -> _Cores | None:
        """Return them where they can be had: from blocks a row, if that is accurate enough, else column by column.

        Columns are worth about so many multiplications.
        """
        cone, m, pairs = evidence.model.cone, evidence.whitened.size, _pairs(U, V, evidence.model.cone)
        blocks = len(U) * U.shape[1] ** 4 + len(pairs) ** 3
        if sides is None and len(pairs) <= MOST_CORES and blocks <= max(work, SLIGHT):
            found = cls._by_blocks(evidence, U, V, pairs)
            if found is not None:
                return found
        if m * len(pairs) > LARGEST_CORE or m * len(pairs) ** 2 > work:
            return None
        core = core_columns(evidence.whitened, U, V, cone, sides)
        triangle = core / np.where(evidence.sizes > 0, evidence.sizes, 1)[:, None]
        if len(triangle) > triangle.shape[1]:
            triangle = np.asarray(np.linalg.qr(triangle, mode="r"))
        return cls(triangle, smallest_singular_value(core))

    @classmethod
    def _by_blocks(cls, evidence: Evidence, U: Array, V: Array, pairs: list[tuple[int, int]]) -> _Cores | None:
        """Return them for entries whose map is far enough from singular that its square tells."""
        if not isinstance(evidence.whitened, Entries) or np.iscomplexobj(U):
            return None
        weights = np.divide(1.0, evidence.sizes, out=np.ones_like(evidence.sizes), where=evidence.sizes > 0)
        values, Q = np.linalg.eigh(core_gram(evidence.whitened.weighted(weights), U, V, pairs)[0])
        if not values[0] > SQUARED * values[-1]:
            return None
        triangle = np.sqrt(values[::-1, None]) * Q.T[::-1]
        return cls(triangle, root_of_smallest(*core_gram(evidence.whitened, U, V, pairs)))


def core_columns(
    whitened: Measurement, U: Array, V: Array, cone: str = "rectangular", sides: Array | None = None
) -> Array:
    """Return the matrix of ``S ↦ B(U S V*)`` on an orthonormal basis of cores S.

    These are the symmetric matrices, (m, q(q+1)/2), for complex U the Hermitian ones, (m, q²); in the cone "symmetric",
    where V is U times signs, those that do not mix signs, since only they make symmetric matrices. ``sides`` is the
    derivative of B at (U, V), see `flatmin.proofs.radius.derivative`, where it is known.
    """
    pairs = _pairs(U, V, cone)
    q = U.shape[1]
    columns = np.empty((whitened.size, len(pairs)), order="F")
    if sides is None and np.isrealobj(U) and whitened.size * q * sum(whitened.shape) <= LARGEST_CORE:
        sides = whitened.products(V)
    if sides is not None and np.isrealobj(U):
        core = sides[..., : whitened.shape[0]] @ U
        rows, cols = np.array(pairs, dtype=int).reshape(-1, 2).T
        columns[:] = core[:, rows, cols] + core[:, cols, rows]
    else:
        for c, (i, j) in enumerate(pairs):
            columns[:, c] = whitened.forward_factors(U[:, [i, j]], V[:, [j, i]])
    columns /= np.array([2 if i == j else np.sqrt(2) for i, j in pairs])
    if np.isrealobj(U):
        return columns
    skew = [whitened.forward_factors(1j * U[:, [i, j]] * [1, -1], V[:, [j, i]]) for i, j in pairs if i != j]
    return np.column_stack([columns, *(column / np.sqrt(2) for column in skew)])


def _pairs(U: Array, V: Array, cone: str) -> list[tuple[int, int]]:
    """Return the positions (i, j), i ≤ j, at which a core may differ from zero."""
    q = U.shape[1]
    every = [(i, j) for i in range(q) for j in range(i, q)]
    if cone != "symmetric":
        return every
    positive = np.einsum("ij,ij->j", U, V) > 0
    return [(i, j) for i, j in every if positive[i] == positive[j]]


def uniqueness(evidence: Evidence) -> Uniqueness:
    """Decide whether ``Z = U s V*`` is the only flat minimum, given the spectrum of a nearly optimal dual matrix.

    Every flat minimum is ``U1 S V1*`` with S Hermitian positive semidefinite, U1 and V1 being the singular vectors of
    an optimal dual matrix whose singular value is one. So it is unique if ``S ↦ B(U1 S V1*)`` is injective on
    such matrices. A dual matrix with a relative gap g confines every flat minimum to a distance of
    ``√(2 g (2/δ + 2/(1 + σ))) ‖Z‖_*`` from such a matrix, with δ the margin and σ the q-th singular value (positive
    semidefinite ones: ``2 √(g/δ) ‖Z‖_*``). True is said only if margin and injectivity are clearly above rounding and
    the certified radius, which follows from them, is a small part of Z. Where the map is not injective and S stays
    semidefinite along a null direction, a second flat minimum is in hand.
    """
    whitened, Z, spectrum, gap = evidence.whitened, evidence.Z, evidence.spectrum, evidence.gap
    # A gap leaves room for components of Z outside the cores, of about its root; q may be any number.
    rank = int(np.count_nonzero(Z[1] > np.sqrt(max(abs(gap), EPS)) * evidence.norm))
    leading = spectrum.values[:rank]
    noise = max(abs(gap), float(np.max(np.abs(1 - leading), initial=0.0)), 10 * EPS * sum(whitened.shape))
    q = max(rank, int(np.count_nonzero(spectrum.values > 1 - SAFETY * noise)))
    margin = max(0.0, 1 - spectrum.below(q)) if q < min(whitened.shape) else 1.0
    if q == 0:
        return Uniqueness(True if evidence.misfit == 0 else None, 0, 1.0, margin)
    U, V = spectrum.U[:, :q], spectrum.V[:, :q]
    unseen = evidence.blind[0].shape[1], evidence.blind[1].shape[1]
    sides = derivative(whitened, U, V, evidence.model.cone, unseen)
    cores = _Cores.of(
        evidence, U, V, sides, CHEAP if sides is None and not _may_be_near(evidence, margin, q) else MOST_WORK
    )
    if cores is None:
        return Uniqueness(None, q, None, margin)
    triangle = cores.triangle
    values = np.linalg.svd(triangle, compute_uv=False)
    smallest = values[-1] if len(values) == triangle.shape[1] else 0.0
    injectivity = float(smallest / values[0]) if values[0] > 0 else 0.0
    threshold = SAFETY * EPS * np.sqrt(whitened.size)
    clear = injectivity > max(threshold, SAFETY * noise) and margin > SAFETY * noise
    if injectivity < threshold and triangle.shape[1] <= MOST_CORES:
        other = _second_solution(evidence, U, V, _null_space(triangle, threshold, _basis(U, V, evidence.model.cone)))
        if other is not None:
            return Uniqueness(False, q, injectivity, margin, other)
    stability = _stability(evidence, U, V, sides, cores, margin)
    return Uniqueness((clear and _near(evidence, stability)) or None, q, injectivity, margin, None, stability)


def _may_be_near(evidence: Evidence, margin: float, q: int) -> bool:
    """Return whether the radius could be small, were measurements to tell all cores apart."""
    if margin <= 0:
        return False
    doubt = evidence.norm * max(evidence.gap, 10 * EPS * sum(evidence.whitened.shape))
    inner, semidefinite = max(0.0, float(evidence.spectrum.values[q - 1])), evidence.model.cone == "semidefinite"
    apart = distance_to_cores(doubt, evidence.norm, margin, inner, semidefinite)
    return evidence.unwhiten * apart <= NEAR * evidence.size


def _near(evidence: Evidence, stability: Stability | None) -> bool:
    """Return whether any other flat minimum is proved to lie near this one."""
    return stability is not None and stability.radius() <= NEAR * evidence.size


def _stability(
    evidence: Evidence, U: Array, V: Array, sides: Array | None, cores: _Cores, margin: float
) -> Stability | None:
    """Return the constants of the certified radius: on the tangent space where that is injective, else on cores."""
    cone, q = evidence.model.cone, U.shape[1]
    if margin <= 0:
        return None
    left, s, right = evidence.Z
    inner = (U.conj().T @ left * s) @ (right.conj().T @ V)
    space, injectivity = "tangent", 0.0
    if sides is not None:
        injectivity = smallest_singular_value(tangent_columns(sides, U, V, cone, evidence.blind))
    if injectivity > 0:
        beyond = (left - U @ (U.conj().T @ left)) * s, right - V @ (V.conj().T @ right)
    else:
        space, injectivity = "core", cores.injectivity
        allowed = np.abs(_basis(U, V, cone)).sum(axis=0) > 0
        inner = np.where(allowed, (inner + inner.conj().T) / 2, 0)
        beyond = np.hstack([left * s, -U @ inner]), np.hstack([right, V])
    if injectivity == 0:
        return None
    rounding = 10 * EPS * sum(evidence.whitened.shape)
    return Stability(
        space=space,
        semidefinite=cone == "semidefinite",
        gap=evidence.norm * (max(evidence.gap, rounding) + 2 * evidence.spectrum.slack),
        size=evidence.norm,
        margin=margin,
        inner=max(0.0, float(evidence.spectrum.values[q - 1])),
        injectivity=injectivity,
        spread=evidence.spread,
        dual_size=float(np.linalg.norm(evidence.dual)),
        growth=evidence.growth,
        misfit=evidence.misfit,
        outside=float(np.linalg.svd(_triangle(*beyond), compute_uv=False).sum()),
        unwhiten=evidence.unwhiten,
    )


def _triangle(P: Array, Q: Array) -> Array:
    """Return a small matrix with the singular values of ``P Q*``."""
    TP, TQ = (np.asarray(np.linalg.qr(F, mode="r")) for F in (P, Q))
    return np.asarray(TP @ TQ.conj().T)


def _basis(U: Array, V: Array, cone: str) -> Array:
    """Return the orthonormal basis (n, q, q) of cores in which `core_columns` has its columns."""
    q, pairs = U.shape[1], _pairs(U, V, cone)
    off = [] if np.isrealobj(U) else [pair for pair in pairs if pair[0] != pair[1]]
    N = np.zeros((len(pairs) + len(off), q, q), dtype=U.dtype)
    for c, (i, j) in enumerate(pairs):
        N[c, i, j] = N[c, j, i] = 1 if i == j else np.sqrt(0.5)
    for c, (i, j) in enumerate(off, start=len(pairs)):
        N[c, i, j], N[c, j, i] = 1j * np.sqrt(0.5), -1j * np.sqrt(0.5)
    return N


def _null_space(triangle: Array, threshold: float, basis: Array) -> Array:
    """Return Hermitian matrices (n, q, q), orthonormal, that the core map sends to (almost) zero."""
    _, values, directions = np.linalg.svd(triangle, full_matrices=True)
    values = np.concatenate([values, np.zeros(len(directions) - len(values))])
    return np.asarray(np.tensordot(directions[values <= threshold * values[0]], basis, 1))


def _second_solution(evidence: Evidence, U: Array, V: Array, null: Array) -> tuple[Array, Array] | None:
    """Return the solution moved within the null space, if it stays as flat and measures the same to rounding.

    The most promising direction raises the eigenvalues of the core that are zero; any will do if there are none.
    """
    whitened, Z, norm = evidence.whitened, evidence.Z, evidence.norm
    core = (U.conj().T @ Z[0] * Z[1]) @ (Z[2].conj().T @ V)
    core = (core + core.conj().T) / 2
    w, Q = np.linalg.eigh(core)
    zero = Q[:, w <= 1e-9 * w[-1]]
    lift = np.einsum("nij,ij->n", null, (zero @ zero.conj().T).conj()).real
    data = whitened.forward_factors(Z[0] * Z[1], Z[2])
    for direction in (np.einsum("n,nij->ij", lift, null), null[-1]):
        scale = float(np.linalg.norm(direction, 2))
        if scale <= 1e-9:
            continue
        for sign in (1.0, -1.0):
            for step in w[-1] / scale * 0.5 ** np.arange(10):
                left = np.hstack([Z[0] * Z[1], U @ (sign * step * direction)])
                right = np.hstack([Z[2], V])
                moved = np.linalg.svd(_triangle(left, right), compute_uv=False)
                misfit = float(np.linalg.norm(whitened.forward_factors(left, right) - data))
                if moved.sum() <= norm * (1 + AS_GOOD) and misfit <= AS_GOOD * float(np.linalg.norm(data)):
                    return left, right
    return None

"""Uniqueness of a split into low rank and gross errors, and bounds on the distance of any other split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones import Rectangular
from flatmin.cones.base import MAX_TANGENT_WORK
from flatmin.linalg.factorizations import smallest_singular_value
from flatmin.linalg.forward_error import UNIT, gamma, rounded_up
from flatmin.linalg.operator_norm import TopSpectrum
from flatmin.measurements import Entries
from flatmin.proofs.cores import core_columns, nearest_core
from flatmin.proofs.radius import Stability, Uniqueness
from flatmin.proofs.robust.hidden_cells import PIECE, hidden_share, incoherence_bound, row_pieces
from flatmin.proofs.rounding.leading_space import LeadingSpace
from flatmin.proofs.tangent.tangent_map import basis_skew
from flatmin.proofs.uniqueness import NEAR

__all__ = ["Pair", "Split", "other_splits"]

Pair = tuple[Array, Array]

#: The cone of the low-rank parts, which may be any matrices.
CONE = Rectangular()

#: Singular values and entries of the dual matrix within this relative distance of their bounds count as tight; the cuts
#: are tried in this order.
CUTS = (3e-2, 1e-3, 1e-5)
#: Share of the norm of the errors that takes the place of the norm of X if X is zero.
SHARE = 1e-3
#: Random starts are used if the lower bound on 1 − ‖P_Ω P_T‖² from rows and columns is below this number.
GOOD = 0.1
#: Largest number of cells for which random starts are used.
MOST_CELLS = 6_000_000
#: Largest number of unknowns of the map on symmetric cores.
MOST_CORES = 1500
#: Largest number of entries of the matrix of the map on symmetric cores.
MOST_NUMBERS = 60_000_000
#: Share of the margin for the distance from the symmetric cores; errors in cells need the remainder
#: (docs/theory/robust_pca.md).
CORE_SHARE = 0.8
#: Relative accuracy to which another split must be as good.
AS_GOOD = 1e-9
#: Relative rounding error of the entries of maps on cells: sums of two products at most, divided by a root.
CELL = 8 * UNIT
#: Number of steps along a null direction, each half as long as the one before.
HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Split:
    """A split ``Y = X + S`` and a dual matrix W that proves it optimal, both on the observed rows and columns.

    X has the factors ``pair`` and, up to rounding, the singular triplets ``U, s, V``. The other arrays have shape (d1,
    d2). ``errors`` is S, and ``rounding`` bounds the Frobenius norm of its rounding errors. W satisfies ``‖W‖_op ≤ 1``
    and ``|W| ≤ weight``, where ``weight`` is the cost of a unit of error. S and W are zero in cells that are not
    ``seen``. The objective of the split is ``size``, and no other split has an objective below ``size − gap``.
    If other splits may have other dense noise, ``noise`` bounds the Frobenius distance between ``X + S`` and their
    sums.
    """

    X: tuple[Array, Array, Array]
    pair: Pair
    errors: Array
    seen: Array
    W: Array
    spectrum: TopSpectrum
    weight: float
    gap: float
    size: float
    rounding: float
    noise: float = 0.0

    @property
    def norm(self) -> float:
        """``‖X‖_F``, or `SHARE` times the norm of the errors if X = 0."""
        size = float(np.linalg.norm(self.X[1]))
        return size if size else SHARE * float(np.linalg.norm(self.errors))


def other_splits(split: Split, as_good: Callable[[Pair], bool], seed: int = 0) -> tuple[Uniqueness, str]:
    """Return the verdict on other splits that are as good, and the kind of its proof (docs/theory/robust_pca.md).

    Let T be the tangent space of the q leading singular vectors of W, and δ one minus the next singular value. Let F be
    the observed cells with ``|W| ≤ (1 − δ') weight``. If ``‖P_F H‖ ≥ σ ‖H‖`` for all H in T with a σ > 0, other splits
    are near. If T gives no small radius, the space of symmetric cores takes its place. The margin is the smaller of δ
    and δ', and the injectivity is σ. The kind is "proven", or "probabilistic" if σ comes from random starts and is
    wrong with probability at most `HIDDEN_FAILURE`. ``as_good`` returns whether factors (L, R) of another matrix give a
    split as good as this one.
    """
    faces = cache(lambda cut: _Face.from_split(split, cut))
    best, face, kind, radius = None, faces(CUTS[0]), "proven", np.inf
    for space, (number, cut) in product(("tangent", "core"), enumerate(CUTS)):
        if radius <= NEAR * split.norm:
            break
        following = faces(cut)
        stability, how = following.stability(split, space, (seed, number))
        if stability is not None and stability.radius() < radius:
            best, face, kind, radius = stability, following, how, stability.radius()
    unique = True if radius <= NEAR * split.norm else None
    injectivity = 0.0 if best is None else best.injectivity
    other = None if unique else _second_split(split, faces(CUTS[-1]), as_good)
    if other is not None:
        unique, best = False, None
    return Uniqueness(unique, face.q, injectivity, face.margin, other, best, best.radius() if best else None), kind


@dataclass(frozen=True, eq=False)
class _Face:
    """The leading singular vectors of W, the cells in which W is not at its bound, and the slack of both."""

    U: Array
    V: Array
    inner: float
    delta: float
    free: Array
    slack: float

    @classmethod
    def from_split(cls, split: Split, cut: float) -> _Face:
        spectrum = split.spectrum
        q = int(np.count_nonzero(spectrum.values > 1 - cut))
        delta = 1 - spectrum.below(q) if q < min(split.W.shape) else 1.0
        free, largest = np.zeros(split.W.shape, bool), 0.0
        for rows in row_pieces(*split.W.shape) if q else ():
            sizes = np.abs(split.W[rows])
            np.logical_and(split.seen[rows], sizes <= (1 - cut) * split.weight, out=free[rows])
            largest = max(largest, float(np.max(sizes, where=free[rows], initial=0.0)))
        slack = 1 - rounded_up(largest / split.weight, 8) if split.weight > 0 else 1.0
        inner = float(spectrum.values[q - 1]) if q else 1.0
        return cls(spectrum.U[:, :q], spectrum.V[:, :q], inner, max(0.0, delta), free, slack)

    @cached_property
    def space(self) -> LeadingSpace:
        return LeadingSpace(self.U, self.V)

    @property
    def q(self) -> int:
        return int(self.U.shape[1])

    @property
    def margin(self) -> float:
        return min(self.delta, self.slack)

    def stability(self, split: Split, space: str, stream: tuple[int, int]) -> tuple[Stability | None, str]:
        """Return the constants on the tangent space, or on the symmetric cores, and the kind of their proof."""
        sigma, kind = 0.0, "proven"
        if self.margin > 0 and space == "tangent":
            sigma, kind = _tangent_injectivity(self.free, self.U, self.V, stream)
        elif self.margin > 0:
            columns = _core(self.free, self.U, self.V)
            if columns is not None:
                formed = CELL * float(np.linalg.norm(columns)) + 2.01 * self.space.skew
                sigma = smallest_singular_value(columns) - formed
        return (self._constants(split, space, sigma) if sigma > 0 else None), kind

    def _constants(self, split: Split, space: str, sigma: float) -> Stability:
        if space == "core":
            outside = self.space.outside_cores(*split.pair, np.ones((self.q, self.q), bool))
        else:
            outside = self.space.outside_tangent(*split.pair)
        margin = min(self.delta, split.weight * self.slack * (1 - 4 * UNIT)) if self.free.any() else self.delta
        return Stability(
            space=space,
            gap=rounded_up(split.gap + 2 * split.spectrum.coupling * split.size),
            size=split.size,
            margin=margin if space == "tangent" else CORE_SHARE * margin,
            inner=self.inner,
            injectivity=sigma,
            gain=1.0,
            dual_size=float(np.linalg.norm(split.W)) * (1 + gamma(split.W.size + 8)),
            misfit=rounded_up(_norm_on(split.errors, self.free) + split.rounding + split.noise),
            outside=outside,
        )


def _norm_on(M: Array, cells: Array) -> float:
    """Return the Frobenius norm of a matrix on some cells."""
    parts = [np.linalg.norm(M[rows] * cells[rows]) for rows in row_pieces(*M.shape)]
    return float(np.linalg.norm(parts)) * (1 + gamma(2 * PIECE + M.size / PIECE + 8))


def _tangent_injectivity(free: Array, U: Array, V: Array, stream: tuple[int, int]) -> tuple[float, str]:
    """Return a lower bound on ``‖P_F H‖ / ‖H‖`` over the tangent space of U and V, and the kind of its proof."""
    (d1, d2), q = free.shape, U.shape[1]
    if q == 0:
        return 1.0, "proven"
    if np.count_nonzero(free) < q * (d1 + d2 - q):
        return 0.0, "proven"
    if np.count_nonzero(free) * CONE.degrees_of_freedom(free.shape, q) ** 2 <= MAX_TANGENT_WORK:
        sides = CONE.derivative(Entries(*np.nonzero(free), (d1, d2)), U, V)
        if sides is not None:
            columns = CONE.tangent_columns(sides, U, V)
            found = smallest_singular_value(columns) - CELL * float(np.linalg.norm(columns))
            return max(0.0, found) / (1 + basis_skew(U, V)), "proven"
    hidden = ~free
    left = 1 - incoherence_bound(hidden, U, V)
    if left < GOOD and free.size <= MOST_CELLS:
        likely = 1 - hidden_share(hidden, U, V, stream)
        if likely > max(left, 0.0):
            return float(np.sqrt(likely)), "probabilistic"
    return float(np.sqrt(max(left, 0.0))), "proven"


def _core(free: Array, U: Array, V: Array) -> Array | None:
    """Return the matrix of ``S ↦ P_F U S Vᵀ`` for symmetric S, or None if there are too many unknowns.

    Only some of the cells of F are used if the matrix would have more than `MOST_NUMBERS` entries.
    """
    unknowns = U.shape[1] * (U.shape[1] + 1) // 2
    rows, cols = np.nonzero(free)
    if not 0 < unknowns <= MOST_CORES:
        return None
    if not rows.size:
        return np.zeros((0, unknowns))
    every = -(-rows.size // max(1, MOST_NUMBERS // unknowns))
    return core_columns(Entries(rows[::every], cols[::every], free.shape), U, V, CONE.core_pairs(U, V))


def _second_split(split: Split, face: _Face, as_good: Callable[[Pair], bool]) -> Pair | None:
    """Return another split as good as this one, moved along a core that vanishes on F, or None."""
    columns = _core(face.free, face.U, face.V)
    if columns is None:
        return None
    U, V, (left, s, right) = face.U, face.V, split.X
    triangle = np.linalg.qr(columns, mode="r") if len(columns) > columns.shape[1] else columns
    _, values, directions = np.linalg.svd(triangle, full_matrices=True)
    null = directions[np.pad(values, (0, len(directions) - len(values))) <= AS_GOOD]
    rows, cols = np.triu_indices(U.shape[1])
    units = np.where(rows == cols, 1.0, np.sqrt(2.0))
    reach = float(np.linalg.norm(s) + np.linalg.norm(split.errors))
    own = nearest_core(split.X, U, V)[rows, cols] * units
    for direction in (null.T @ (null @ own), *null[-2:]):
        D = np.zeros((U.shape[1], U.shape[1]))
        D[rows, cols] = D[cols, rows] = direction / units
        scale = float(np.linalg.norm(D, 2))
        steps = reach / scale * 0.5 ** np.arange(HALVINGS) if scale > AS_GOOD * float(np.linalg.norm(s)) else ()
        for step in np.outer(steps, (-1.0, 1.0)).ravel():
            moved = np.hstack([left * s, U @ (step * D)]), np.hstack([right, V])
            if as_good(moved):
                return moved
    return None

"""Uniqueness of a split into low rank and gross errors, and bounds on the distance of any other split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones import Rectangular
from flatmin.cones.base import MAX_TANGENT_WORK
from flatmin.linalg.factorizations import smallest_singular_value
from flatmin.linalg.kernels.row_passes import RowPasses
from flatmin.linalg.krylov import largest_eigenvalue
from flatmin.linalg.operator_norm import TopSpectrum
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Entries
from flatmin.proofs.cores import core_columns, nearest_core, remainder
from flatmin.proofs.radius import Stability, Uniqueness
from flatmin.proofs.uniqueness import NEAR

__all__ = ["HIDDEN_FAILURE", "Pair", "Split", "hidden_share", "incoherence_bound", "other_splits"]

Pair = tuple[Array, Array]

#: The cone of the low-rank parts, which may be any matrices.
CONE = Rectangular()

#: Singular values and entries of the dual matrix within this relative distance of their bounds count as tight; the cuts
#: are tried in this order.
CUTS = (3e-2, 1e-3, 1e-5)
#: Largest number of entries of an array that are copied at once.
PIECE = 1 << 16
#: Share of the norm of the errors that takes the place of the norm of X if X is zero.
SHARE = 1e-3
#: Random starts are used if the lower bound on 1 − ‖P_Ω P_T‖² from rows and columns is below this number.
GOOD = 0.1
#: Largest probability that any of the bounds from random starts is wrong, for all cuts together.
HIDDEN_FAILURE = 2e-11
#: Number of random starts.
STARTS = 4
#: Largest number of Lanczos steps from each random start.
STEPS = 30
#: Largest number of cells for which random starts are used.
MOST_CELLS = 6_000_000
#: Key of a stream of random numbers that nothing else draws from.
STREAM = 0x68696464
#: Iterations stop once (1 − upper bound) ≥ SETTLED · (1 − Ritz value).
SETTLED = 0.7
#: Largest number of unknowns of the map on symmetric cores.
MOST_CORES = 1500
#: Largest number of entries of the matrix of the map on symmetric cores.
MOST_NUMBERS = 60_000_000
#: Share of the margin for the distance from the symmetric cores; errors in cells need the remainder
#: (docs/theory/robust_pca.md).
CORE_SHARE = 0.8
#: Relative accuracy to which another split must be as good.
AS_GOOD = 1e-9
#: Number of steps along a null direction, each half as long as the one before.
HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Split:
    """A split ``Y = X + S`` and a dual matrix W that proves it optimal, both on the observed rows and columns.

    X has the singular triplets ``U, s, V``. The other arrays have shape (d1, d2). ``errors`` is S, and W satisfies
    ``‖W‖_op ≤ 1`` and ``|W| ≤ weight``, where ``weight`` is the cost of a unit of error; both are zero in cells that
    are not ``seen``. The objective of the split is ``size``, and no other split has an objective below ``size − gap``.
    If other splits may have other dense noise, ``noise`` bounds the Frobenius distance between ``X + S`` and their
    sums.
    """

    X: tuple[Array, Array, Array]
    errors: Array
    seen: Array
    W: Array
    spectrum: TopSpectrum
    weight: float
    gap: float
    size: float
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
        for rows in _pieces(*split.W.shape) if q else ():
            sizes = np.abs(split.W[rows])
            np.logical_and(split.seen[rows], sizes <= (1 - cut) * split.weight, out=free[rows])
            largest = max(largest, float(np.max(sizes, where=free[rows], initial=0.0)))
        slack = 1 - largest / split.weight if split.weight > 0 else 1.0
        inner = float(spectrum.values[q - 1]) if q else 1.0
        return cls(spectrum.U[:, :q], spectrum.V[:, :q], inner, max(0.0, delta), free, slack)

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
            sigma = 0.0 if columns is None else smallest_singular_value(columns)
        return (self._constants(split, space, sigma) if sigma > 0 else None), kind

    def _constants(self, split: Split, space: str, sigma: float) -> Stability:
        core = nearest_core(split.X, self.U, self.V) if space == "core" else None
        margin = min(self.delta, split.weight * self.slack) if self.free.any() else self.delta
        return Stability(
            space=space,
            gap=split.gap + 2 * split.spectrum.slack * split.size,
            size=split.size,
            margin=margin if space == "tangent" else CORE_SHARE * margin,
            inner=max(self.inner, EPS),
            injectivity=sigma,
            gain=1.0,
            dual_size=float(np.linalg.norm(split.W)),
            misfit=_norm_on(split.errors, self.free) + split.noise,
            outside=float(np.linalg.norm(remainder(split.X, self.U, self.V, core))),
        )


def _norm_on(M: Array, cells: Array) -> float:
    """Return the Frobenius norm of a matrix on some cells."""
    parts = [np.linalg.norm(M[rows] * cells[rows]) for rows in _pieces(*M.shape)]
    return float(np.linalg.norm(parts))


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
            return smallest_singular_value(CONE.tangent_columns(sides, U, V)), "proven"
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


def incoherence_bound(hidden: Array, U: Array, V: Array) -> float:
    """Return a bound on ``‖P_Ω P_T‖²``, from the columns and the rows of Ω one by one (docs/theory/robust_pca.md).

    ``hidden`` (d1, d2) marks the cells of Ω, and T is the space ``{U Eᵀ + F Vᵀ}`` of orthonormal U (d1, q) and V (d2,
    q).
    """
    q = U.shape[1]
    if q * (q + 1) // 2 * sum(hidden.shape) > MOST_NUMBERS:
        return np.inf
    rows, cols = np.triu_indices(q)
    total = 0.0
    passes = RowPasses(hidden)
    for products, F, count in ((passes.adjoint_products, U, len(V)), (passes.products, V, len(U))):
        sums = np.empty((count, len(rows)))
        for some in _pieces(len(rows), len(F)):
            sums[:, some] = products(hidden, F[:, rows[some]] * F[:, cols[some]])
        largest = 0.0
        for some in _pieces(count, q * q):
            grams = np.zeros((some.stop - some.start, q, q))
            grams[:, rows, cols] = grams[:, cols, rows] = sums[some]
            largest = max(largest, float(np.linalg.eigvalsh(grams).max()))
        total += largest
    return total


def _pieces(count: int, width: int) -> Iterator[slice]:
    """Give ranges of rows with at most `PIECE` entries."""
    step = max(1, PIECE // max(1, width))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def hidden_share(hidden: Array, U: Array, V: Array, stream: tuple[int, int] = (0, 0)) -> float:
    """Return a bound on ``‖P_Ω P_T‖²``, for Ω and T as in `incoherence_bound`, from random starts for ``P_T P_Ω P_T``.

    The ``stream`` is a pair of a seed and a number k. The bound is wrong with probability at most
    ``HIDDEN_FAILURE / 2^(k+1)``. Nothing else draws from this stream of random numbers, so that Ω and T do not depend
    on the starts.
    """
    (d1, d2), q = hidden.shape, U.shape[1]
    passes = RowPasses(hidden)

    def pack(E: Array, F: Array) -> Array:
        return np.concatenate([E.ravel(), (F - U @ (U.T @ F)).ravel()])

    def seen_through(x: Array) -> Array:
        E, F = x[: d2 * q].reshape(d2, q), x[d2 * q :].reshape(d1, q)
        GV, GtU = passes.masked(np.hstack([U, F]), np.hstack([E, V]), hidden, U, V)
        return pack(GtU, GV)

    def apply(X: Array) -> Array:
        return np.stack([seen_through(x) for x in X.T], axis=1)

    found = largest_eigenvalue(
        apply,
        np.stack([pack(*start) for start in _starts(hidden.shape, q, stream)], axis=1),
        dimension=q * (d1 + d2 - q),
        failure=HIDDEN_FAILURE / 2 ** (stream[1] + 1),
        rounding=_rounding(hidden.shape, q),
        steps=STEPS,
        enough=lambda reached, upper: 1 - upper >= SETTLED * (1 - reached),
    )
    return float(found.upper) + 1e3 * EPS


def _starts(shape: tuple[int, int], q: int, stream: tuple[int, int]) -> list[Pair]:
    """Return standard normal (E, F) from a separate stream."""
    rng = np.random.default_rng(np.random.SeedSequence(stream[0], spawn_key=(STREAM, stream[1])))
    return [(rng.standard_normal((shape[1], q)), rng.standard_normal((shape[0], q))) for _ in range(STARTS)]


def _rounding(shape: tuple[int, int], q: int) -> float:
    """Return a bound on the rounding error of ``P_T P_Ω P_T H``, ‖H‖ = 1, from the lengths of its sums of products."""
    d1, d2 = shape
    return EPS / 2 * math.sqrt(q) * (2 * d1 + d2 + 5 * q + 4)


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

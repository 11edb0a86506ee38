"""Uniqueness of a flat minimum: proofs, counterexamples, and bounds on the distance of any other flat minimum."""

from dataclasses import replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, gamma, inner_product, rounded_up, spread
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Entries
from flatmin.proofs.cores import MAX_CORES, CoreMap, core_basis, core_columns_error, nearest_core, triangle_of_product
from flatmin.proofs.radius import Stability, Uniqueness, distance_to_cores
from flatmin.proofs.rounding.leading_space import LeadingSpace
from flatmin.proofs.rounding.stored_triplets import distance_from_triplets, turned
from flatmin.proofs.tangent.inexact_dual import nearest_others
from flatmin.proofs.tangent.tangent_map import column_error, reach, tangent_map
from flatmin.proofs.uniqueness_conditions import UniquenessConditions
from flatmin.proofs.whitening import WhitenedSolution

__all__ = ["NEAR", "SAFETY", "uniqueness"]

#: Factor by which margin and injectivity must exceed the numerical noise.
SAFETY = 1e3
#: A flat minimum X is unique if all others are proved to lie within this distance, relative to ``‖X‖_F``.
NEAR = 1e-2
#: Bounds from cores are not computed if the lemma of the inexact dual gives a small radius and keeps this share of the
#: margin of the dual matrix.
WELL_SERVED = 0.5
#: Singular values of the dual matrix above this number may be counted as one.
NEARLY_ONE = 1 - 1e-4
#: A second solution must be as flat and have the same measurements, both to this relative accuracy.
AS_GOOD = 1e-9
#: Largest number of multiplications for the map on cores.
MAX_WORK = 5e9
#: Largest number of multiplications for the map on cores if the gap is so large that uniqueness cannot be proved.
MAX_HOPELESS_WORK = 1e8


def uniqueness(conditions: UniquenessConditions) -> Uniqueness:
    """Decide whether ``Z = U s V*`` is the only flat minimum, given the spectrum of a nearly optimal dual matrix.

    If B is injective on the tangent space at Z, the lemma of the inexact dual (`flatmin.proofs.tangent.inexact_dual`)
    can decide. Otherwise cores decide. Let U1 and V1 be the q left and right singular vectors of an optimal dual matrix
    that belong to the singular value one. Then every flat minimum is ``U1 S V1*`` with a Hermitian positive
    semidefinite core S, and Z is unique if ``S ↦ B(U1 S V1*)`` is injective. If the dual vector has a duality gap,
    other flat minima may lie at a distance from these matrices (docs/theory/uniqueness.md). The verdict is True only if
    the certified radius is a small part of Z, and, on cores, margin and injectivity are clearly above rounding. If the
    map on cores is not injective and S stays semidefinite along a null direction, another flat minimum is returned.
    Singular values slightly below one may be counted among the q, which makes the margin to the next value larger.
    """
    point, spectrum, gap = conditions.point, conditions.spectrum, conditions.gap
    # A gap allows components of Z outside the cores, of about its root; q may be any number.
    rank = int(np.count_nonzero(point.Z[1] > np.sqrt(max(abs(gap), EPS)) * point.norm))
    leading = spectrum.values[:rank]
    noise = max(abs(gap), float(np.max(np.abs(1 - leading), initial=0.0)), conditions.resolution)
    q = max(rank, int(np.count_nonzero(spectrum.values > 1 - SAFETY * noise)))
    if q == 0:
        return Uniqueness(True if conditions.misfit == 0 else None, 0, 1.0, conditions.margin(0))
    near = nearest_others(conditions, rank)
    found = _with_cores(conditions, q, noise, near)
    wider = max(q, int(np.count_nonzero(spectrum.values > NEARLY_ONE)))
    if wider == q or found.unique is False or found.radius is None:
        return found
    other = _with_cores(conditions, wider, noise, near)
    return other if other.radius is not None and other.radius < found.radius else found


def _with_cores(
    conditions: UniquenessConditions, q: int, noise: float, near: tuple[Stability, float, Array | None] | None
) -> Uniqueness:
    """Return the verdict from cores of the q leading singular vectors, and from the bounds ``near`` of the lemma."""
    point, spectrum, margin = conditions.point, conditions.spectrum, conditions.margin(q)
    U, V, whitened, cone = spectrum.U[:, :q], spectrum.V[:, :q], point.whitened, point.cone
    served = near is not None and near[0].margin >= WELL_SERVED * margin and near[1] <= NEAR * point.size
    sides = near[2] if near is not None and served else None
    if sides is not None and sides.shape[1] == q:
        U, V = point.Z[0][:, :q], point.Z[2][:, :q]  # where the lemma already has the derivative
    else:
        sides = None
    if not served and (cone.is_hermitian or not isinstance(whitened, Entries)):
        sides = cone.derivative(whitened, U, V, (point.blind[0].shape[1], point.blind[1].shape[1]))
    known = near is not None or sides is not None or _may_be_near(conditions, margin, q)
    work = MAX_WORK if known else MAX_HOPELESS_WORK
    cores = CoreMap.from_map(whitened, U, V, cone.core_pairs(U, V), point.sizes, sides, work)
    injectivity = None if cores is None else cores.ratio
    threshold = SAFETY * EPS * np.sqrt(whitened.size)
    if cores is not None and injectivity < threshold and cores.triangle.shape[1] <= MAX_CORES:
        basis = core_basis(q, cone.core_pairs(U, V), U.dtype)
        other = _second_solution(point, U, V, _null_space(cores.triangle, threshold, basis))
        if other is not None:
            return Uniqueness(False, q, injectivity, margin, other)
    stability, radius = near[:2] if near else (None, np.inf)
    unique = radius <= NEAR * point.size
    if not served:
        from_dual = _from_dual_matrix(conditions, U, V, sides, cores, margin)
        if from_dual is not None and from_dual[1] < radius:
            stability, radius = from_dual
            clear = margin > SAFETY * noise and (injectivity or 0.0) > max(threshold, SAFETY * noise)
            unique = unique or (clear and radius <= NEAR * point.size)
    return Uniqueness(unique or None, q, injectivity, margin, None, stability, None if stability is None else radius)


def _may_be_near(conditions: UniquenessConditions, margin: float, q: int) -> bool:
    """Return whether the radius could be small enough for uniqueness if the map on cores were an isometry."""
    if margin <= 0:
        return False
    point = conditions.point
    defect = point.norm * max(conditions.gap, conditions.resolution)
    inner = max(0.0, float(conditions.spectrum.values[q - 1]))
    apart = distance_to_cores(defect, point.norm, margin, inner, point.cone.is_semidefinite)
    return point.unwhiten * apart <= NEAR * point.size


def _from_dual_matrix(
    conditions: UniquenessConditions,
    U: Array,
    V: Array,
    sides: Array | None,
    cores: CoreMap | None,
    margin: float,
) -> tuple[Stability, float] | None:
    """Return the constants for matrices that fit the data, and the radius of flat minima, from U (d1, q) and V (d2, q).

    U and V are the leading singular vectors of the dual matrix. The result is None unless B is injective on their
    tangent space or on their cores.
    """
    if margin <= 0:
        return None
    point, cone, q = conditions.point, conditions.point.cone, U.shape[1]
    space, tangent = "tangent", tangent_map(point, U, V, sides)
    injectivity = 0.0 if tangent is None else tangent.injectivity
    leading, (Z1, s, Z2) = LeadingSpace(U, V, turned(point.metric)), point.Z
    if injectivity == 0 and cores is not None:
        space, lost = "core", _core_error(point, U, V) + 2.01 * leading.skew * float(np.sqrt(q)) * point.gain
        injectivity = max(0.0, cores.injectivity - lost)
    if injectivity == 0:
        return None
    if space == "core":
        allowed = np.abs(core_basis(q, cone.core_pairs(U, V), U.dtype)).sum(axis=0) > 0
        outside = leading.outside_cores(Z1 * s, Z2, allowed) + 2 * distance_from_triplets(point, len(s))
    else:
        outside = leading.outside_tangent(Z1 * s, Z2) + distance_from_triplets(point, len(s))
    hidden = 2 * conditions.spectrum.coupling * point.norm
    stability = Stability(
        space=space,
        semidefinite=cone.is_semidefinite,
        gap=rounded_up(point.norm * max(0.0, conditions.gap) + hidden),
        size=point.norm,
        margin=margin,
        inner=max(0.0, float(conditions.spectrum.values[q - 1])),
        injectivity=injectivity,
        gain=point.gain,
        dual_size=float(np.linalg.norm(conditions.dual)) * (1 + gamma(len(conditions.dual) + 8)),
        growth=conditions.growth,
        misfit=conditions.misfit,
        outside=rounded_up(outside),
        unwhiten=point.unwhiten,
        line=space == "core" and q == 1 and cone.is_semidefinite and conditions.growth > 0,
    )
    return _fitting(conditions, stability, hidden), stability.radius()


def _core_error(point: WhitenedSolution, U: Array, V: Array) -> float:
    """Return a bound on the rounding errors of the columns that belong to cores.

    The bound of the products with complex factors is much smaller than that of products with matrices. Diagonal metrics
    add a few relative errors of the sensing matrices.
    """
    error = column_error(point)
    if np.isrealobj(U) or not all(D.is_diagonal for D in point.metric):
        return error
    pairs = point.cone.core_pairs(U, V)
    return min(error, core_columns_error(point.whitened, U, V, pairs) + gamma(20) * reach(point))


def _fitting(conditions: UniquenessConditions, found: Stability, hidden: float) -> Stability:
    """Return the constants for matrices that fit the data, from those for minimisers of a penalised problem."""
    if conditions.penalty == 0:
        return found
    point, data, dual = conditions.point, conditions.point.problem.data, conditions.dual
    pairing, error = inner_product(data, dual)
    error += 2 * UNIT * spread(data * dual) + 8 * UNIT * point.norm  # of the scaled dual vector, and of this sum
    return replace(found, gap=point.norm - pairing + error + hidden, misfit=point.misfit)


def _null_space(triangle: Array, threshold: float, basis: Array) -> Array:
    """Return Hermitian matrices (n, q, q), orthonormal, that the core map sends to (almost) zero."""
    _, values, directions = np.linalg.svd(triangle, full_matrices=True)
    values = np.concatenate([values, np.zeros(len(directions) - len(values))])
    return np.asarray(np.tensordot(directions[values <= threshold * values[0]], basis, 1))


def _second_solution(point: WhitenedSolution, U: Array, V: Array, null: Array) -> tuple[Array, Array] | None:
    """Return the solution moved along the null space, if it stays as flat and has the same measurements to rounding."""
    whitened, Z, norm = point.whitened, point.Z, point.norm
    w, Q = np.linalg.eigh(nearest_core(Z, U, V))
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
                moved = np.linalg.svd(triangle_of_product(left, right), compute_uv=False)
                misfit = float(np.linalg.norm(whitened.forward_factors(left, right) - data))
                if moved.sum() <= norm * (1 + AS_GOOD) and misfit <= AS_GOOD * float(np.linalg.norm(data)):
                    return left, right
    return None

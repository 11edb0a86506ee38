"""Uniqueness of the minimiser of ``Σ |z_j|^p`` over linear equations, and the distance of other minimisers."""

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import EPS
from flatmin.proofs.depth.power_bounds import least_change, penalised_bound
from flatmin.proofs.depth.power_minimum import minimise_power_norm
from flatmin.proofs.radius import Stability, Uniqueness
from flatmin.proofs.uniqueness import NEAR, SAFETY

__all__ = ["nearby_minimisers", "nearby_penalised"]

#: The equations are solved to this relative accuracy before the distance of other minimisers is bounded.
FITTED = 1e-12
#: Smallest relative distance at which a second minimiser counts as different from the first.
APART = 1e-3
#: Coordinates below this share of the largest count as zero, on the boundary of their orthant.
INTERIOR = 1e-6
#: Largest number of rounds in which the bound on the distance and bounds on single coordinates sharpen each other.
SHARPENINGS = 60


def nearby_minimisers(B: Array, b: Array, p: float, z: Array, y: Array, units: Array) -> Uniqueness:
    """Bound the distance of all minimisers of ``Σ |z_j|^p`` over ``B z = b`` from z, measured in ``units · z``.

    z must nearly satisfy the equations and nearly minimise the sum. Any dual vector y is allowed, but for p = 1 it must
    have ``‖Bᵀy‖_∞ ≤ 1``. The bound is smaller if y is nearer to optimal. Coordinates with ``units_j = 0`` are ignored.
    """
    if not z.any():
        return Uniqueness(True, 0, 1.0, 1.0, radius=0.0)
    sizes = np.linalg.norm(B, axis=1)
    sizes[sizes == 0] = 1.0
    rows, data, y = B / sizes[:, None], b / sizes, sizes * y
    exact = z + least_change(rows, data - rows @ z, np.abs(z) ** (2 - p))
    misfit = float(np.linalg.norm(data - rows @ exact))
    fitted = misfit <= FITTED * float(np.linalg.norm(data))
    misfit += (len(z) + 6) * EPS * float(np.linalg.norm(np.abs(rows) @ np.abs(exact) + np.abs(data)))
    correction = float(np.linalg.norm(units * (exact - z)))
    size = float(np.linalg.norm(units * z))
    if p > 1:
        radius = correction + _strict_radius(rows, data, p, exact, y, units, misfit)
        return _strictly(radius if fitted else None, size)
    return _sparse(rows, data, exact, y, units, sizes, correction if fitted else np.inf, size, misfit=misfit)


def nearby_penalised(B: Array, b: Array, p: float, noise: float, z: Array, y: Array, units: Array) -> Uniqueness:
    """Bound the distance of all minimisers of ``Σ |z_j|^p + ‖B z − b‖² / 2μ`` from z, given a multiplier y.

    Here μ is ``noise``; see docs/theory/depth.md.
    """
    s, residual = B.T @ y, b - B @ z
    value = float(np.sum(np.abs(z) ** p)) + float(residual @ residual) / (2 * noise)
    gap = max(value - penalised_bound(B, b, y, p, noise), len(z) * EPS * value)
    off = float(np.linalg.norm(residual - noise * y)) + float(np.sqrt(2 * noise * gap))
    size = float(np.linalg.norm(units * z))
    if p > 1:
        radius = _curved_radius(p, value, gap, z, s, units)
        return _strictly(radius, size)
    if not z.any():
        slack = float(np.min(1 - np.abs(s[units > 0]), initial=1.0))
        sure = slack > SAFETY * np.sqrt(EPS)
        if not sure:
            return Uniqueness(None, 0, 1.0, 1.0)
        return Uniqueness(True, 0, 1.0, slack, radius=float(np.max(units)) * gap / slack)
    sizes = np.linalg.norm(B, axis=1)
    sizes[sizes == 0] = 1.0
    found = _sparse(B / sizes[:, None], (b - residual) / sizes, z, sizes * y, units, sizes, 0.0, size, gap)
    if found.stability is None:
        return found
    radius = replace(found.stability, misfit=found.stability.misfit + off).radius()
    fitting = replace(
        found.stability,
        gap=found.stability.gap - gap + float(np.abs(z).sum()) - float(b @ y),
        misfit=found.stability.misfit + float(np.linalg.norm(residual)),
    )
    return replace(found, unique=True if radius <= NEAR * size else None, radius=radius, stability=fitting)


def _strictly(radius: float | None, size: float) -> Uniqueness:
    """Return the verdict for p > 1, where the minimiser is unique and only its distance is in question."""
    return Uniqueness(True if radius is not None and radius <= NEAR * size else None, 0, 1.0, 1.0, radius=radius)


def _curved_radius(p: float, value: float, gap: float, z: Array, s: Array, units: Array) -> float:
    """Return the penalised bound for p > 1 around ``z*_j = sign(s_j) (|s_j| / p)^(q−1)`` (docs/theory/depth.md)."""
    centre = np.sign(s) * (np.abs(s) / p) ** (1 / (p - 1))
    largest, radius = np.maximum(np.abs(centre), value ** (1 / p)), np.inf
    for _ in range(SHARPENINGS):
        reach = np.sqrt(2 * gap * largest ** (2 - p) / (p * (p - 1)))
        sharper = float(np.max(units * reach, initial=0.0))
        if not sharper < 0.99 * radius:
            break
        radius, largest = sharper, np.minimum(largest, np.abs(centre) + reach)
    return float(radius + np.linalg.norm(units * (z - centre)))


def _strict_radius(B: Array, b: Array, p: float, z: Array, y: Array, units: Array, misfit: float) -> float:
    """Return the bound for p > 1, from the residuals of optimality and of the equations (docs/theory/depth.md)."""
    value, product = float(np.sum(np.abs(z) ** p)), float(b @ y)
    if product <= 0:
        return float("inf")
    slope, scale = p * np.abs(z) ** (p - 1), p * value / product
    r = np.abs(np.sign(z) * slope - scale * (B.T @ y))
    r += (len(b) + 2) * EPS * scale * (np.abs(B).T @ np.abs(y)) + 8 * EPS * slope
    if misfit == 0:
        return _sharpened(p, r, z, units, value, 0.0)
    power, found = np.abs(z) ** (2 - p), [_from_equations(B, units, misfit)]
    for weights in (power + 1e-12 * np.max(power), np.ones(len(z))):
        least = _least_value(B * np.sqrt(weights))
        if least == 0:
            continue
        size = misfit / least
        growth = _growth(p, z, weights, size)
        excess = float(np.sqrt(slope**2 @ weights)) * size + growth
        lost = float(np.sqrt(r**2 @ weights)) * size + growth
        found.append(_sharpened(p, r, z, units, value + excess, lost))
    return min(found)


def _sharpened(p: float, r: Array, z: Array, units: Array, value: float, lost: float) -> float:
    """Return the bound for minimisers with at most this value; ``lost`` is the allowance for the misfit."""
    largest = np.full(len(z), value ** (1 / p))
    radius = np.inf
    for _ in range(SHARPENINGS):
        softness = largest ** (2 - p) / (p * (p - 1))
        slope = float(np.sqrt(np.sum(r**2 * softness)))
        bound = slope + float(np.sqrt(slope**2 + 2 * lost))
        sharper = bound * float(np.max(units * np.sqrt(softness)))
        if not sharper < 0.99 * radius:
            break
        radius = sharper
        largest = np.minimum(largest, np.abs(z) + bound * np.sqrt(softness))
    return float(radius)


def _growth(p: float, z: Array, weights: Array, size: float) -> float:
    """Bound how much ``Σ |z_j + e_j|^p`` exceeds its linear part over all e with ``Σ e_j²/weights_j ≤ size²``."""
    largest, lengths = np.sqrt(weights) * size, np.abs(z)
    near = 2 * largest <= lengths
    curved = p * (p - 1) / 2 * (lengths[near] - largest[near]) ** (p - 2) * weights[near]
    return float(np.max(curved, initial=0.0) * size**2 + 2 ** (2 - p) * np.sum(largest[~near] ** p))


def _least_value(B: Array) -> float:
    """Return the smallest nonzero singular value of a matrix, less its rounding error, or 0.0 if there is none."""
    values, rounding = np.linalg.svd(B, compute_uv=False), 10 * EPS * sum(B.shape)
    inside = values[values > rounding * values[0]]
    return float(inside[-1] - rounding * values[0]) if len(inside) else 0.0


def _from_equations(B: Array, units: Array, misfit: float) -> float:
    """Return the bound if the equations alone determine z, else infinity."""
    (m, n), values = B.shape, np.linalg.svd(B[:, units > 0], compute_uv=False)
    least = float(values[-1] - 10 * EPS * (m + n) * values[0]) if m >= np.count_nonzero(units) else 0.0
    return misfit / least * float(np.max(units)) if least > 0 else np.inf


def _sparse(
    B: Array,
    b: Array,
    z: Array,
    y: Array,
    units: Array,
    sizes: Array,
    correction: float,
    size: float,
    gap: float = 0.0,
    misfit: float = 0.0,
) -> Uniqueness:
    """Return the verdict for p = 1, from the slacks of the dual constraints (docs/theory/depth.md)."""
    n, norm = len(z), float(np.abs(z).sum())
    slack, seen = 1 - np.abs(B.T @ y), units > 0
    defect = max(norm - float(b @ y), n * EPS * norm, gap)
    support = np.abs(z) > defect
    noise = max(defect / norm, float(np.max(np.abs(slack[support]), initial=0.0)), 10 * EPS * n)
    tight = seen & (slack <= SAFETY * noise)
    loose = seen & ~tight
    margin = float(np.min(slack[loose], initial=1.0))
    lengths = np.linalg.norm(B, axis=0)
    columns = B[:, tight] / lengths[tight]
    q = columns.shape[1]
    values = np.linalg.svd(columns, compute_uv=False)
    injectivity = float(values[-1] / values[0]) if 0 < q <= len(B) else float(q == 0)
    threshold = SAFETY * EPS * np.sqrt(len(B))
    if injectivity > threshold:
        apart = _Apart(
            far=float(np.max(units[loose] / slack[loose], initial=0.0)),
            push=float(np.max(lengths[loose] / slack[loose], initial=0.0)),
            pull=float(np.max(units[tight] / lengths[tight])) / ((1 - threshold) * float(values[-1])),
        )
        beyond = float(slack[loose] @ np.abs(z[loose]))
        stability = apart.stability(defect, norm, beyond, correction, y / sizes, float(sizes.min()), misfit)
        radius = stability.radius()
        if not np.isfinite(radius):
            return Uniqueness(None, q, injectivity, margin)
        return Uniqueness(True if radius <= NEAR * size else None, q, injectivity, margin, None, stability, radius)
    other = _another(B, b, z, tight, columns, lengths)
    alternative = None if other is None else (other[:, None], np.ones((1, 1)))
    return Uniqueness(None if other is None else False, q, injectivity, margin, alternative)


@dataclass(frozen=True)
class _Apart:
    """Distances that follow from a bound ε on ``Σ δ_j |h_j|`` over the loose coordinates of a difference h.

    Coordinate j is loose if its slack δ_j is clearly positive, and tight otherwise. The loose part of h has length at
    most ``far ε`` (in units) and measurements of length at most ``push ε``. If the measurements of the tight part have
    length t, the tight part has length at most ``pull t`` (in units).
    """

    far: float
    push: float
    pull: float

    def stability(
        self, defect: float, norm: float, beyond: float, correction: float, dual: Array, smallest: float, misfit: float
    ) -> Stability:
        """Return the constants of the bound on the distance; ``smallest`` is the length of the shortest row of B.

        ``misfit`` is the misfit of the equations after every row is divided by its length.
        """
        far, bound = (self.far, 1.0) if self.far > 0 else (1.0, 0.0)
        pull = self.pull / smallest
        return Stability(
            space="tangent",
            gap=bound * defect,
            size=bound * norm,
            injectivity=far / pull,
            gain=self.push * smallest,
            dual_size=bound * float(np.linalg.norm(dual)),
            misfit=correction / pull + misfit * smallest,
            outside=beyond + correction / far,
            unwhiten=far,
        )


def _another(B: Array, b: Array, z: Array, tight: Array, columns: Array, lengths: Array) -> Array | None:
    """Return another minimiser: the end of a null direction, or a central one if z is on the boundary of their set."""
    sizes = np.abs(z[tight])
    if np.min(sizes) <= INTERIOR * np.max(sizes):
        centre = np.zeros_like(z)
        centre[tight] = minimise_power_norm(B[:, tight], b, 1.0).z
        return centre if np.linalg.norm(centre - z) > APART * np.linalg.norm(z) else None
    direction = np.zeros_like(z)
    direction[tight] = np.linalg.svd(columns, full_matrices=True)[2][-1] / lengths[tight]
    shrinking = direction * z < 0
    if not shrinking.any():
        return None
    return np.asarray(z + float(np.min(-z[shrinking] / direction[shrinking])) * direction)

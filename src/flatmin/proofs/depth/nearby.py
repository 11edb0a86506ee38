"""Uniqueness of the minimiser of ``Σ |z_j|^p`` over linear equations, and the distance of other minimisers."""

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.decompositions import singular_values
from flatmin.linalg.forward_error import POWER_ERROR, UNIT, gamma, inner_product, power, rounded_up
from flatmin.linalg.subspaces import EPS
from flatmin.proofs.depth.power_bounds import least_change
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
    misfit += 2 * gamma(len(z) + 6) * float(np.linalg.norm(np.abs(rows) @ np.abs(exact) + np.abs(data)))
    correction = float(np.linalg.norm(units * (exact - z))) * (1 + gamma(len(z) + 8))
    size = float(np.linalg.norm(units * z))
    if p > 1:
        radius = correction + _strict_radius(rows, data, p, exact, y, units, misfit)
        return _strictly(radius if fitted else None, size)
    norm = max(float(np.abs(v).sum()) for v in (z, exact)) * (1 + _rounding(rows))
    correction = correction if fitted else np.inf
    return _sparse(rows, data, exact, y, units, sizes, correction, size, norm, misfit=misfit)


def nearby_penalised(B: Array, b: Array, p: float, noise: float, z: Array, y: Array, units: Array) -> Uniqueness:
    """Bound the distance of all minimisers of ``Σ |z_j|^p + ‖B z − b‖² / 2μ`` from z, given a multiplier y.

    Here μ is ``noise``, and ``|Bᵀy| ≤ 1`` for p = 1; see docs/theory/depth.md.
    """
    residual, steps = b - B @ z, _rounding(B)
    error = 2 * gamma(len(z) + 6) * (np.abs(B) @ np.abs(z) + np.abs(b))
    unbalanced = float(np.linalg.norm(residual - noise * y))
    unbalanced += float(np.linalg.norm(error + 4 * UNIT * np.abs(noise * y)))
    gap = (float(_defects(B, p, z, y).sum()) + unbalanced**2 / (2 * noise)) * (1 + gamma(len(z) + len(b) + 40))
    off = (unbalanced + float(np.sqrt(2 * noise * gap))) * (1 + gamma(len(b) + 8))
    norm = float(np.abs(z).sum()) * (1 + steps)
    left = float(np.linalg.norm(np.abs(residual) + error)) * (1 + gamma(len(b) + 8))
    size = float(np.linalg.norm(units * z))
    if p > 1:
        value = float(np.sum(power(np.abs(z), p))) * (1 + steps) + left**2 / (2 * noise) * (1 + 8 * UNIT)
        radius = _curved_radius(B, y, p, value, gap, z, units)
        return _strictly(radius, size)
    if not z.any():
        slack = float(np.min(_slack(B, y)[units > 0], initial=1.0))
        sure = slack > SAFETY * np.sqrt(EPS)
        if not sure:
            return Uniqueness(None, 0, 1.0, 1.0)
        return Uniqueness(True, 0, 1.0, slack, radius=rounded_up(float(np.max(units)) * gap / slack))
    sizes = np.linalg.norm(B, axis=1)
    sizes[sizes == 0] = 1.0
    found = _sparse(B / sizes[:, None], (b - residual) / sizes, z, sizes * y, units, sizes, 0.0, size, norm, gap)
    if found.stability is None:
        return found
    radius = replace(found.stability, misfit=found.stability.misfit + off).radius()
    pairing, unsure = inner_product(b, y)
    fitting = replace(
        found.stability,
        gap=norm - pairing + unsure + 8 * UNIT * (norm + abs(pairing)) if found.stability.gap else 0.0,
        misfit=found.stability.misfit + left,
    )
    return replace(found, unique=True if radius <= NEAR * size else None, radius=radius, stability=fitting)


def _strictly(radius: float | None, size: float) -> Uniqueness:
    """Return the verdict for p > 1, where the minimiser is unique and only its distance is in question."""
    return Uniqueness(True if radius is not None and radius <= NEAR * size else None, 0, 1.0, 1.0, radius=radius)


def _rounding(B: Array) -> float:
    """Return a bound on relative rounding errors of weights, units, entries of B and sums of positive terms."""
    return gamma(2 * sum(B.shape) + 60)


def _defects(B: Array, p: float, z: Array, y: Array) -> Array:
    """Return upper bounds on ``|z_j|^p − s_j z_j + (p − 1) (|s_j| / p)^q`` for s = Bᵀy; for p = 1 without the last.

    These terms are not negative, and cancel for an optimal y.
    """
    s, steps = B.T @ y, gamma(2 * len(B) + 40)
    off = steps * (np.abs(B).T @ np.abs(y))
    powers = power(np.abs(z), p)
    found = powers - s * z
    rounding = (steps + 2 * POWER_ERROR) * powers + 2 * UNIT * np.abs(s * z) + off * np.abs(z)
    if p > 1:
        slope = (np.abs(s) + off) / p
        conjugate = (p - 1) * power(slope, p / (p - 1))
        found = found + conjugate
        rounding += (steps + 2 * POWER_ERROR * p / (p - 1)) * conjugate
    return np.asarray(np.maximum(found, 0) + rounding)


def _slack(B: Array, y: Array) -> Array:
    """Return lower bounds on ``1 − |Bᵀy|``, relative to the exact weights."""
    steps = gamma(2 * len(B) + 40)
    return np.asarray(1 - np.abs(B.T @ y) - steps * (np.abs(B).T @ np.abs(y)) - steps)


def _curved_radius(B: Array, y: Array, p: float, value: float, gap: float, z: Array, units: Array) -> float:
    """Return the bound for p > 1 around the point ``z*_j = sign(s_j) (|s_j| / p)^(q−1)`` (docs/theory/depth.md)."""
    s = B.T @ y
    off = gamma(2 * len(B) + 40) * (np.abs(B).T @ np.abs(y))
    low, centre, high = (power(np.maximum(np.abs(s) + side * off, 0) / p, 1 / (p - 1)) for side in (-1.0, 0.0, 1.0))
    apart = (high - low) + 4 * POWER_ERROR * high
    centre = np.sign(s) * centre
    largest, radius = np.maximum(np.abs(centre) + apart, power(value, 1 / p) * (1 + 2 * POWER_ERROR)), np.inf
    for _ in range(SHARPENINGS):
        reach = np.sqrt(2 * gap * power(largest, 2 - p) / (p * (p - 1))) * (1 + 2 * POWER_ERROR)
        sharper = float(np.max(units * reach, initial=0.0))
        if not sharper < 0.99 * radius:
            break
        radius, largest = sharper, np.minimum(largest, np.abs(centre) + apart + reach)
    lengths = np.linalg.norm(units * (np.abs(z - centre) + apart))
    return rounded_up(float(radius + lengths) * (1 + gamma(2 * len(z) + 60)))


def _strict_radius(B: Array, b: Array, p: float, z: Array, y: Array, units: Array, misfit: float) -> float:
    """Return the bound for p > 1, from the residuals of optimality and of the equations (docs/theory/depth.md)."""
    value, product = float(np.sum(power(np.abs(z), p))) * (1 + gamma(len(z) + 40)), float(b @ y)
    if product <= 0:
        return float("inf")
    slope, scale = p * power(np.abs(z), p - 1), p * value / product
    r = np.abs(np.sign(z) * slope - scale * (B.T @ y))
    r += 2 * gamma(len(b) + 2) * scale * (np.abs(B).T @ np.abs(y))
    r += (2 * gamma(len(b) + 4) + 2 * POWER_ERROR) * slope
    if misfit == 0:
        return _sharpened(p, r, z, units, value, 0.0)
    curved, found = power(np.abs(z), 2 - p), [_from_equations(B, units, misfit)]
    for weights in (curved + 1e-12 * np.max(curved), np.ones(len(z))):
        least = _least_value(B * np.sqrt(weights))
        if least == 0:
            continue
        size = misfit / least
        growth = _growth(p, z, weights, size)
        excess = float(np.sqrt(slope**2 @ weights)) * size + growth
        lost = float(np.sqrt(r**2 @ weights)) * size + growth
        steps = 1 + gamma(2 * len(z) + 80)
        found.append(_sharpened(p, r, z, units, (value + excess) * steps, lost * steps))
    return min(found)


def _sharpened(p: float, r: Array, z: Array, units: Array, value: float, lost: float) -> float:
    """Return the bound for minimisers with at most this value; ``lost`` is the allowance for the misfit."""
    largest = np.full(len(z), power(value, 1 / p) * (1 + 2 * POWER_ERROR))
    radius = np.inf
    for _ in range(SHARPENINGS):
        softness = power(largest, 2 - p) / (p * (p - 1)) * (1 + gamma(4 * len(z) + 80))
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
    curved = p * (p - 1) / 2 * power(lengths[near] - largest[near], p - 2) * weights[near]
    found = np.max(curved, initial=0.0) * size**2 + power(2.0, 2 - p) * np.sum(power(largest[~near], p))
    return float(found) * (1 + gamma(len(z) + 80))


def _least_value(B: Array) -> float:
    """Return a lower bound on the smallest nonzero singular value of a matrix; 0.0 if nothing is proved.

    Values that are no larger than their error bounds count as zero: the equations are taken to be dependent.
    """
    values, error = singular_values(B)
    error += 4 * UNIT * float(np.linalg.norm(B))
    inside = values[values > 2 * error]
    return float(inside[-1] - error) if len(inside) else 0.0


def _from_equations(B: Array, units: Array, misfit: float) -> float:
    """Return the bound where the equations determine z, else infinity."""
    values, error = singular_values(B[:, units > 0])
    error += 4 * UNIT * float(np.linalg.norm(B))
    least = float(values[-1]) - error if len(B) >= np.count_nonzero(units) > 0 else 0.0
    return rounded_up(misfit / least * float(np.max(units))) if least > 0 else np.inf


def _sparse(
    B: Array,
    b: Array,
    z: Array,
    y: Array,
    units: Array,
    sizes: Array,
    correction: float,
    size: float,
    norm: float,
    gap: float = 0.0,
    misfit: float = 0.0,
) -> Uniqueness:
    """Return the verdict for p = 1, from the slacks of the dual constraints (docs/theory/depth.md)."""
    n, (pairing, error) = len(z), inner_product(b, y)
    slack, seen = _slack(B, y), units > 0
    defect = max(norm - pairing + error + 4 * UNIT * (norm + abs(pairing)), gap)
    support = np.abs(z) > defect
    noise = max(defect / norm, float(np.max(np.abs(slack[support]), initial=0.0)), 10 * EPS * n)
    tight = seen & (slack <= SAFETY * noise)
    loose = seen & ~tight
    margin = float(np.min(slack[loose], initial=1.0))
    lengths = np.linalg.norm(B, axis=0)
    columns = B[:, tight] / lengths[tight]
    q = columns.shape[1]
    values, off = singular_values(columns)
    injectivity = float(values[-1] / values[0]) if 0 < q <= len(B) else float(q == 0)
    threshold = SAFETY * EPS * np.sqrt(len(B))
    least = float(values[-1]) - off - 8 * UNIT * float(np.sqrt(q)) if q else 1.0
    if injectivity > threshold and least > 0:
        apart = _Apart(
            far=float(np.max(units[loose] / slack[loose], initial=0.0)),
            push=float(np.max(lengths[loose] / slack[loose], initial=0.0)),
            pull=float(np.max(units[tight] / lengths[tight])) / least,
        )
        beyond = float(slack[loose] @ np.abs(z[loose])) * (1 + gamma(n + 8))
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

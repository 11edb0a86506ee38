"""Sparsity of flat solutions of sparse regression, by the number of factors.

The unknown ``x = u_1 ∘ … ∘ u_N`` with ``A x = b`` has 40 entries, of which 4 are not zero. The smallest Hessian
trace over all factors of x is ``2N Σ_j w_j |x_j|^(2 − 2/N)``; the smallest ``Σ ‖u_i‖²`` is ``N Σ_j |x_j|^(2/N)``.
docs/theory/depth.md derives both minima. The smallest norm is the control.

Claim: flat solutions with two factors recover sparse vectors. With three or more factors they do not, even if only a
few equations are missing, and the error grows with depth. For the smallest norm of the factors, recovery improves with
depth.

Refuted by: a depth above two at which certified flat solutions recover sparse vectors from fewer equations than
unknowns, or a depth at which factors of smallest norm recover fewer vectors than at a smaller depth.
"""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families import sparse_regression
from flatmin.families.base import relative_distance
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay, Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters
from flatmin.proofs.depth.power_minimum import minimise_power_norm
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "judge", "recover", "show"]

LENGTH, SPARSITY = 40, 4
#: Numbers of equations at which two factors recover about half of the vectors, nearly all, and all.
HALF, MOST, ALL = 14, 22, 34
#: The largest relative error of a recovered vector.
RECOVERED = 1e-6
#: Number of steps of reweighted least squares towards a small norm.
ROUNDS = 100


def recover(parameters: Parameters, seed: int) -> Metrics:
    """Return whether the flat solution, or the one of small norm, recovers the sparse vector of an instance."""
    depth, m = int(parameters["depth"]), int(parameters["m"])
    instance = sparse_regression.sample(LENGTH, SPARSITY, m, depth=depth, seed=seed)
    problem, truth = instance.problem, instance.truth
    assert truth is not None
    proved: Metrics = {"certified": None, "unique": None}
    if parameters["smallest"] == "trace":
        flat = flat_minimum(problem)
        x = flat.matrix
        proved = {"certified": flat.checked_certificate.holds, "unique": flat.checked_certificate.unique is True}
    else:
        x = _least_norm(problem.measurement.matrices()[:, :, 0], problem.data, 2 / depth)[:, None]
    error, size = relative_distance(x, truth), np.abs(x)
    coordinates = int(np.sum(size > 1e-6 * size.max()))
    return {"error": error, "recovered": error <= RECOVERED, "coordinates": coordinates} | proved


def _least_norm(A: Array, b: Array, q: float) -> Array:
    """Return x with ``A x = b`` and small ``Σ |x_j|^q``: the smallest for q = 1, a local minimum for q < 1.

    For q < 1 it is found by reweighted least squares (Chartrand, Yin, ICASSP 2008).
    """
    if q == 1:
        return minimise_power_norm(A, b, 1.0).z
    x = np.linalg.lstsq(A, b, rcond=None)[0]
    smoothing = float(np.abs(x).max())
    for _ in range(ROUNDS):
        w = (x**2 + smoothing**2) ** (1 - q / 2)
        x = w * (A.T @ np.linalg.lstsq((A * w) @ A.T, b, rcond=None)[0])
        smoothing = max(0.8 * smoothing, 1e-10)
    return x


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about certificates and two factors, two for each larger depth, and two about the control."""
    depths = evidence.levels("depth") or [2, 3, 4, 8]
    flat, norm = evidence.select(smallest="trace"), evidence.select(smallest="norm")

    def gain(part: Evidence, m: int, metric: str, deep: int) -> list[float]:
        """Return the metric minus that of the same instance at the next smaller depth."""
        pairs = part.select(m=m).pairs(metric, "depth", depths[depths.index(deep) - 1], deep)
        return [float(value) for value in pairs[:, 1] - pairs[:, 0]]

    def recovered(part: Evidence, depth: int, m: int) -> Array:
        return part.select(depth=depth, m=m).values("recovered")

    certified, text = flat.values("certified"), "share of flat solutions with a certificate"
    claims = [
        Claim.exact(text, float(np.mean(certified)), above=1.0) if len(certified) else Claim.open(text, above=1.0),
        Claim.from_share(f"two factors, m = {MOST}: flat recovers", recovered(flat, 2, MOST), above=0.8),
    ]
    for depth in depths[1:]:
        text = f"{depth} factors, m = {ALL} of {LENGTH}: flat recovers"
        claims.append(Claim.from_share(text, recovered(flat, depth, ALL), below=0.2))
        text = f"{depth} factors, m = {MOST}: error of flat less that with fewer factors"
        claims.append(Claim.from_mean(text, gain(flat, MOST, "error", depth), above=0.0))
    second, last = depths[min(1, len(depths) - 1)], depths[-1]
    text = f"control, {second} factors, m = {HALF}: share recovered by smallest norm less that with two factors"
    claims.append(Claim.from_mean(text, gain(norm, HALF, "recovered", second), above=0.0))
    text = f"control, {last} factors, m = {MOST}: smallest norm recovers"
    return [*claims, Claim.from_share(text, recovered(norm, last, MOST), above=0.8)]


def show(evidence: Evidence) -> list[Display]:
    """Return the errors of the flat solutions and of the control against the number of equations."""
    axes: dict[str, Any] = {"x": "m", "x_label": f"equations (unknowns: {LENGTH})", "y": "error"}
    axes["y_label"] = f"relative error of x, {SPARSITY} nonzeros"
    lines: dict[str, Any] = {"by": "depth", "labels": {depth: f"{depth} factors" for depth in evidence.levels("depth")}}
    return [
        CurvesDisplay.from_evidence(evidence.select(smallest=smallest), smallest, title, **axes, **lines)
        for smallest, title in (("trace", "Flat solutions"), ("norm", "Solutions of small norm"))
    ]


RECIPE = Recipe(
    "hadamard-depth",
    __doc__,
    recover,
    grid=[{"smallest": ["trace", "norm"], "depth": [2, 3, 4, 8], "m": [10, HALF, 18, MOST, 26, 30, ALL, 38]}],
    repetitions=60,
    quick={"grid": [{"smallest": ["trace", "norm"], "depth": [2, 3, 8], "m": [HALF, MOST, ALL]}], "repetitions": 20},
    consecutive=True,
    judge=judge,
    show=show,
)

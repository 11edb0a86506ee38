"""Depth in products of vectors: more factors take the sparse bias of flatness away, and strengthen that of small norm.

The claim, for ``x = u_1 ∘ … ∘ u_N`` with ``A x = b``: the smallest Hessian trace over all factors of x is
``2N Σ_j w_j |x_j|^(2 − 2/N)``, so flat solutions are those of least ℓ1 norm for two factors, and of something near to
least squares for many. Weight decay goes the other way: the smallest ``Σ ‖u_i‖²`` is ``N Σ_j |x_j|^(2/N)``, ever closer
to counting coordinates. Derived in docs/theory/depth.md.

It would be refuted by a depth above two at which certified flat solutions recover sparse vectors from fewer equations
than unknowns, or by depth making recovery from smallest norm worse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families import sparse_regression
from flatmin.families.base import relative_distance
from flatmin.lab.claims import Claim, interval
from flatmin.lab.studies.base import Findings, Row, Study
from flatmin.proofs.depth.power_minimum import minimise_power_norm
from flatmin.solvers import flat_minimum

__all__ = ["STUDY"]

#: Unknowns, and how many of them are not zero.
LENGTH, SPARSITY = 40, 4
DEPTHS = (2, 3, 4, 8)
#: Two factors recover about every second vector from the first number of equations, and all from the second.
FEW, MANY, ALMOST_ALL = 14, 22, 34
#: A relative error up to which a vector counts as recovered.
RECOVERED = 1e-6


def _least_norm(A: Array, b: Array, q: float, rounds: int = 100) -> Array:
    """Return x with ``A x = b`` and small ``Σ |x_j|^q``: the smallest for q = 1, a local minimum below.

    Below one by reweighted least squares (Chartrand, Yin, ICASSP 2008).
    """
    if q == 1:
        return minimise_power_norm(A, b, 1.0).z
    x = np.linalg.lstsq(A, b, rcond=None)[0]
    smoothing = float(np.abs(x).max())
    for _ in range(rounds):
        w = (x**2 + smoothing**2) ** (1 - q / 2)
        x = w * (A.T @ np.linalg.lstsq((A * w) @ A.T, b, rcond=None)[0])
        smoothing = max(0.8 * smoothing, 1e-10)
    return x


def _rows(depth: int, m: int, seed: int) -> list[Row]:
    """Return what the flat and the norm-minimal solution of one instance recover."""
    instance = sparse_regression.sample(LENGTH, SPARSITY, m, depth=depth, seed=seed)
    problem, truth = instance.problem, instance.truth
    assert truth is not None
    flat = flat_minimum(problem)
    small = _least_norm(problem.measurement.matrices()[:, :, 0], problem.data, 2 / depth)[:, None]
    rows = []
    for of, x in (("trace", flat.matrix), ("norm", small)):
        error = relative_distance(x, truth)
        size = np.abs(x)
        row = {"smallest": of, "depth": depth, "m": m, "seed": seed, "error": error, "recovered": error <= RECOVERED}
        rows.append(row | {"coordinates": int(np.sum(size > 1e-6 * size.max()))})
    rows[0] |= {"certified": flat.certificate.holds, "unique": flat.certificate.unique is True}
    return rows


def _run(*, quick: bool = False, seed: int = 0) -> Findings:
    seeds = 20 if quick else 60
    numbers = (FEW, MANY, ALMOST_ALL) if quick else (10, FEW, 18, MANY, 26, 30, ALMOST_ALL, 38)
    depths = (2, 3, 8) if quick else DEPTHS
    rows = [row for m in numbers for depth in depths for s in range(seeds) for row in _rows(depth, m, seed + s)]

    def values(of: str, depth: int, m: int, key: str) -> list[Any]:
        return [r[key] for r in rows if (r["smallest"], r["depth"], r["m"]) == (of, depth, m)]

    def gain(of: str, m: int, key: str, deep: int) -> list[float]:
        """Return, for each instance, the number at a depth less that at the next smaller depth of the study."""
        shallow = depths[depths.index(deep) - 1]
        return [float(a) - float(b) for a, b in zip(values(of, deep, m, key), values(of, shallow, m, key), strict=True)]

    certified = [r["certified"] for r in rows if r["smallest"] == "trace"]
    claims = [
        Claim.exact("share of flat solutions with a certificate", float(np.mean(certified)), above=1.0),
        Claim.of_share(f"two factors, m = {MANY}: flat recovers", values("trace", 2, MANY, "recovered"), above=0.8),
    ]
    for depth in depths[1:]:
        claims += [
            Claim.of_share(
                f"{depth} factors, m = {ALMOST_ALL} of {LENGTH}: flat recovers",
                values("trace", depth, ALMOST_ALL, "recovered"),
                below=0.2,
            ),
            Claim.of_mean(
                f"{depth} factors, m = {MANY}: error of flat less that with fewer factors",
                gain("trace", MANY, "error", depth),
                above=0.0,
            ),
        ]
    claims += [
        Claim.of_mean(
            f"control, {depths[1]} factors, m = {FEW}: share recovered by smallest norm less that with two factors",
            gain("norm", FEW, "recovered", depths[1]),
            above=0.0,
        ),
        Claim.of_share(
            f"control, {depths[-1]} factors, m = {MANY}: smallest norm recovers",
            values("norm", depths[-1], MANY, "recovered"),
            above=0.8,
        ),
    ]
    return Findings(rows, claims, by=("smallest", "depth", "m"), draw=_drawing(values, depths, numbers))


def _drawing(
    values: Callable[[str, int, int, str], list[Any]], depths: tuple[int, ...], numbers: tuple[int, ...]
) -> Callable[[Any], None]:
    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 2, sharey=True)
        for ax, of, title in zip(axes, ("trace", "norm"), ("flat", "smallest norm"), strict=True):
            for depth in depths:
                errors = [values(of, depth, m, "error") for m in numbers]
                mean = np.array([np.mean(e) for e in errors])
                bounds = np.array([interval(e) for e in errors]).T
                ax.errorbar(numbers, mean, np.abs(bounds - mean), marker="o", capsize=2, label=f"{depth} factors")
            ax.set(title=title, xlabel=f"equations (unknowns: {LENGTH})")
        axes[0].set_ylabel(f"relative error of x, {SPARSITY} nonzeros")
        axes[0].legend()

    return draw


STUDY = Study(
    name="hadamard-depth",
    question="Do flat solutions of sparse regression stay sparse when more factors are multiplied?",
    expectation="No: two factors recover sparse vectors, three or more do not, however few equations are missing, and "
    "the error grows with depth; for the smallest norm of the factors it is the other way round.",
    run=_run,
)

"""Where every fit is equally flat: measurements ``b_i = x_i* X x_i`` of a positive semidefinite X."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families import covariance, phase_retrieval, quadratic_network
from flatmin.families.base import Instance, relative_distance
from flatmin.lab.claims import Claim
from flatmin.lab.studies.base import Findings, Row, Study
from flatmin.measurements import RankOne
from flatmin.proofs.flatness import flatness
from flatmin.solvers import flat_minimum

__all__ = ["STUDY"]

#: Gauss-Newton steps stop at this relative residual, or after so many.
FIT, STEPS = 1e-14, 300
#: A fit to this relative residual is a fit.
EXACT = 1e-12
#: The standard deviations of the starts.
SCALES = (0.1, 0.5, 1.0, 3.0)


@dataclass(frozen=True)
class _Model:
    """Instances of dimension d from m measurements, below and above the number from which only one X fits."""

    sample: Callable[[int, int, int], Instance]
    few: float
    many: float
    signed: bool = False


#: The numbers of measurements are multiples of d. In the last model X may have both signs; there flatness selects.
MODELS = {
    "covariance": _Model(lambda d, m, seed: covariance.sample(d, 2, m, seed=seed), 2, 6),
    "phase-retrieval": _Model(lambda d, m, seed: phase_retrieval.sample(d, 1, m, seed=seed), 2, 6),
    "quadratic-network": _Model(
        lambda d, m, seed: quadratic_network.sample(d, (1, 1), m, seed=seed), 2, 4, signed=True
    ),
}
CONTROL = "quadratic-network"


def _fit(x: Array, b: Array, U: Array, signs: Array) -> tuple[Array, float]:
    """Return U with ``Σ_j signs_j |x_i* u_j|² = b_i``, from a start by steps of least length, and the residual."""

    def residual(U: Array) -> Array:
        return np.asarray((np.abs(x.conj() @ U) ** 2) @ signs - b)

    size, r = float(np.linalg.norm(b)), residual(U)
    for _ in range(STEPS):
        if np.linalg.norm(r) <= FIT * size:
            break
        G = 2 * x[:, :, None] * (x.conj() @ U)[:, None, :] * signs
        J = G.reshape(len(b), -1)
        real = np.hstack([J.real, J.imag]) if np.iscomplexobj(J) else J
        step = np.linalg.lstsq(real, r, rcond=1e-12)[0]
        S = (step[: U.size] + 1j * step[U.size :] if np.iscomplexobj(J) else step).reshape(U.shape)
        for damping in (1.0, 0.5, 0.25, 0.1, 0.01):
            if np.linalg.norm(residual(U - damping * S)) < np.linalg.norm(r):
                U = U - damping * S
                break
        else:
            break
        r = residual(U)
    return U, float(np.linalg.norm(r)) / size


def _rows(name: str, d: int, m: int, seed: int) -> list[Row]:
    """Return fits of one instance from different starts, and the certified flattest one."""
    model = MODELS[name]
    instance = model.sample(d, m, seed)
    problem, truth = instance.problem, instance.truth
    assert isinstance(problem.measurement, RankOne)
    assert truth is not None
    X = truth if truth.ndim == 2 else np.outer(truth, truth.conj())
    rng, x = np.random.default_rng(seed), problem.measurement.left
    signs = np.repeat([1.0, -1.0], d) if model.signed else np.ones(d)
    rows = []
    for scale in SCALES:
        start = scale * rng.standard_normal((d, signs.size)).astype(x.dtype)
        if np.iscomplexobj(x):
            start = start + 1j * scale * rng.standard_normal(start.shape)
        U, misfit = _fit(x, problem.data, start, signs)
        factors = (U[:, :d], U[:, d:]) if model.signed else (U,)
        error = relative_distance(problem.parametrization.matrix(factors), X)
        trace = flatness(problem, factors).gauss_newton_trace
        rows.append(_row(name, m, seed, f"from scale {scale:g}", misfit, trace, error))
    best = flat_minimum(problem, time_limit=60.0, seed=seed)
    misfit = best.certificate.relative_residual
    error, trace = relative_distance(best.matrix, X), best.flatness.gauss_newton_trace
    return [*rows, _row(name, m, seed, "flattest", misfit, trace, error, certified=best.certificate.holds)]


def _row(model: str, m: int, seed: int, fit: str, misfit: float, trace: float, error: float, **more: Any) -> Row:
    return {"model": model, "m": m, "fit": fit, "seed": seed, "misfit": misfit, "trace": trace, "error": error} | more


def _run(*, quick: bool = False, seed: int = 0) -> Findings:
    d, seeds = (6, 5) if quick else (10, 12)
    numbers = {name: (round(model.few * d), round(model.many * d)) for name, model in MODELS.items()}
    if quick:  # a symmetric matrix of this size has 21 entries
        numbers[CONTROL] = (12, 18)
    settings = [(name, m) for name in MODELS for m in numbers[name]]
    rows = [row for name, m in settings for s in range(seeds) for row in _rows(name, d, m, seed + s)]

    def spread(name: str, m: int, key: str) -> list[float]:
        """Return, for each instance, how far its fits differ in a number."""
        values = _by_instance(rows, name, m, key)
        return [max(v) - min(v) if key == "error" else max(v) / min(v) - 1 for v in values]

    def regret(name: str, m: int) -> list[float]:
        """Return, for each instance, by how much the error of the sharpest fit exceeds that of the flattest."""
        both = zip(_by_instance(rows, name, m, "trace"), _by_instance(rows, name, m, "error"), strict=True)
        return [error[int(np.argmax(trace))] - error[-1] for trace, error in both]

    claims = []
    for name in [name for name in MODELS if name != CONTROL]:
        few, many = numbers[name]
        same = max(spread(name, few, "trace"))
        claims += [
            Claim.exact(f"{name}, m = {few}: traces of all fits differ, relatively", same, below=1e-9),
            Claim.of_mean(f"{name}, m = {few}: errors of fits differ", spread(name, few, "error"), above=0.1),
            Claim.exact(f"{name}, m = {many}: largest error of a fit", max(_errors(rows, name, many)), below=1e-6),
        ]
    few, many = numbers[CONTROL]
    claims += [
        Claim.of_mean(
            f"{CONTROL}, m = {many}: traces of fits differ, relatively", spread(CONTROL, many, "trace"), above=0.1
        ),
        Claim.of_mean(
            f"{CONTROL}, m = {many}: error of the sharpest fit less that of the flattest",
            regret(CONTROL, many),
            above=0.1,
        ),
    ]
    return Findings(rows, claims, by=("model", "m", "fit"), draw=lambda figure: _draw(figure, rows))


def _by_instance(rows: list[Row], name: str, m: int, key: str) -> list[list[float]]:
    """Return a number of all exact fits of each instance, the flattest one last."""
    chosen = [row for row in rows if row["model"] == name and row["m"] == m and row["misfit"] <= EXACT]
    return [[row[key] for row in chosen if row["seed"] == s] for s in sorted({row["seed"] for row in chosen})]


def _errors(rows: list[Row], name: str, m: int) -> list[float]:
    return [error for errors in _by_instance(rows, name, m, "error") for error in errors]


def _draw(figure: Any, rows: list[Row]) -> None:
    axes = figure.subplots(1, len(MODELS), sharey=True)
    for ax, name in zip(axes, MODELS, strict=True):
        few = min(row["m"] for row in rows if row["model"] == name)
        both = zip(_by_instance(rows, name, few, "trace"), _by_instance(rows, name, few, "error"), strict=True)
        for trace, error in both:
            ax.plot(np.array(trace) / trace[-1], error, "o", alpha=0.6, markersize=4)
        ax.set(title=f"{name}, m = {few}", xlabel="trace / flattest trace")
        ax.ticklabel_format(useOffset=False)
    axes[0].set_ylabel("relative error of X")


STUDY = Study(
    name="rank-one-families",
    question="Can flatness choose between fits of measurements by vectors, when X is positive semidefinite?",
    expectation="No: all fits have the same trace and different errors, until only one is left; "
    "where X may have both signs, flatness chooses, and well.",
    run=_run,
)

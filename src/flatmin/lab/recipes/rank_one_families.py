"""Traces and errors of all fits of ``b_i = x_i* X x_i``, with X positive semidefinite or not.

Each instance is fitted from four random starts of different scale, by Gauss-Newton steps of least length, and by the
certified flattest solution. In the control, the quadratic network, X may have eigenvalues of both signs.

Claim: flatness cannot choose between fits by positive semidefinite matrices. As long as the fit is not unique, all fits
have the same trace and different errors. If X may have both signs, traces differ, and the flattest fit has a small
error.

Refuted by: fits in covariance estimation or phase retrieval with different traces; or, in the control, fits with equal
traces, or a flattest fit whose error is as large as that of the sharpest fit.
"""

from typing import Any

import numpy as np

from flatmin import families
from flatmin._core.arrays import Array
from flatmin.families.base import relative_distance
from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display, ScatterDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters, as_lists
from flatmin.measurements import RankOne
from flatmin.proofs.flatness import flatness
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "fits", "judge", "show"]

#: Gauss-Newton steps end at this relative residual.
FIT = 1e-14
#: The largest number of Gauss-Newton steps.
STEPS = 300
#: The largest relative residual of an exact fit.
EXACT = 1e-12
#: The standard deviations of the entries of the four random starts.
SCALES = (0.1, 0.5, 1.0, 3.0)


#: The rank of the truth of each family; in the control X may have both signs, and flatness selects.
MODELS: dict[str, Any] = {"covariance": 2, "phase-retrieval": 1, "quadratic-network": (1, 1)}
CONTROL = "quadratic-network"


def fits(parameters: Parameters, seed: int) -> Metrics:
    """Return misfit, trace and error of the fits of one instance, the certified flattest one last."""
    name, d = str(parameters["model"]), int(parameters["d"])
    instance, signed = (
        families.find(name).sample((d, d), MODELS[name], int(parameters["m"]), seed=seed),
        name == CONTROL,
    )
    problem, truth = instance.problem, instance.truth
    assert isinstance(problem.measurement, RankOne)
    assert truth is not None
    X = truth if truth.ndim == 2 else np.outer(truth, truth.conj())
    rng, x = np.random.default_rng(seed), problem.measurement.left
    signs = np.repeat([1.0, -1.0], d) if signed else np.ones(d)
    rows = []
    for scale in SCALES:
        start = scale * rng.standard_normal((d, signs.size)).astype(x.dtype)
        if np.iscomplexobj(x):
            start = start + 1j * scale * rng.standard_normal(start.shape)
        U, misfit = _fit(x, problem.data, start, signs)
        factors = (U[:, :d], U[:, d:]) if signed else (U,)
        error = relative_distance(problem.parametrization.matrix(factors), X)
        trace = flatness(problem, factors).gauss_newton_trace
        rows.append({"fit": f"from scale {scale:g}", "misfit": misfit, "trace": trace, "error": error})
    best = flat_minimum(problem, time_limit=60.0, seed=seed)
    misfit, trace = best.checked_certificate.relative_residual, best.flatness.gauss_newton_trace
    rows.append({"fit": "flattest", "misfit": misfit, "trace": trace, "error": relative_distance(best.matrix, X)})
    return as_lists(rows) | {"certified": best.checked_certificate.holds}


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


def _by_instance(part: Evidence, metric: str) -> list[list[float]]:
    """Return a metric of the exact fits of each instance, the flattest one last."""
    columns = [(result.metrics["misfit"], result.metrics[metric]) for result in part.results]
    exact = [[v for misfit, v in zip(*pair, strict=True) if misfit <= EXACT] for pair in columns]
    return [values for values in exact if values]


def judge(evidence: Evidence) -> list[Claim]:
    """Return three claims per model, and two about the control."""
    claims = []
    for name in MODELS:
        model = evidence.select(model=name)
        sizes = model.levels("m") or [0]
        few, many = model.select(m=sizes[0]), model.select(m=sizes[-1])
        at = [f"{name}, m = {m}" if m else name for m in (sizes[0], sizes[-1])]

        def differ(part: Evidence) -> list[float]:
            return [max(traces) / min(traces) - 1 for traces in _by_instance(part, "trace")]

        if name == CONTROL:
            both = zip(_by_instance(many, "trace"), _by_instance(many, "error"), strict=True)
            regret = [error[int(np.argmax(trace))] - error[-1] for trace, error in both]
            text = f"{at[1]}: error of the sharpest fit less that of the flattest"
            claims += [
                Claim.from_mean(f"{at[1]}: traces of fits differ, relatively", differ(many), above=0.1),
                Claim.from_mean(text, regret, above=0.1),
            ]
            continue
        spread = [max(errors) - min(errors) for errors in _by_instance(few, "error")]
        errors = [error for errors in _by_instance(many, "error") for error in errors]
        claims += [
            Claim.from_largest(f"{at[0]}: traces of all fits differ, relatively", differ(few), below=1e-9),
            Claim.from_mean(f"{at[0]}: errors of fits differ", spread, above=0.1),
            Claim.from_largest(f"{at[1]}: largest error of a fit", errors, below=1e-6),
        ]
    return claims


def show(evidence: Evidence) -> list[Display]:
    """Return the errors of exact fits against their traces, for each model at its smaller number of measurements."""
    axes: dict[str, Any] = {"x": "trace", "y": "error", "by": "fit", "y_label": "relative error of X"}
    displays: list[Display] = []
    for name in MODELS:
        model = evidence.select(model=name)
        if len(model):
            m = model.levels("m")[0]
            few = model.select(m=m).unrolled("fit")
            exact = Evidence(few.experiment, [r for r in few.results if r.metrics["misfit"] <= EXACT])
            displays.append(ScatterDisplay.from_evidence(exact, name, f"Exact fits: {name}, m = {m}", **axes))
    return displays


RECIPE = Recipe(
    "rank-one-families",
    __doc__,
    fits,
    grid=[
        {"model": ["covariance", "phase-retrieval"], "d": [10], "m": [20, 60]},
        {"model": [CONTROL], "d": [10], "m": [20, 40]},
    ],
    repetitions=12,
    quick={
        "grid": [
            {"model": ["covariance", "phase-retrieval"], "d": [6], "m": [12, 36]},
            {"model": [CONTROL], "d": [6], "m": [12, 18]},
        ],
        "repetitions": 5,
    },
    consecutive=True,
    judge=judge,
    show=show,
)

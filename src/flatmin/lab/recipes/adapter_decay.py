"""Adapters with weight decay: the low-rank optimum, or a failure that is easy to see.

The weights ``W0 + B Aᵀ`` of shape 10×10 are measured by Gaussian matrices or in single cells. W0 is frozen, the truth
is W0 plus a matrix of rank 2, and B and A have k columns. Training minimises

    (1/m) ‖A(W0 + B Aᵀ) − b‖² + (λ/2) (‖A‖² + ‖B‖²)

from B = 0 and a Gaussian A, as adapters start, or from large weights. The smallest value over all k is that of the
loss plus ``λ ‖X‖_*``, and `flat_minimum` certifies it. The setting is that of Kim, Kim and Ryu (ICML 2025, arXiv
2502.09376). They assume restricted strong convexity, which these data need not have; the numbers of the claim are ours.

Claim: at every local minimum for which k is at least the rank of the certified optimum, either the objective is that
of the optimum, or it is higher by more than 30 %; at most 2 % of the draws have a minimum between. With a column to
spare, at least 95 % of the draws lead to the optimum from both starts. A failure is loud: it has the full rank k and a
nuclear norm at least 5 % above that of the optimum. If only one start fails, it is mostly that from large weights.

Refuted by: local minima with an excess between 0.1 and 30 %, failures of smaller rank or norm, more failures with spare
columns, or more failures from B = 0 than from large weights.
"""

from typing import Any

import numpy as np
from scipy.optimize import minimize

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Block, Metrics, Parameters
from flatmin.lab.runs.store import Result
from flatmin.measurements import Dense
from flatmin.parametrizations import Product
from flatmin.problem import Problem
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "judge", "show", "train"]

SIZE, RANK = 10, 2
#: Size of the frozen weights relative to the change, and standard deviation of the entries of a large start.
FROZEN, LARGE = 3.0, 3.0
#: A relative excess of the objective up to CLOSE counts as the optimum, from FAR on as a failure.
CLOSE, FAR = 1e-3, 0.3
#: Norm of the gradient, relative to that of the data at X = 0, up to which a run has converged, and the smallest
#: eigenvalue of the Hessian, relative to its largest one, down to which it counts as nonnegative.
STATIONARY, CONVEX = 1e-5, -1e-5
#: A failure is loud if its nuclear norm exceeds that of the optimum by this factor.
LOUD = 1.05
#: Singular values below this share of the largest one do not count for the rank.
SMALL = 1e-4
#: Relative excesses up to this are rounding.
ROUNDING = 1e-9


def train(parameters: Parameters, seed: int) -> Metrics:
    """Return the excess, rank and norm of one training run over those of the certified optimum."""
    rng = np.random.default_rng(seed)
    m, cells = int(parameters["m"]), parameters["panel"] == "completion"
    A = np.eye(SIZE**2)[rng.permutation(SIZE**2)[:m]] if cells else rng.standard_normal((m, SIZE**2))
    change = rng.standard_normal((SIZE, RANK)) @ rng.standard_normal((RANK, SIZE))
    frozen = FROZEN * rng.standard_normal((SIZE, SIZE))
    b = A @ (frozen + change).ravel() - A @ frozen.ravel()
    steepest = float(np.linalg.norm((b @ A).reshape(SIZE, SIZE), 2)) * 2 / m
    decay = float(parameters["decay"]) * steepest
    # With metric_power 0 the penalty of flat_minimum is alpha times this unit times the nuclear norm.
    unit = 4 * float(np.sum(A**2)) / A.size
    problem = Problem(Dense(A.reshape(m, SIZE, SIZE)), b, Product())
    optimum = flat_minimum(problem, alpha=decay / unit, metric_power=0)
    sizes = np.linalg.svd(optimum.matrix, compute_uv=False)
    rank = int(np.sum(sizes > SMALL * sizes[0]))
    width = max(rank + int(parameters["spare"]), 1)
    if parameters["start"] == "large":
        start = LARGE * rng.standard_normal((2, SIZE, width))
    else:
        start = np.stack([np.zeros((SIZE, width)), rng.standard_normal((SIZE, width)) / np.sqrt(SIZE)])
    value, factors, converged = _descended(A, b, decay, start, steepest)
    found = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False)
    certificate = optimum.checked_certificate
    excess = value / certificate.lower_bound - 1
    return {
        "excess": excess,
        "converged": converged,
        "failed": bool(excess >= FAR),
        "rank": int(np.sum(found > SMALL * found[0])),
        "width": width,
        "norm": float(found.sum() / sizes.sum()),
        "gap": float(certificate.relative_gap),
    }


def _descended(A: Array, b: Array, decay: float, start: Array, unit: float) -> tuple[float, Array, bool]:
    """Return the objective and the factors (B, A) to which a descent leads, and whether it is a local minimum."""
    m, shape = len(b), start.shape

    def objective(flat: Array) -> tuple[float, Array]:
        left, right = flat.reshape(shape)
        residual = A @ (left @ right.T).ravel() - b
        back = (2 / m * residual @ A).reshape(SIZE, SIZE)
        gradient = np.stack([back @ right, back.T @ left]).ravel() + decay * flat
        return float(residual @ residual) / m + decay / 2 * float(flat @ flat), gradient

    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-9 * unit, "maxcor": 30}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    value, slope = objective(found.x)
    step = 1e-5 * max(float(np.abs(found.x).max()), 1e-3)
    rows = [objective(found.x + step * e)[1] - objective(found.x - step * e)[1] for e in np.eye(found.x.size)]
    curvature = np.linalg.eigvalsh(np.array(rows) + np.array(rows).T)
    converged = np.linalg.norm(slope) <= STATIONARY * unit and curvature[0] >= CONVEX * curvature[-1]
    return value, found.x.reshape(shape), bool(converged)


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about the certificates, the gap between two clusters, loud failures, and starts.

    A draw counts once, however many runs see it.
    """
    draws: dict[tuple[Any, ...], list[Result]] = {}
    for result in evidence.results:
        at = result.trial.parameters
        draws.setdefault((at["panel"], at["m"], at["decay"], result.trial.seed), []).append(result)
    narrow, enough, spare = (
        [found for results in draws.values() if (found := _minima(results, least, most))]
        for least, most in ((-1, -1), (0, 1), (1, 1))
    )

    def between(found: list[Metrics]) -> bool:
        return any(CLOSE < row["excess"] < FAR for row in found)

    failures = [failed for found in enough if (failed := [row for row in found if row["failed"]])]
    loud = [all(row["rank"] == row["width"] and row["norm"] >= LOUD for row in failed) for failed in failures]
    optimal = [all(row["excess"] <= CLOSE for row in found) for found in spare]
    pairs = evidence.select(spare=[0, 1]).pairs("failed", "start", "zero", "large")
    alone = pairs[pairs[:, 0] != pairs[:, 1], 1]
    converged = [all(r.metrics["converged"] for r in results) for results in draws.values()]
    return [
        Claim.from_largest("The largest relative gap of a certified optimum", evidence.values("gap"), below=1e-6),
        Claim.from_share("The share of draws whose runs all end at local minima", converged, above=0.9),
        Claim.from_share(
            "Enough columns: the share of draws with a minimum between the two clusters",
            [between(found) for found in enough],
            below=0.02,
        ),
        Claim.from_share("Spare columns: the share of draws that always lead to the optimum", optimal, above=0.95),
        Claim.from_share(
            "Enough columns: of draws with a failure, the share whose failures have full rank and a norm 5 % too large",
            loud,
            above=0.9,
        ),
        Claim.from_share(
            "Enough columns: of pairs of runs of which only one fails, the share in which the large weights fail",
            [bool(value) for value in alone],
            above=0.5,
        ),
        Claim.from_share(
            "Control, one column too few: the share of draws with a minimum between the two clusters",
            [between(found) for found in narrow],
            above=0.1,
        ),
    ]


def _minima(results: list[Result], least: int, most: int) -> list[Metrics]:
    """Return the metrics of local minima with a number of spare columns in this range."""
    return [r.metrics for r in results if r.metrics["converged"] and least <= int(r.trial.parameters["spare"]) <= most]


def show(evidence: Evidence) -> list[Display]:
    """Return excess against norm at the local minima that are not the optimum, and the shares of failures."""
    rows = [result for result in evidence.results if result.metrics["converged"]]
    figures: list[Display] = []
    others = Evidence(evidence.planned, [result for result in rows if result.metrics["excess"] > ROUNDING])
    if len(others):
        names = {-1: "one column too few", 0: "as many as the rank", 1: "one to spare"}
        figures.append(
            ScatterDisplay.from_evidence(
                others,
                "clusters",
                "Local minima that are not the optimum",
                x="norm",
                y="excess",
                by="spare",
                labels={spare: names[spare] for spare in others.levels("spare")},
                x_label="nuclear norm over that of the optimum",
                y_label="relative excess over the certified optimum",
                y_log=True,
                caption=f"Of {len(rows)} local minima {len(rows) - len(others)} agree with the optimum to nine digits.",
            )
        )
    if rows:
        found = Evidence(evidence.planned, rows)
        starts = {"zero": "from B = 0", "large": "from large weights"}
        figures.append(
            CurvesDisplay.from_evidence(
                found,
                "failures",
                "Failures by number of columns",
                x="spare",
                y="failed",
                by="start",
                labels={start: starts[start] for start in found.levels("start")},
                x_label="columns minus the rank of the optimum",
                y_label="share with an excess above 30 %",
            )
        )
    return figures


def _grid(**values: Any) -> list[Block]:
    common = {"decay": (0.001, 0.01, 0.1), "spare": (-1, 0, 1), "start": ("zero", "large")} | values
    return [{"panel": ("sensing",), "m": (40,), **common}, {"panel": ("completion",), "m": (50, 60), **common}]


RECIPE = Recipe(
    "adapter-decay",
    __doc__,
    train,
    grid=_grid(),
    repetitions=45,
    quick={"grid": _grid(decay=(0.01,)), "repetitions": 3},
    paired=("spare", "start"),
    judge=judge,
    show=show,
)

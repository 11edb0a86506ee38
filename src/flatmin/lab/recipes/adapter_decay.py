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

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize

from flatmin._core.arrays import Array
from flatmin.families.base import relative_distance
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice, dense_hessian
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Block, Metrics, Parameters
from flatmin.lab.runs.store import Result
from flatmin.measurements import Dense
from flatmin.parametrizations import Product
from flatmin.problem import Problem
from flatmin.solution import Solution
from flatmin.solvers.choose import flat_minimum

__all__ = ["RECIPE", "Draw", "judge", "show", "train"]

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
#: Words for the starts.
STARTS = {"zero": "from B = 0", "large": "from large weights"}
#: Number of points of a course, and distance in weights of slices of the loss.
POINTS, REACH = 60, 1.0


@dataclass(frozen=True)
class Draw:
    """The measurements of the change of an adapter, the strength of weight decay, and the certified optimum."""

    A: Array
    b: Array
    change: Array
    steepest: float
    decay: float
    optimum: Solution

    @classmethod
    def sample(cls, parameters: Parameters, rng: np.random.Generator) -> Self:
        """Draw the measurements and the change, and certify the optimum."""
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
        return cls(A, b, change, steepest, decay, flat_minimum(problem, alpha=decay / unit, metric_power=0))

    def start(self, parameters: Parameters, rng: np.random.Generator) -> Array:
        """Return B and A to start from, shape (2, SIZE, columns)."""
        sizes = np.linalg.svd(self.optimum.matrix, compute_uv=False)
        width = max(int(np.sum(sizes > SMALL * sizes[0])) + int(parameters["spare"]), 1)
        if parameters["start"] == "large":
            return LARGE * rng.standard_normal((2, SIZE, width))
        return np.stack([np.zeros((SIZE, width)), rng.standard_normal((SIZE, width)) / np.sqrt(SIZE)])

    def value(self, flat: Array) -> float:
        """Return the loss plus weight decay of the entries of B and A."""
        return self.objective(flat)[0]

    def gradient(self, flat: Array) -> Array:
        """Return the gradient."""
        return self.objective(flat)[1]

    def objective(self, flat: Array) -> tuple[float, Array]:
        """Return value and gradient."""
        left, right = flat.reshape(2, SIZE, -1)
        residual = self.A @ (left @ right.T).ravel() - self.b
        back = (2 / len(self.b) * residual @ self.A).reshape(SIZE, SIZE)
        gradient = np.stack([back @ right, back.T @ left]).ravel() + self.decay * flat
        return float(residual @ residual) / len(self.b) + self.decay / 2 * float(flat @ flat), gradient

    def descended(self, start: Array, seen: Callable[[Array], object] | None = None) -> Array:
        """Return the entries of B and A to which a descent leads; ``seen`` is called with those after each step."""
        options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-9 * self.steepest, "maxcor": 30}
        settings: dict[str, Any] = {"jac": True, "method": "L-BFGS-B", "options": options, "callback": seen}
        return np.asarray(minimize(self.objective, start.ravel(), **settings).x)

    def is_minimum(self, flat: Array) -> bool:
        """Return whether these entries are a local minimum of the objective."""
        curvature = np.linalg.eigvalsh(dense_hessian(self.gradient, flat))
        stationary = np.linalg.norm(self.gradient(flat)) <= STATIONARY * self.steepest
        return bool(stationary and curvature[0] >= CONVEX * curvature[-1])

    def error(self, flat: Array) -> float:
        """Return the relative error of the change of the weights."""
        left, right = flat.reshape(2, SIZE, -1)
        return relative_distance(left @ right.T, self.change)

    def excess(self, flat: Array) -> float:
        """Return the relative excess of the objective over that of the certified optimum."""
        return self.value(flat) / self.optimum.checked_certificate.lower_bound - 1


def train(parameters: Parameters, seed: int) -> Metrics:
    """Return the excess, rank and norm of one training run over those of the certified optimum."""
    rng = np.random.default_rng(seed)
    draw = Draw.sample(parameters, rng)
    start = draw.start(parameters, rng)
    flat = draw.descended(start)
    left, right = flat.reshape(start.shape)
    found, sizes = (np.linalg.svd(X, compute_uv=False) for X in (left @ right.T, draw.optimum.matrix))
    return {
        "excess": draw.excess(flat),
        "converged": draw.is_minimum(flat),
        "failed": bool(draw.excess(flat) >= FAR),
        "rank": int(np.sum(found > SMALL * found[0])),
        "width": start.shape[2],
        "norm": float(found.sum() / sizes.sum()),
        "gap": float(draw.optimum.checked_certificate.relative_gap),
    }


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
        figures.append(
            CurvesDisplay.from_evidence(
                found,
                "failures",
                "Failures by number of columns",
                x="spare",
                y="failed",
                by="start",
                labels={start: STARTS[start] for start in found.levels("start")},
                x_label="columns minus the rank of the optimum",
                y_label="share with an excess above 30 %",
            )
        )
        figures += _of_one_draw(found)
    return figures


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return three courses on the draw with the largest excess, and the loss around their ends."""
    worst = max(evidence.results, key=lambda result: (result.trial.parameters["spare"] == 0, result.metrics["excess"]))
    courses = []
    runs = (("zero", 0, STARTS["zero"]), ("large", 0, STARTS["large"]), ("large", 1, "with a spare column"))
    for place, (start, spare, words) in enumerate(runs):
        parameters = {**worst.trial.parameters, "spare": spare, "start": start}
        rng = np.random.default_rng(worst.trial.seed)
        draw = Draw.sample(parameters, rng)
        first = draw.start(parameters, rng)
        seen = [first.ravel()]
        draw.descended(first, lambda flat, seen=seen: seen.append(flat.copy()))  # type: ignore[misc]
        shown = [seen[at] for at in np.unique(np.geomspace(1, len(seen), POINTS).astype(int)) - 1]
        points = np.array([(draw.excess(flat), draw.error(flat)) for flat in shown])
        courses.append(Course(words, place, points, Slice.from_loss(words, draw, shown[-1], REACH)))
    U, sizes, Vt = np.linalg.svd(draw.optimum.matrix)
    optimum = np.concatenate([(F * np.sqrt(sizes)).ravel() for F in (U, Vt.T)])
    return training_displays(
        courses,
        "One draw: descents to the optimum or to a failure",
        recipe=evidence.name,
        optima=[draw.error(optimum)],
        star="certified optimum",
        places=[Slice.from_loss("certified optimum", draw, optimum, REACH)],
        gap="relative excess over the certified optimum",
        caption="Of all draws the one with the largest excess of a local minimum.",
        around="The loss includes weight decay.",
    )


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

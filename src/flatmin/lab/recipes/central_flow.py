"""Gradient descent at the edge of stability beside its central flow, on products of two factors.

The step size grows linearly from a fifth of its last value ("warm-up") and is then constant for half as many steps.
Last step sizes are ``2/λ`` for λ between the largest Hessian eigenvalue of the certified flattest solution and that of
the solution to which the gradient flow leads from the same start, so gradient descent cannot stay at the latter. The
central flow (Cohen et al. 2024, arXiv 2410.24206) predicts flatness and loss at equal time. Edge Flow (Marion 2026,
arXiv 2606.18080), which replaces the covariance of the oscillation by one direction and its magnitude, is not
integrated here. The full texts of both papers could not be read, so the claim, its settings and its limits are ours.

Claim: after a slow warm-up the flatness gap of gradient descent is what the central flow predicts. Over step sizes the
slope of the measured on the predicted gap is within 0.1 of one, and its interval contains one. The ratio of measured to
predicted loss, summed over the steps at the edge, is within 0.1 of one. The gradient flow does not predict the gap: its
own is at least 1.2 times as large. The slower the warm-up, the better the prediction. With a constant step size half of
the runs diverge or depart from it by a tenth or more.

Refuted by: a slope or a ratio further from one, a smaller gap of the gradient flow, departures that do not decrease
with slower warm-up, or constant step sizes at which the prediction is right.
"""

from collections.abc import Callable, Iterator

import numpy as np

from flatmin._core.arrays import Array
from flatmin.families import matrix_sensing, sparse_regression
from flatmin.families.base import Instance, relative_distance
from flatmin.lab.claims import Claim, interval, shared_level
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._edge_of_stability import BilinearLoss, central_flow, gradient_descent
from flatmin.lab.runs.experiment import Metrics, Parameters
from flatmin.problem import Problem
from flatmin.solvers.flattest import Flattest

__all__ = ["RECIPE", "follow", "judge", "show"]

MATRICES, VECTORS = "two matrices", "two vectors"
#: Standard deviations of the first and the second factor's entries at the start, for factors of unit scale.
START = (1.5, 0.1)
#: Standard deviation of the noise on each entry of the gradient, whose entries are of the order of one at the start.
NOISE = 1e-5
#: Number of columns of the factors of matrices.
WIDTH = 2
#: Number of steps at a constant step size without a warm-up, and number of recorded points of a trajectory.
CONSTANT_STEPS, POINTS = 2000, 24
#: Step sizes and numbers of steps of the gradient flow that finds the sharpness without an edge.
FLOW_STEPS = ((400, 0.1), (600, 1.0))
#: Distance in weights up to which the loss is shown.
REACH = 0.6
#: The metrics that a run lacks if it diverges.
MEASURED = (
    *("predicted", "measured", "departure", "free_ratio", "loss_ratio"),
    *("predicted_gaps", "predicted_errors", "measured_gaps", "measured_errors"),
)
#: Level of each of the two limits of a number that is claimed to lie in an interval, for both families.
BOTH = shared_level(2)


def follow(parameters: Parameters, seed: int) -> Metrics:
    """Return predicted and measured flatness and loss of one draw at one step size."""
    instance = _instance(str(parameters["factors"]), seed)
    draw = _Draw(instance, seed)
    warmup, share = int(parameters["warmup"]), float(parameters["share"])
    size = 2 / (draw.flat_sharpness + share * (draw.free_sharpness - draw.flat_sharpness))
    steps = warmup + warmup // 2 or CONSTANT_STEPS

    def step_size(t: int) -> float:
        return size * min(1.0, 0.2 + 0.8 * t / warmup if warmup else 1.0)

    flow = list(central_flow(draw.loss, draw.start, step_size, steps))
    descent = list(gradient_descent(draw.loss, draw.start, step_size, steps, noise=NOISE, seed=seed))
    edge = np.array([state.covariance.any() for state in flow])
    found: Metrics = {"edge_steps": int(edge.sum()), "diverged": len(descent) < steps}
    if len(descent) < steps:
        return found | dict.fromkeys(MEASURED)
    # The average of two successive iterates is free of most of the oscillation, whose sign alternates.
    means = [(a + b) / 2 for a, b in zip([draw.start, *descent], descent, strict=False)]
    predicted, measured = draw.gap(flow[-1].weights), draw.gap(means[-1])
    spread = np.array([np.trace(state.covariance) / step_size(t + 1) for t, state in enumerate(flow)])
    losses = np.array([draw.loss.value(state.weights) for state in flow]) + spread
    own = np.array([draw.loss.value(w) for w in descent])
    at = np.unique(np.geomspace(1, steps, POINTS).round().astype(int)) - 1
    return found | {
        "predicted": predicted,
        "measured": measured,
        "departure": abs(measured / predicted - 1),
        "free_ratio": draw.free_gap / measured if measured else None,
        "loss_ratio": float(own[edge].sum() / losses[edge].sum()) if edge.any() else None,
        "predicted_gaps": [draw.gap(flow[t].weights) for t in at],
        "predicted_errors": [draw.error(flow[t].weights) for t in at],
        "measured_gaps": [draw.gap(means[t]) for t in at],
        "measured_errors": [draw.error(means[t]) for t in at],
    }


def _instance(factors: str, seed: int) -> Instance:
    """Return a draw with data of mean square one."""
    drawn = matrix_sensing.sample((6, 5), 1, 18, seed=seed) if factors == MATRICES else None
    drawn = drawn or sparse_regression.sample(12, 2, 8, seed=seed)
    size, problem = float(np.sqrt(np.mean(drawn.problem.data**2))), drawn.problem
    assert drawn.truth is not None
    return Instance(Problem(problem.measurement, problem.data / size, problem.parametrization), drawn.truth / size)


class _Draw:
    """One draw: its loss, its certified flattest value, a start, and where the gradient flow leads from there."""

    def __init__(self, instance: Instance, seed: int) -> None:
        self.instance, problem = instance, instance.problem
        self.flattest = Flattest.from_problem(problem)
        self.columns = WIDTH if min(problem.shape) > 1 else 1
        self.loss = BilinearLoss.from_problem(problem, self.columns)
        rng = np.random.default_rng(seed)
        scales = [s / np.sqrt(n if self.columns > 1 else 1) for s, n in zip(START, problem.shape, strict=True)]
        self.start = np.concatenate([s * rng.standard_normal(n) for s, n in zip(scales, self.loss.sizes, strict=True)])
        w = self.start
        for steps, size in FLOW_STEPS:
            for state in central_flow(self.loss, w, lambda _, size=size: size, steps, stable=True):  # type: ignore[misc]
                w = state.weights
        self.free_gap, self.free_sharpness = self.gap(w), self._sharpness(w)
        padded = [np.pad(F, ((0, 0), (0, self.columns)))[:, : self.columns] for F in self.flattest.solution.factors]
        self.flat_sharpness = self._sharpness(np.concatenate([F.ravel() for F in padded]))

    def factors(self, w: Array) -> tuple[Array, ...]:
        """Return the weights as the factors of the problem."""
        return tuple(part.reshape(-1, self.columns) for part in np.split(w, self.loss.sizes[:1]))

    def gap(self, w: Array) -> float:
        """Return the certified flatness gap of weights."""
        return self.flattest.gap(self.factors(w))

    def error(self, w: Array) -> float:
        """Return the relative error of weights against the truth."""
        matrix = self.instance.problem.parametrization.matrix(self.factors(w))
        assert self.instance.truth is not None
        return relative_distance(matrix, self.instance.truth)

    def _sharpness(self, w: Array) -> float:
        return float(np.linalg.eigvalsh(self.loss.hessian(w))[-1])


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about slopes and losses after the slowest warm-up, and about faster ones."""
    slowest = max(evidence.levels("warmup"), default=0)
    return [claim for factors in (MATRICES, VECTORS) for claim in _of_family(evidence.select(factors=factors), slowest)]


def _of_family(evidence: Evidence, slowest: int) -> Iterator[Claim]:
    factors = (evidence.levels("factors") or ["products"])[0]
    start = f"Products of {factors}:"
    slow = evidence.select(warmup=slowest)
    both = f"warm-up of {slowest} steps, 95 % together for both limits"
    slopes = _slopes(slow)
    for limit in ({"above": 0.9}, {"below": 1.1}):
        text = f"{start} the slope of the measured on the predicted flatness gap over step sizes"
        yield Claim.from_mean(f"{text}, {both}", slopes, level=BOTH, **limit)
    low, high = interval(slopes, BOTH)
    text = f"{start} the distance between 1 and the interval of the slope, 0 if it contains 1"
    yield Claim.exact(text, max(low - 1, 1 - high, 0), below=0) if len(slopes) > 1 else Claim.open(text, below=0)
    for limit in ({"above": 0.9}, {"below": 1.1}):
        text = f"{start} the measured over the predicted loss, summed over the steps at the edge"
        yield Claim.from_mean(f"{text}, {both}", _by_draw(slow, "loss_ratio"), level=BOTH, **limit)
    text = f"{start} the gap of the gradient flow over the measured one, in the geometric mean over draws"
    logs = np.log([value for value in _by_draw(slow, "free_ratio") if value > 0])
    estimate, low, high = np.exp([logs.mean(), *interval(logs)]) if len(logs) else (np.nan, 0.0, np.inf)
    yield Claim(text, float(estimate), float(low), float(high), above=1.2)
    fastest = min((warmup for warmup in evidence.levels("warmup") if warmup), default=slowest)
    changes = np.diff(evidence.pairs("departure", "warmup", fastest, slowest))[:, 0]
    text = f"{start} by how much the relative departure from the prediction is larger after the slowest warm-up"
    yield Claim.from_mean(f"{text} than after the fastest", changes, below=0.0)
    constant = evidence.select(warmup=0)
    wrong = [r.metrics["diverged"] or r.metrics["departure"] >= 0.1 for r in constant.results]
    text = f"{start} the share of runs with a constant step size that diverge or depart by a tenth"
    yield Claim.from_share(text, wrong, above=0.5)


def _slopes(evidence: Evidence) -> list[float]:
    """Return for each draw the slope of a line through the measured against the predicted gaps of its step sizes."""
    slopes = []
    for draw in evidence.draws().values():
        x, y = (draw.values(metric).astype(float) for metric in ("predicted", "measured"))
        if len(x) > 1:
            slopes.append(float(np.polyfit(x, y, 1)[0]))
    return slopes


def _by_draw(evidence: Evidence, metric: str) -> list[float]:
    """Return the mean of a metric over the step sizes of each draw."""
    found = [draw.values(metric) for draw in evidence.draws().values()]
    return [float(np.mean(values)) for values in found if len(values)]


def show(evidence: Evidence) -> list[Display]:
    """Return gaps, departures, the courses of one draw, and the loss around the ends of its trainings."""
    slowest = max(evidence.levels("warmup"), default=0)
    labels = {factors: f"products of {factors}" for factors in (MATRICES, VECTORS)}
    return [
        ScatterDisplay.from_evidence(
            evidence.select(warmup=slowest),
            "gaps",
            f"Flatness gap of gradient descent against the central flow's, warm-up of {slowest} steps",
            x="predicted",
            y="measured",
            by="factors",
            x_log=True,
            y_log=True,
            diagonal=True,
            labels=labels,
            x_label="flatness gap predicted by the central flow",
            y_label="flatness gap of gradient descent",
            caption="Each point is a draw at one step size.",
        ),
        CurvesDisplay.from_evidence(
            evidence,
            "departure",
            "Departure of gradient descent from its central flow",
            x="warmup",
            y="departure",
            by="factors",
            centre="median",
            y_log=True,
            labels=labels,
            x_label="steps of warm-up (0: constant step size)",
            y_label="|measured / predicted gap − 1|",
        ),
        *_of_one_draw(evidence.select(factors=MATRICES, warmup=slowest)),
    ]


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return the courses of the first draw at its step sizes, and slices of its loss."""
    if not len(evidence):
        return []
    seed = min(evidence.draws())
    draw = _Draw(_instance(MATRICES, seed), seed)
    courses: list[Course] = []
    own = [result for result in evidence.draws()[seed].results if not result.metrics["diverged"]]
    for kind, prefix in (("gradient descent", "measured"), ("central flow", "predicted")):
        for result in own:
            label = f"{kind}, {result.trial.parameters['share']:.0%}"
            axes = [result.metrics[f"{prefix}_gaps"], result.metrics[f"{prefix}_errors"]]
            courses.append(Course(label, len(courses), np.column_stack(axes)))
    factors = [np.pad(F, ((0, 0), (0, WIDTH)))[:, :WIDTH] for F in draw.flattest.solution.factors]
    flattest = np.concatenate([F.ravel() for F in factors])
    size = 2 / draw.flat_sharpness
    ends = {
        "certified flattest": flattest,
        "central flow": _end(draw, lambda t: size * min(1.0, 0.2 + 0.8 * t / 500)),
        "gradient flow": _end(draw, lambda t: 0.1 if t < 500 else 1.0, stable=True),
    }
    return training_displays(
        courses,
        "One draw: gradient descent and its central flow",
        recipe=evidence.name,
        optima=[draw.error(flattest)],
        places=[Slice.from_loss(name, draw.loss, w, REACH) for name, w in ends.items()],
        caption="Steps are 2/λ, with λ from the flattest solution's sharpness (0%) to the gradient flow's (100%).",
        around="The central flow has the step size at which the certified flattest solution is just stable.",
    )


def _end(draw: _Draw, step_size: Callable[[int], float], *, stable: bool = False) -> Array:
    """Return the weights after 750 steps of a flow."""
    *_, last = central_flow(draw.loss, draw.start, step_size, 750, stable=stable)
    return last.weights


_SHARES = (0.2, 0.45, 0.7)
RECIPE = Recipe(
    "central-flow",
    __doc__,
    follow,
    grid=[{"factors": (MATRICES, VECTORS), "warmup": (0, 500, 1500, 4000), "share": _SHARES}],
    repetitions=10,
    quick={
        "grid": [{"factors": (MATRICES, VECTORS), "warmup": (0, 250, 1000), "share": (0.25, 0.7)}],
        "repetitions": 2,
    },
    paired=("warmup", "share"),
    judge=judge,
    show=show,
)

"""Label noise, the trace and the rank of features, in two-layer networks of many dimensions.

The network ``f(x) = Σ_j φ(θ_jᵀ x)`` fits n points of d > n dimensions, with squared error and fresh Gaussian noise on
the labels in every step of gradient descent. On the set of zero loss the trace is ``(2/n) Σ_i |x_i|² Σ_j φ'(z_ij)²``
with ``z_ij = θ_jᵀ x_i``, and the z_ij are free except for ``Σ_j φ(z_ij) = y_i``. As a function of ``φ(z)``, ``φ'(z)²``
has the second derivative ``2 φ'''/φ'``. So if φ' and φ''' are positive, the trace is least where all neurons agree on
the data, and only there: the least trace is known exactly, and the features have rank one. Gatmiry et al. 2024 (arXiv
2410.16401) prove that label noise leads there. Settings, limits and the controls are ours.

Claim: with label noise the trace comes within 1 % of its least value, and the effective rank of the features, the
exponential of the entropy of their singular values, falls to 1.1. The trace arrives first: within a tenth of the steps
it is within 5 %, where the effective rank is still above 1.5. Without noise the rank stays above 2. An activation with
``φ''' < 0`` near zero (tanh with a slope) has no rank-one features: its trace falls below that of equal neurons, and
the rank stays above 2.

Refuted by: a trace or a rank that stay higher, a rank that arrives with the trace, or rank-one features in a control.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay, Display
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters

__all__ = ["ACTIVATIONS", "RECIPE", "Networks", "effective_rank", "judge", "seek", "show"]

#: Each activation with its derivative.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "cubic": (lambda z: z + z**3 / 3, lambda z: 1 + z**2),
    "sinh": (np.sinh, np.cosh),
    "tanh": (lambda z: 0.2 * z + np.tanh(z), lambda z: 1.2 - np.tanh(z) ** 2),
}
#: Those with a positive third derivative, and the control.
POSITIVE, CONTROL = ("cubic", "sinh"), "tanh"
#: Step size of gradient descent.
STEP = 0.02
#: Steps without noise before the start and before a measurement: QUIET at a time, until losses are at most FITTED, at
#: most MOST times.
QUIET, FITTED, MOST = 1000, 1e-6, 20
#: Standard deviation of the noise, and number of steps with it and distance in weights of slices of the loss.
LABEL_NOISE, SHOWN_STEPS, REACH = 1.0, 20_000, 0.5
#: Standard deviation of the weights at the start, and of the labels in units of √neurons.
START, LABELS = 0.5, 0.5


@dataclass(frozen=True, eq=False)
class Networks:
    """Several data sets of one size, shapes (b, n, d) and (b, n), for networks of one activation and width."""

    inputs: Array
    labels: Array
    width: int
    activation: str

    @classmethod
    def sample(cls, draws: int, n: int, d: int, width: int, activation: str, seed: int) -> tuple["Networks", Array]:
        """Draw data, and weights of shape (b, width, d) to start from."""
        rows = []
        for draw in range(draws):
            rng = np.random.default_rng(seed + draw)
            data = rng.standard_normal((n, d)) / np.sqrt(d), LABELS * np.sqrt(width) * rng.standard_normal(n)
            rows.append((*data, START * rng.standard_normal((width, d))))
        x, y, weights = (np.stack(part) for part in zip(*rows, strict=True))
        return cls(x, y, width, activation), weights

    def descended(self, weights: Array, steps: int, noise: float = 0.0, rng: Any = None) -> Array:
        """Return the weights after gradient descent; ``noise`` is the standard deviation of the labels' noise."""
        function, slope = ACTIVATIONS[self.activation]
        transposed, rate = np.swapaxes(self.inputs, 1, 2).copy(), 2 * STEP / self.inputs.shape[1]
        for _ in range(steps):
            z = weights @ transposed
            residual = function(z).sum(axis=1) - self.labels
            if noise:
                residual += noise * rng.standard_normal(residual.shape)
            weights = weights - rate * ((slope(z) * residual[:, None]) @ self.inputs)
        if not np.isfinite(weights).all():
            raise InputError("gradient descent with label noise diverged, expected a smaller step size")
        return weights

    def fitted(self, weights: Array) -> Array:
        """Return the weights after gradient descent without noise, to zero loss."""
        for _ in range(MOST):
            weights = self.descended(weights, QUIET)
            if self.loss(weights).max() <= FITTED:
                break
        return weights

    def loss(self, weights: Array) -> Array:
        """Return the mean squared error of each network."""
        z = weights @ np.swapaxes(self.inputs, 1, 2)
        return np.asarray(((ACTIVATIONS[self.activation][0](z).sum(axis=1) - self.labels) ** 2).mean(axis=1))

    def trace(self, weights: Array) -> Array:
        """Return the Gauss-Newton trace of each network, the trace of the Hessian where the loss is zero."""
        slopes = ACTIVATIONS[self.activation][1](weights @ np.swapaxes(self.inputs, 1, 2))
        sizes = (self.inputs**2).sum(axis=2)
        return np.asarray(2 / self.labels.shape[1] * (sizes * (slopes**2).sum(axis=1)).sum(axis=1))

    def equal_trace(self) -> Array:
        """Return the trace of the networks that fit with equal neurons: the least one if φ''' > 0."""
        slopes = self.width * ACTIVATIONS[self.activation][1](self._equal()) ** 2
        return np.asarray(2 / self.labels.shape[1] * ((self.inputs**2).sum(axis=2) * slopes).sum(axis=1))

    def equal_neurons(self) -> Array:
        """Return the weights of least norm of these networks, shape (b, width, d)."""
        neuron = np.linalg.pinv(self.inputs) @ self._equal()[..., None]
        return np.repeat(np.swapaxes(neuron, 1, 2), self.width, axis=1)

    def _equal(self) -> Array:
        """Return the z, shape (b, n), with which equal neurons fit."""
        function = ACTIVATIONS[self.activation][0]
        find = np.vectorize(lambda y: brentq(lambda t: float(function(t)) - y, -60.0, 60.0))
        return np.asarray(find(self.labels / self.width))

    def value(self, flat: Array) -> float:
        """Return the loss of one network, whose weights are a vector."""
        return float(self.loss(flat.reshape(1, self.width, -1))[0])

    def gradient(self, flat: Array) -> Array:
        """Return the gradient of this loss, from a step of gradient descent."""
        return (flat - self.descended(flat.reshape(1, self.width, -1), 1).ravel()) / STEP

    def ranks(self, weights: Array) -> Array:
        """Return the effective rank of the weights of each network, projected on the span of its data."""
        spans = np.linalg.pinv(self.inputs) @ self.inputs
        return np.array([effective_rank(W) for W in weights @ spans])


def effective_rank(matrix: Array) -> float:
    """Return the exponential of the entropy of the singular values, divided by their sum.

    Examples
    --------
    >>> round(effective_rank(np.eye(3)), 6), round(effective_rank(np.ones((3, 3))), 6)
    (3.0, 1.0)
    """
    values = np.linalg.svd(matrix, compute_uv=False)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def seek(parameters: Parameters, seed: int) -> Metrics:
    """Return trace and effective rank of networks along training, as lists over draws and measurements."""
    draws, n, d, width, steps = (int(parameters[name]) for name in ("draws", "n", "d", "width", "steps"))
    networks, weights = Networks.sample(draws, n, d, width, str(parameters["activation"]), seed)
    rng, least = np.random.default_rng([seed, 1]), networks.equal_trace()
    weights = networks.fitted(weights)
    found: dict[str, list[float]] = {name: [] for name in ("step", "excess", "rank", "loss")}
    done = 0
    for share in (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0):
        weights = networks.descended(weights, round(share * steps) - done, float(parameters["noise"]), rng)
        done = round(share * steps)
        quiet = networks.fitted(weights)
        found["step"] += [done] * draws
        found["excess"] += list(networks.trace(quiet) / least - 1)
        found["rank"] += list(networks.ranks(quiet))
        found["loss"] += list(networks.loss(quiet))
    return dict(found)


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about the last measurement and that at a tenth of the steps."""

    def values(activation: str, noisy: bool, metric: str, share: float = 1.0) -> list[float]:
        found = []
        for result in evidence.select(activation=activation).unrolled("step").results:
            parameters = result.trial.parameters
            if bool(parameters["noise"]) == noisy and parameters["step"] == round(share * float(parameters["steps"])):
                found.append(float(result.metrics[metric]))
        return found

    claims = [Claim.from_largest("The largest loss at a measurement", evidence.values("loss"), below=1e-4)]
    for name in POSITIVE:
        for text, metric, share, limit in (
            ("the excess of the trace over its least value at the end", "excess", 1.0, {"below": 0.01}),
            ("the effective rank at the end", "rank", 1.0, {"below": 1.1}),
            ("the excess of the trace after a tenth of the steps", "excess", 0.1, {"below": 0.05}),
            ("the effective rank after a tenth of the steps", "rank", 0.1, {"above": 1.5}),
        ):
            found = values(name, True, metric, share)
            claims.append(Claim.from_mean(f"{name}: {text}, in the mean over draws", found, **limit))
        text = f"{name}, without noise: the effective rank at the end, in the mean over draws"
        claims.append(Claim.from_mean(text, values(name, False, "rank"), above=2.0))
    for text, metric, limit in (
        ("the effective rank at the end", "rank", {"above": 2.0}),
        ("the excess of the trace over that of equal neurons at the end", "excess", {"below": 0.0}),
    ):
        found = values(CONTROL, True, metric)
        claims.append(Claim.from_mean(f"{CONTROL}, the control: {text}, in the mean over draws", found, **limit))
    return claims


def show(evidence: Evidence) -> list[Display]:
    """Return the effective rank and the excess of the trace along training."""
    rows = evidence.unrolled("step")
    moved = rows.select(step=[step for step in rows.levels("step") if step])
    noisy = moved.select(noise=[noise for noise in rows.levels("noise") if noise])
    axes: dict[str, Any] = {"x": "step", "x_log": True, "centre": "median", "x_label": "steps with label noise"}
    return [
        CurvesDisplay.from_evidence(
            moved,
            "rank",
            "Effective rank of the features along training with label noise",
            y="rank",
            by=("activation", "noise"),
            y_log=True,
            y_label="effective rank",
            **axes,
        ),
        CurvesDisplay.from_evidence(
            noisy.select(activation=list(POSITIVE)),
            "trace",
            "Excess of the trace over its least value",
            y="excess",
            by="activation",
            y_log=True,
            y_label="trace / least trace − 1",
            **axes,
        ),
        *_of_one_draw(evidence.select(activation=list(POSITIVE))),
    ]


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return the courses of the first draw, and the loss around three of its networks."""
    courses = []
    for place, result in enumerate(evidence.results):
        at = result.trial.parameters
        axes = [np.reshape(result.metrics[name], (-1, int(at["draws"])))[:, 0] for name in ("excess", "rank")]
        courses.append(Course(f"{at['activation']}{'' if at['noise'] else ', no noise'}", place, np.column_stack(axes)))
    if not courses:
        return []
    at, seed = evidence.results[0].trial.parameters, evidence.results[0].trial.seed
    n, d, width = (int(at[name]) for name in ("n", "d", "width"))
    networks, start = Networks.sample(1, n, d, width, POSITIVE[0], seed)
    fitted = networks.fitted(start)
    noisy = networks.fitted(networks.descended(fitted, SHOWN_STEPS, LABEL_NOISE, np.random.default_rng([seed, 1])))
    ends = {"equal neurons": networks.equal_neurons(), "without noise": fitted, "with label noise": noisy}
    return training_displays(
        courses,
        "One draw: trace and rank of the features",
        recipe=evidence.name,
        optima=[1.0],
        star="equal neurons",
        places=[Slice.from_loss(name, networks, W.ravel(), REACH) for name, W in ends.items()],
        gap="trace / least trace − 1",
        error="effective rank",
        caption="Equal neurons have the least trace, and features of rank one.",
        around=f"The activation is {POSITIVE[0]}; label noise acts for {SHOWN_STEPS} steps.",
    )


_SIZES: dict[str, list[int]] = {"n": [5], "d": [8], "width": [6]}
RECIPE = Recipe(
    "label-noise",
    __doc__,
    seek,
    grid=[
        {"activation": list(ACTIVATIONS), "noise": [LABEL_NOISE], **_SIZES, "steps": [300000], "draws": [12]},
        {"activation": list(POSITIVE), "noise": [0.0], **_SIZES, "steps": [20000], "draws": [12]},
    ],
    repetitions=1,
    quick={
        "grid": [{"activation": list(ACTIVATIONS), "noise": [LABEL_NOISE], **_SIZES, "steps": [20000], "draws": [4]}]
    },
    consecutive=True,
    judge=judge,
    show=show,
)

"""Errors of ReLU networks against the number of samples, in one to five dimensions: flatness beside weight decay.

Networks with one hidden layer and biases learn four ReLU neurons from noisy values at random points of the unit ball.
Gradient descent with a large step size η ends where the largest Hessian eigenvalue is about ``2/η`` or less: flat.
Weight decay has the smaller of the two step sizes and a strength proportional to ``1/√n``. Liang et al. 2025 (arXiv
2506.20779) prove that errors of flat minima can decrease slowly in high dimension, because neurons that are active on
few inputs are flat and fit the noise; those of weight decay do not suffer. Settings, exponents and limits are ours.

Claim: the error of weight decay falls at least like ``n^(-1/2)`` in every dimension. With the large step size the
exponent worsens by at least 0.05 for each dimension, and in five dimensions at the largest n its error is at least
twice that of weight decay, in one dimension at most twice. There its neurons are active on fewer inputs, by a share of
0.1. All runs without decay end with a largest eigenvalue of at most 2.2/η. For the large step, the share of runs above
it is at most 0.05; its exponents are compared with the limit of weight decay, and its claims are judged again without
these runs.

Refuted by: slower rates of weight decay, exponents of the large step size that do not depend on the dimension, errors
that do not differ in five dimensions, or neurons that are active as often.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import stdtrit
from scipy.stats import linregress

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.power_law import claim_of_ratio
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters
from flatmin.lab.runs.store import Result

__all__ = ["RECIPE", "exponents", "fit", "judge", "learn", "sharpness", "show"]

#: Each method with its step size and its strength of weight decay, the latter times √n.
METHODS = {"large step": (0.4, 0.0), "step": (0.2, 0.0), "weight decay": (0.2, 0.1)}
LARGE, MEDIUM, DECAY = METHODS
#: Neurons of the teacher, standard deviation of the noise in units of the teacher's values, and points for the error.
TEACHER, NOISE, POINTS = 4, 0.5, 2000
#: A run counts as stable up to this largest Hessian eigenvalue, in units of 2/η; the words for such runs.
STABLE, ONLY_STABLE = 1.1, "stable runs alone"
#: Size of the weights at the start: the root of the sum of the squares of all last weights.
START = 2.0


def learn(parameters: Parameters, seed: int) -> Metrics:
    """Return error, loss, sharpness and activity of one network."""
    d, n, width, steps = (int(parameters[name]) for name in ("d", "n", "width", "steps"))
    step, decay = METHODS[str(parameters["method"])]
    rng = np.random.default_rng(seed)
    W, b = rng.standard_normal((TEACHER, d)), rng.uniform(-0.5, 0.5, TEACHER)
    W /= np.linalg.norm(W, axis=1, keepdims=True)

    def teacher(x: Array) -> Array:
        return np.asarray(np.maximum(x @ W.T - b, 0) @ np.resize([1.0, -1.0], TEACHER))

    fresh = _ball(POINTS, d, rng)
    size = teacher(fresh).std()
    rng = np.random.default_rng([seed, n])
    x = _ball(n, d, rng)
    y = teacher(x) / size + NOISE * rng.standard_normal(n)
    first = rng.standard_normal((width, d + 1)) / np.sqrt(d + 1), rng.standard_normal(width)
    V, a = fit(
        x, y, (START / np.sqrt(width) * first[0], START / np.sqrt(width) * first[1]), step, decay / n**0.5, steps
    )
    if not (np.isfinite(V).all() and np.isfinite(a).all()):
        return {"error": None, "loss": None, "edge": None, "active": None, "diverged": True}
    sizes = np.abs(a) * np.linalg.norm(V, axis=1)
    output = np.maximum(_with_ones(fresh) @ V.T, 0) @ a
    inner = _with_ones(x) @ V.T
    return {
        "error": float(np.mean((output - teacher(fresh) / size) ** 2)),
        "loss": float(np.mean((np.maximum(inner, 0) @ a - y) ** 2)),
        "edge": float(sharpness(x, y, V, a) * step / 2),
        "active": float((inner > 0).mean(axis=0) @ sizes / sizes.sum()) if sizes.any() else None,
        "diverged": False,
    }


def fit(x: Array, y: Array, start: tuple[Array, Array], step: float, decay: float, steps: int) -> tuple[Array, Array]:
    """Return the weights (V, a) of ``aᵀ relu(V (x, 1))`` after gradient descent in single precision.

    The objective is ``(1/n) Σ (output − y)² + (decay/2) (‖V‖² + ‖a‖²)``.
    """
    X, targets = _with_ones(x).astype(np.float32), y.astype(np.float32)
    V, a = (part.astype(np.float32) for part in start)
    rate, shrunk = np.float32(2 * step / len(y)), np.float32(1 - step * decay)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            hidden = np.maximum(X @ V.T, 0)
            residual = rate * (hidden @ a - targets)
            moved = ((hidden > 0) * residual[:, None]).T @ X
            V, a = shrunk * V - a[:, None] * moved, shrunk * a - hidden.T @ residual
    return V.astype(float), a.astype(float)


def sharpness(x: Array, y: Array, V: Array, a: Array) -> float:
    """Return the largest eigenvalue of the Hessian of the loss, which is exact because ReLU has no curvature."""
    X = _with_ones(x)
    inner = X @ V.T
    active = (inner > 0).astype(float)
    n, (width, columns) = len(y), V.shape
    J = np.hstack([np.maximum(inner, 0), ((active * a)[:, :, None] * X[:, None]).reshape(n, -1)])
    mixed = 2 / n * (active * (np.maximum(inner, 0) @ a - y)[:, None]).T @ X
    cross = (np.eye(width)[:, :, None] * mixed[:, None]).reshape(width, width * columns)
    # Power iterations on H + c I with c of the size of its most negative eigenvalue find the largest one.
    shift = float(np.linalg.norm(mixed, axis=1).max())
    v = np.random.default_rng(0).standard_normal(width * (1 + columns))
    for _ in range(200):
        v /= max(np.linalg.norm(v), np.finfo(float).tiny)
        v = 2 / n * J.T @ (J @ v) + np.concatenate([cross @ v[width:], cross.T @ v[:width]]) + shift * v
    return float(np.linalg.norm(v) - shift)


def _ball(n: int, d: int, rng: np.random.Generator) -> Array:
    """Return uniform points of the unit ball."""
    x = rng.standard_normal((n, d))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True) * rng.random((n, 1)) ** (1 / d))


def _with_ones(x: Array) -> Array:
    return np.hstack([x, np.ones((len(x), 1))])


def exponents(evidence: Evidence) -> list[float]:
    """Return for each draw the slope of log error in log n, over the n of runs that did not diverge."""
    draws: dict[int, list[tuple[float, float]]] = {}
    for result in evidence.results:
        if not result.metrics["diverged"]:
            point = np.log(float(result.trial.parameters["n"])), np.log(result.metrics["error"])
            draws.setdefault(result.trial.seed, []).append(point)
    return [float(linregress(*np.transpose(points)).slope) for points in draws.values() if len(points) > 1]


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about sharpness, exponents, errors and activity, for all runs and for those that are stable."""
    edges = [value for value in evidence.select(method=[LARGE, MEDIUM]).values("edge") if value is not None]
    claims = [Claim.from_largest("Without decay: the largest eigenvalue of the Hessian over 2/η", edges, below=STABLE)]
    unstable = [bool(edge > STABLE) for edge in evidence.select(method=LARGE).values("edge")]
    claims.append(Claim.from_share(f"Large step: the share of runs above {2 * STABLE:g}/η", unstable, below=0.05))
    stable = Evidence(evidence.experiment, [result for result in evidence.results if _is_stable(result)])
    for words, part in (
        ("Weight decay", evidence.select(method=DECAY)),
        ("Large step", evidence.select(method=LARGE)),
        (f"Large step, {ONLY_STABLE}", stable.select(method=LARGE)),
    ):
        claims += _of_exponents(part, words, {"below": 0.05} if words == "Weight decay" else {"above": 0.05})
    largest = max(evidence.levels("n"), default=0)
    claims += _of_errors(evidence.select(n=largest), "") + _of_errors(stable.select(n=largest), f", {ONLY_STABLE}")
    differences = -np.diff(evidence.select(n=largest, d=5).pairs("active", "method", DECAY, LARGE))[:, 0]
    text = "d = 5, largest n: by which share of inputs neurons of weight decay are active more often"
    return [*claims, Claim.from_mean(f"{text} than those of the large step", differences, above=0.1)]


def _is_stable(result: Result) -> bool:
    """Return whether the method does not rely on the sharpness of its end, or the end is as flat as is claimed."""
    edge = result.metrics["edge"]
    return result.trial.parameters["method"] != LARGE or (edge is not None and edge <= STABLE)


def _of_exponents(evidence: Evidence, words: str, limit: dict[str, float]) -> Iterator[Claim]:
    """Give claims about the exponents of one method in each dimension, and about their rise with the dimension."""
    found = {d: exponents(evidence.select(d=d)) for d in evidence.levels("d")}
    for d, values in found.items():
        text = f"{words}, d = {d}: exponent of the error in n, 95 % together over dimensions"
        yield Claim.from_mean(text, values, level=shared_level(len(found)), below=-0.5)
    points = [(d, value) for d, values in found.items() for value in values]
    text = f"{words}: by how much the exponent of the error in n rises with each dimension"
    if len({d for d, _ in points}) < 2 or len(points) < 3:
        yield Claim.open(text, **limit)
        return
    line = linregress(*np.transpose(points))
    half = line.stderr * stdtrit(len(points) - 2, 0.975)
    yield Claim(text, float(line.slope), float(line.slope - half), float(line.slope + half), **limit)


def _of_errors(evidence: Evidence, which: str) -> list[Claim]:
    """Return claims about the errors of both methods in five dimensions and in one."""
    claims = []
    for d, limit in ((5, {"above": 2.0}), (1, {"below": 2.0})):
        pairs = evidence.select(d=d).pairs("error", "method", DECAY, LARGE)
        text = (
            f"d = {d}, largest n{which}: the error of the large step over that of weight decay, in the geometric mean"
        )
        claims.append(claim_of_ratio(text, pairs[:, 1] / pairs[:, 0], **limit))
    return claims


def show(evidence: Evidence) -> list[Display]:
    """Return the error against n in the lowest and the highest dimension, and the activity of neurons."""
    displays: list[Display] = []
    labels = {method: method for method in METHODS}
    for d in dict.fromkeys(evidence.levels("d")[:1] + evidence.levels("d")[-1:]):
        displays.append(
            CurvesDisplay.from_evidence(
                evidence.select(d=d),
                f"error-{d}",
                f"Error of ReLU networks against the number of samples, d = {d}",
                x="n",
                y="error",
                by="method",
                x_log=True,
                y_log=True,
                labels=labels,
                x_label="samples n",
                y_label="mean squared error",
            )
        )
    largest = evidence.select(n=max(evidence.levels("n"), default=0))
    title = "Share of inputs on which a neuron is active, at the largest n"
    axes = {"x": "d", "y": "active", "x_label": "dimension d", "y_label": "share of inputs, weighted by size"}
    displays.append(CurvesDisplay.from_evidence(largest, "active", title, by="method", labels=labels, **axes))  # type: ignore[arg-type]
    return displays


_METHODS = tuple(METHODS)
RECIPE = Recipe(
    "relu-dimension",
    __doc__,
    learn,
    grid=[
        {
            "method": _METHODS,
            "d": (1, 2, 3, 4, 5),
            "n": (64, 128, 256, 512, 1024),
            "width": (100,),
            "steps": (4000,),
        },
        {"method": (LARGE, DECAY), "d": (1, 2, 3, 4, 5), "n": (2048,), "width": (100,), "steps": (4000,)},
    ],
    repetitions=20,
    quick={
        "grid": [{"method": _METHODS, "d": (1, 5), "n": (64, 256), "width": (40,), "steps": (1000,)}],
        "repetitions": 2,
    },
    paired=("method", "n"),
    judge=judge,
    show=show,
)

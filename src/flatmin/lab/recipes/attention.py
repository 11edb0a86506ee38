"""The norm towards which softmax attention leans: key and query trained apart, and their product.

One head classifies sequences whose optimal token has the score 1 and whose other tokens have the score 0. Training is
normalized gradient descent, which follows the gradient flow of the exponential loss at another speed. A margin is
compared with the largest one of its norm: for the nuclear norm a certified optimum, from the dual vector of
`flat_minimum`, and for the Frobenius norm a nonnegative least-squares problem. Sheen, Chen, Wang, Zhou 2024 (arXiv
2403.08699) prove the first lean for diagonal weights and for aligned ones; general starts and limits are ours. The
text of the later work arXiv 2602.11137, which conjectures a lean to the nuclear norm, could not be read; the claim that
is tested here is ours, not its authors'.

Claim: trained apart from a small start, key and query approach the largest margin of the nuclear norm. In the mean over
draws the normalized margin gap ends below 0.02, it decreases by at least half in the last decade of steps, and nine of
ten draws end below 0.05. The product trained directly stays away from this margin by at least 0.05, and approaches the
largest margin of the Frobenius norm within 0.01. Smaller starts end no farther from the nuclear margin.

Refuted by: larger gaps of key and query, gaps that stop decreasing, a product that reaches the nuclear margin, or
larger gaps from smaller starts.
"""

from collections.abc import Iterator

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._attention_margin import (
    AttentionData,
    largest_frobenius_margin,
    largest_nuclear_margin,
    trained,
)
from flatmin.lab.runs.experiment import Metrics, Parameters

__all__ = ["RECIPE", "judge", "lean", "show"]

#: The trained weights, with the standard deviation of their start; 0 stands for the product, which starts at zero.
PRODUCT, SMALL, SMALLER = 0.0, 0.1, 0.001
WORDS = {SMALL: "key and query", SMALLER: "key and query, smaller start", PRODUCT: "product"}
#: Length of a step, in units of the weights. The first steps from a start of 0.1 are a fifth of its size.
STEP = 0.02
#: Number of recorded steps for each factor of ten.
PER_DECADE = 4


def lean(parameters: Parameters, seed: int) -> Metrics:
    """Return the normalized margin gaps along one training."""
    data = _data(parameters, seed)
    nuclear, frobenius = largest_nuclear_margin(data), largest_frobenius_margin(data)
    seen = _recorded(data, parameters, seed)
    gaps = [nuclear.excess(data, W, "nuc") for _, W in seen]
    return {
        "certified": nuclear.gap,
        "finished": seen[-1][0] == parameters["steps"],
        "nuclear": gaps[-1],
        "frobenius": frobenius.excess(data, seen[-1][1], "fro"),
        "decade": gaps[-1] / gaps[-1 - PER_DECADE] if len(gaps) > PER_DECADE else None,
        "step": [t for t, _ in seen],
        "gap": gaps,
    }


def _data(parameters: Parameters, seed: int) -> AttentionData:
    n, tokens, d = (int(parameters[name]) for name in ("n", "tokens", "d"))
    return AttentionData.sample(n, tokens, d, seed)


def _recorded(data: AttentionData, parameters: Parameters, seed: int) -> list[tuple[int, Array]]:
    """Return the matrices W along one training with the numbers of their steps, which are spaced geometrically."""
    steps = int(parameters["steps"])
    decades = int(np.log10(steps / 10) * PER_DECADE)
    at = {round(steps / 10 ** (i / PER_DECADE)) for i in range(decades + 1)}
    return [(t, W) for t, W in enumerate(trained(data, float(parameters["start"]), STEP, steps, seed), 1) if t in at]


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims for sequences of each length, and one about the certificates."""
    text = "The largest relative gap between the nuclear norm and its certified lower bound"
    claims = [Claim.from_largest(text, evidence.values("certified"), below=1e-6)]
    for tokens in (2, 4):
        claims += _of_length(evidence.select(tokens=tokens), f"Of {tokens} tokens:")
    return claims


def _of_length(evidence: Evidence, start: str) -> Iterator[Claim]:
    apart, product = evidence.select(start=SMALL), evidence.select(start=PRODUCT)
    ends = apart.values("nuclear")
    text = f"{start} the normalized margin gap of key and query in the nuclear norm"
    yield Claim.from_mean(f"{text}, in the mean over draws", ends, below=0.02)
    yield Claim.from_share(f"{text}: the share of draws below 0.05", list(ends < 0.05), above=0.9)
    decade = [ratio for ratio in apart.values("decade") if ratio > 0]
    text = f"{start} by which factor the gap of key and query changes in the last ten-fold of steps, in the mean"
    yield Claim.from_mean(text, decade, below=0.5)
    text = f"{start} the normalized margin gap of the product in the nuclear norm, in the mean over draws"
    yield Claim.from_mean(text, product.values("nuclear"), above=0.05)
    text = f"{start} the normalized margin gap of the product in the Frobenius norm, in the mean over draws"
    yield Claim.from_mean(text, product.values("frobenius"), below=0.01)
    text = f"{start} the normalized margin gap of key and query in the Frobenius norm, in the mean over draws"
    yield Claim.from_mean(text, apart.values("frobenius"), above=0.05)
    changes = np.diff(evidence.pairs("nuclear", "start", SMALL, SMALLER))[:, 0]
    text = f"{start} by how much the nuclear gap from a start of {SMALLER} exceeds that from {SMALL}, in the mean"
    yield Claim.from_mean(text, changes, below=0.0)


def show(evidence: Evidence) -> list[Display]:
    """Return the nuclear gap along training, and the final gaps of both norms."""
    displays: list[Display] = []
    for tokens, part in evidence.split("tokens").items():
        displays.append(
            CurvesDisplay.from_evidence(
                part.unrolled("step"),
                f"training-{tokens[0]}",
                f"Approach to the largest nuclear margin, {tokens[0]} tokens",
                x="step",
                y="gap",
                by="start",
                centre="median",
                x_log=True,
                y_log=True,
                labels=WORDS,
                x_label="steps",
                y_label="normalized margin gap, nuclear norm",
            )
        )
    axes = {"x": "nuclear", "y": "frobenius", "x_label": "gap in the nuclear norm", "y_label": "gap, Frobenius norm"}
    title = "Where training ends: gaps to the largest margins of both norms"
    logs = {"x_log": True, "y_log": True}
    displays.append(ScatterDisplay.from_evidence(evidence, "ends", title, by="start", labels=WORDS, **axes, **logs))  # type: ignore[arg-type]
    return displays + _of_one_draw(evidence.select(tokens=evidence.levels("tokens")[:1]))


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return the courses from all starts on the first draw."""
    if not len(evidence):
        return []
    seed, parameters = min(evidence.draws()), evidence.results[0].trial.parameters
    data = _data(parameters, seed)
    nuclear, frobenius = largest_nuclear_margin(data), largest_frobenius_margin(data)
    courses = []
    for place, (start, words) in enumerate(WORDS.items()):
        seen = _recorded(data, {**parameters, "start": start}, seed)
        points = [(nuclear.excess(data, W, "nuc"), frobenius.excess(data, W, "fro")) for _, W in seen]
        courses.append(Course(words, place, np.array(points)))
    return training_displays(
        courses,
        f"One draw of {parameters['tokens']} tokens: towards which norm",
        recipe=evidence.name,
        optima=[frobenius.excess(data, nuclear.matrix, "fro")],
        star="certified largest nuclear margin",
        gap="normalized margin gap, nuclear norm",
        error="normalized margin gap, Frobenius norm",
    )


_STARTS = (SMALL, SMALLER, PRODUCT)
RECIPE = Recipe(
    "attention",
    __doc__,
    lean,
    grid=[
        {"tokens": (2,), "n": (6,), "d": (5,), "start": _STARTS, "steps": (10000,)},
        {"tokens": (4,), "n": (4,), "d": (6,), "start": _STARTS, "steps": (10000,)},
    ],
    repetitions=30,
    quick={
        "grid": [{"tokens": (2,), "n": (4,), "d": (4,), "start": _STARTS, "steps": (1000,)}],
        "repetitions": 4,
    },
    paired=("start", "steps"),
    judge=judge,
    show=show,
)

"""Flatness and generalization of two-layer ReLU networks, with and without biases.

Networks fit the parity of two bits on a part of the vertices of a cube (Wen, Ma, Li 2023, arXiv 2307.11007). With
biases a network that only looks up the training set attains the smallest trace, as docs/networks.md derives.

Claim: with biases the flattest networks need not generalize. A lookup table attains the same smallest trace as the
rule, and training for flatness does not leave the table. From a random start training finds the rule, but not because
of flatness. Without biases flat networks compute the rule, and networks that do not compute it are far from flat.

Refuted by: a lookup table with a trace above the bound, a table without biases that is as flat, or flat networks
without biases that have errors on unseen vertices.
"""

from typing import Any

from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display, ScatterDisplay
from flatmin.lab.displays.training.plane import Course
from flatmin.lab.displays.training.slices import Slice
from flatmin.lab.displays.training.training_displays import training_displays
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters

__all__ = ["RECIPE", "judge", "measure_networks", "show"]

#: The constructed networks, named by the share of the output that the rule computes; a lookup table computes the rest.
MIXTURES = [f"rule {share}%" for share in (0, 25, 50, 75, 100)]
TABLE, RULE, TRAINED, DISTURBED, HELD = MIXTURES[0], MIXTURES[-1], "trained", "table", "zero elsewhere"


def measure_networks(parameters: Parameters, seed: int) -> Metrics:
    """Return loss, trace, the trace's excess over the bound, and errors on unseen points, of networks of one kind."""
    from flatmin.lab.recipes._relu_networks import measure

    sizes = {name: int(parameters[name]) for name in ("d", "n", "width", "steps", "draws")}
    return measure(str(parameters["network"]), bool(parameters["bias"]), **sizes, seed=seed)


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about built networks, and about trained ones with and without biases."""

    def values(network: str, bias: bool, metric: str) -> list[float]:
        return [float(value) for value in evidence.select(network=network, bias=bias).values(metric)]

    built = [float(value) for value in evidence.select(network=MIXTURES).values("excess")]
    disturbed = "with biases, a table disturbed and trained"
    claims = [
        Claim.from_largest("built networks, tables too: largest excess of the trace over the bound", built, below=1e-9),
        Claim.from_smallest(
            "with biases, the table: smallest error on unseen points", values(TABLE, True, "test_error"), above=0.999
        ),
        Claim.from_largest("with biases, the rule: largest error", values(RULE, True, "test_error"), below=1e-9),
        Claim.from_smallest(
            "with biases: share of points a neuron can be alone with", values(RULE, True, "alone"), above=1.0
        ),
        Claim.from_largest("without biases: the same", values(RULE, False, "alone"), below=0.0),
        Claim.from_mean("without biases, trained: error", values(TRAINED, False, "test_error"), below=0.1),
        Claim.from_mean(f"{disturbed}: excess", values(DISTURBED, True, "excess"), below=0.05),
        Claim.from_mean(f"{disturbed}: error", values(DISTURBED, True, "test_error"), above=0.5),
    ]
    if not evidence.select(network=HELD):
        return claims
    held = "without biases, trained to be zero elsewhere: excess"
    released = "without biases, released from that: error"
    return [
        *claims,
        Claim.from_mean(
            "with biases, trained from a random start: error", values(TRAINED, True, "test_error"), below=0.1
        ),
        Claim.from_mean(held, values(HELD, False, "excess"), above=1.0),
        Claim.from_mean(released, values(HELD, False, "released_test_error"), below=0.1),
    ]


def show(evidence: Evidence) -> list[Display]:
    """Return displays of errors on unseen points against trace / smallest trace, with and without biases."""
    axes: dict[str, Any] = {"x": "excess", "x_label": "trace over the smallest trace − 1", "by": "network"}
    axes |= {"y": "test_error", "y_label": "mean squared error on unseen points"}
    figures = [
        ScatterDisplay.from_evidence(
            evidence.select(bias=bias).unrolled(), name, f"Error and excess trace, {words} biases", **axes
        )
        for bias, name, words in ((True, "biases", "with"), (False, "no-biases", "without"))
    ]
    return [*figures, *(_of_one_draw(evidence) if len(evidence) else [])]


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return the courses of three trainings on the first draw, and the loss around their ends."""
    from flatmin.lab.recipes._relu_networks import course

    sizes = {name: _QUICK_SIZES[name][0] for name in ("d", "n", "width", "steps")}
    courses: list[Course] = []
    for words, kind, bias in (
        ("random start", TRAINED, True),
        ("table", DISTURBED, True),
        ("no biases", TRAINED, False),
    ):
        points, slices = course(kind, bias, **sizes, seed=min(evidence.draws()))
        courses.append(Course(words, len(courses), points, Slice.from_lists(words, slices)))
    return training_displays(
        courses,
        "One draw: training for flatness from three starts",
        recipe=evidence.name,
        optima=[0.0, 1.0],
        star="flattest: rule (error 0) and table (error 1)",
        gap="trace over the smallest trace − 1",
        error="mean squared error on unseen points",
        caption="Networks of {width} neurons fit {n} points in {d} dimensions.".format(**sizes),
        around="The loss is that of the data, without the penalty on the trace.",
    )


def _resolve(parameters: Parameters) -> Parameters | None:
    """Return a combination that exists: without biases only the rule is built; "zero elsewhere" has none."""
    network, bias = parameters["network"], parameters["bias"]
    exists = network in (TRAINED, RULE) or bool(bias) == (network != HELD)
    return parameters if exists else None


_KINDS: list[str] = [*MIXTURES, TRAINED, DISTURBED]
_QUICK_SIZES: dict[str, list[int]] = {"d": [6], "n": [32], "width": [40], "steps": [600], "draws": [3]}
_SIZES: dict[str, list[int]] = {"d": [8], "n": [60], "width": [100], "steps": [2500], "draws": [6]}
RECIPE = Recipe(
    "relu-bias",
    __doc__,
    measure_networks,
    grid=[{"network": [*_KINDS, HELD], "bias": [True, False], **_SIZES}],
    repetitions=1,
    quick={"grid": [{"network": _KINDS, "bias": [True, False], **_QUICK_SIZES}]},
    resolve=_resolve,
    consecutive=True,
    needs="torch",
    judge=judge,
    show=show,
)

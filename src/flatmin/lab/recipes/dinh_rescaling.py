"""Sharpness and relative flatness of networks whose layers are rescaled against each other.

If an activation is positively homogeneous, multiplying one layer by α and dividing the next one by α does not change
the function, but it changes the trace and the largest eigenvalue of the Hessian (Dinh, Pascanu, Bengio, Bengio, ICML
2017). The control is a network with tanh, for which this rescaling changes the function and is refused.

Claim: sharpness alone says nothing about the function. Layers of any ReLU, pooling or quadratic network can be rescaled
to any larger trace with the same outputs, so that the ranking of trained networks by trace is reversed. Relative
flatness does not change under rescaling.

Refuted by: outputs that change, a sharpness that does not change, or invariant measures that change.
"""

import math
from typing import Any

import numpy as np

from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display, ScatterDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.rank_correlation import rank_correlation
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters

__all__ = ["RECIPE", "judge", "measure", "show"]

CONTROL, RANKED = "tanh", "relu, six levels of noise"
#: The names of all metrics; those that a cell does not measure are None.
MEASURES = (
    *("scaling", "refused", "noise", "test_error"),
    *("alpha", "function_change", "trace", "largest", "relative", "normalized"),
)
NETWORKS = ["relu", "convolution", "quadratic", CONTROL]


def measure(parameters: Parameters, seed: int) -> Metrics:
    """Return measures of flatness of one trained network at three scales, or of six networks at two."""
    from flatmin.lab.recipes._rescaled_networks import ranked, rescaled

    name, steps = str(parameters["network"]), int(parameters["steps"])
    found = ranked(steps, seed) if name == RANKED else rescaled(name, steps, seed)
    return dict.fromkeys(MEASURES) | found


def judge(evidence: Evidence) -> list[Claim]:
    """Return claims about outputs, sharpness and invariant measures, rankings, and the control."""
    free = evidence.select(network=[name for name in NETWORKS if name != CONTROL])
    ranked, control = evidence.select(network=RANKED), evidence.select(network=CONTROL)

    def against_none(metric: str) -> list[float]:
        """Return each measure divided by its value for the same network as it was trained."""
        found = [result.metrics[metric] for result in free.results]
        return [value / home for home, *values in found for value in values]

    def correlations(metric: str, scaling: str) -> list[float]:
        """Return the rank correlation of a measure with the test error in each repetition."""
        parts = [part.select(scaling=scaling) for part in _by_repetition(ranked)]
        found = [rank_correlation(part.values(metric), part.values("test_error")) for part in parts]
        return [math.nan if value is None else value for value in found]

    changes = [*free.values("function_change"), *ranked.values("function_change")]
    moved = [abs(ratio - 1) for metric in ("relative", "normalized") for ratio in against_none(metric)]
    both = zip(correlations("relative", "none"), correlations("relative", "chosen"), strict=True)
    refused, text = control.values("refused"), "control, tanh: share refused"
    return [
        Claim.from_largest("outputs change by at most, relatively", changes, below=1e-12),
        Claim.from_smallest("traces grow at least by", against_none("trace"), above=100),
        Claim.from_smallest("largest eigenvalues grow at least by", against_none("largest"), above=100),
        Claim.from_largest("relative flatness and normalized traces change by at most", moved, below=1e-6),
        Claim.from_mean("rank correlation of trace and error as trained", correlations("trace", "none"), above=0.0),
        Claim.from_largest("the same after rescaling, at most", correlations("trace", "chosen"), below=-0.999),
        Claim.from_largest("that of relative flatness changes by at most", [abs(a - b) for a, b in both], below=1e-9),
        Claim.exact(text, float(np.mean(refused)), above=1.0) if len(refused) else Claim.open(text, above=1.0),
        Claim.from_mean("control, tanh: outputs change by", control.values("function_change"), above=0.05),
    ]


def _by_repetition(evidence: Evidence) -> list[Evidence]:
    return [Evidence(evidence.experiment, [result]).unrolled("scaling") for result in evidence.results]


def show(evidence: Evidence) -> list[Display]:
    """Return the test errors against trace and relative flatness, as trained and rescaled."""
    ranked = evidence.select(network=RANKED)
    part = ranked.unrolled("scaling") if len(ranked) else ranked
    axes: dict[str, Any] = {"y": "test_error", "y_label": "test error", "x_log": True, "y_log": True}
    axes |= {"by": "scaling", "labels": {"none": "as trained", "chosen": "rescaled, same outputs"}}
    return [
        ScatterDisplay.from_evidence(part, metric, f"Test error and {label}", x=metric, x_label=label, **axes)
        for metric, label in (("trace", "trace"), ("relative", "relative flatness"))
    ]


RECIPE = Recipe(
    "dinh-rescaling",
    __doc__,
    measure,
    grid=[{"network": [*NETWORKS, RANKED], "steps": [1000]}],
    repetitions=10,
    quick={"grid": [{"network": [*NETWORKS, RANKED], "steps": [100]}], "repetitions": 3},
    consecutive=True,
    needs="torch",
    judge=judge,
    show=show,
)

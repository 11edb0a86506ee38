"""Test errors of the trace penalty, weight decay, SAM and label noise on images of digits.

Networks of 32 hidden units are trained on 300 of scikit-learn's digits; 300 further images choose the strength of each
method among seven. Ten random draws of the images are trained at the same time.

Claim: at equal tuning budget the trace penalty has no smaller test error than weight decay and SAM. Label noise and
label smoothing have as small test errors as the trace penalty, at larger traces.

Refuted by: a mean test error of weight decay, SAM, label noise or label smoothing that exceeds the penalty's by more
than 0.5 percentage points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._tuning.strengths import errors_display, tried
from flatmin.lab.runs.experiment import Metrics, Parameters

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RECIPE", "judge", "show", "train"]

#: Numbers of images for training and for choosing strengths; all others are for the test.
IMAGES = (300, 300)
WIDTH, BATCH = 32, 100
#: An improvement of the test error counts as a benefit from this number of percentage points on.
BENEFIT = 0.5

DECAYS = np.geomspace(1e-4, 1e-1, 7)
SHARES = np.geomspace(0.01, 0.64, 7)
#: The strengths that each method tries with cross entropy.
STRENGTHS: dict[str, Array] = {
    "plain": np.geomspace(0.01, 10, 7),
    "weight decay": DECAYS,
    "decoupled decay": np.geomspace(0.01, 10, 7),
    "trace penalty": np.geomspace(1e-4, 1e-1, 7),
    "SAM": np.geomspace(0.003, 3, 7),
    "label noise": SHARES,
    "label smoothing": SHARES,
    "whitened + decay": DECAYS,
}
#: The strengths for the squared error; penalties are smaller, because this error is averaged over classes too.
SQUARED = {name: values for name, values in STRENGTHS.items() if name != "label smoothing"} | {
    "weight decay": DECAYS / 10,
    "trace penalty": np.geomspace(1e-6, 1e-3, 7),
    "whitened + decay": DECAYS / 10,
}
NETWORKS = {"ReLU": STRENGTHS, "quadratic": STRENGTHS, "quadratic, squared error": SQUARED}
RIVALS = ("weight decay", "SAM", "label noise", "label smoothing")


def train(parameters: Parameters, seed: int) -> Metrics:
    """Return the test errors of one method on one kind of network, in per cent."""
    from functools import partial

    from torch import nn

    from flatmin.lab.networks import Square, digits, one_hidden_layer, parts
    from flatmin.lab.recipes._tuning.tuned import Data, Setting, tuned_errors

    name, method = str(parameters["network"]), str(parameters["method"])
    draws: list[Any] = [parts(*digits(), IMAGES, seed + s) for s in range(int(parameters["draws"]))]
    squared = NETWORKS[name] is SQUARED
    if squared:
        draws = [[(x, np.eye(10)[y]) for x, y in draw] for draw in draws]
    setting = Setting(
        data=Data.from_draws(draws),
        network=partial(
            one_hidden_layer, width=WIDTH, outputs=10, activation=nn.ReLU() if name == "ReLU" else Square()
        ),
        loss=nn.MSELoss() if squared else nn.CrossEntropyLoss(),
        error=_percent_wrong,
        steps=int(parameters["steps"]),
        lr=0.01,
        batch=BATCH,
    )
    return tuned_errors(setting, method, tried(NETWORKS[name][method], int(parameters["tried"])), seed)


def _percent_wrong(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the percentage (S,) of outputs (S, n, classes) whose largest entry is not at the target's class.

    Targets are class numbers (S, n) or their indicators (S, n, classes).
    """
    labels = targets.argmax(-1) if targets.is_floating_point() else targets
    return 100 * (outputs.argmax(-1) != labels).double().mean(1)


def judge(evidence: Evidence) -> list[Claim]:
    """Return the claims for each network: errors of four rivals, of whitened inputs, and the traces of label noise."""
    claims, trace = [], "trace penalty"
    for name, strengths in NETWORKS.items():
        network = evidence.select(network=name)

        def excess(text: str, method: str, part: Evidence = network, **limit: float) -> Claim:
            """Return a claim about how many percentage points another method is worse than the trace penalty."""
            pairs = part.pairs("error", "method", method, trace)
            return Claim.from_mean(text, pairs[:, 0] - pairs[:, 1], **limit)

        claims += [
            excess(f"{name}: points that {trace} gains on {rival}", rival, below=BENEFIT)
            for rival in RIVALS
            if rival in strengths
        ]
        claims.append(
            excess(f"{name}: points that whitening before decay loses on {trace}", "whitened + decay", above=0)
        )
        traces = np.log10(network.pairs("trace", "method", "label noise", trace))
        text = f"{name}: log₁₀ of the trace, label noise over {trace}"
        claims.append(Claim.from_mean(text, traces[:, 0] - traces[:, 1], above=0))
    return claims


def show(evidence: Evidence) -> list[Display]:
    """Return the test errors of all methods."""
    return [errors_display(evidence, "network", "% wrong")]


def _resolve(parameters: Parameters) -> Parameters | None:
    return parameters if parameters["method"] in NETWORKS[str(parameters["network"])] else None


RECIPE = Recipe(
    "digits",
    __doc__,
    train,
    grid=[{"network": list(NETWORKS), "method": list(STRENGTHS), "steps": [400], "draws": [10], "tried": [7]}],
    repetitions=1,
    quick={"grid": [{"network": list(NETWORKS), "method": list(STRENGTHS), "steps": [40], "draws": [3], "tried": [2]}]},
    resolve=_resolve,
    consecutive=True,
    needs="torch",
    judge=judge,
    show=show,
)

"""Real images, small networks, and whether the trace penalty improves on weight decay and on SAM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor, nn

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.networks import Square, one_hidden_layer
from flatmin.lab.real_data import digits, parts
from flatmin.lab.recipes._tuning.tuned import Data, Setting, by_seed, compare, draw_errors
from flatmin.lab.studies.base import Findings, Row, Study

__all__ = ["STUDY"]

#: Images to train on and to choose strengths by; all others are for the test.
IMAGES = (300, 300)
WIDTH, BATCH = 32, 100
#: What would be a benefit, in percentage points.
BENEFIT = 0.5

DECAYS = np.geomspace(1e-4, 1e-1, 7)
SHARES = np.geomspace(0.01, 0.64, 7)
#: For cross entropy. The squared error is averaged over the classes too, so that its penalties are smaller.
STRENGTHS = {
    "plain": np.geomspace(0.01, 10, 7),
    "weight decay": DECAYS,
    "decoupled decay": np.geomspace(0.01, 10, 7),
    "trace penalty": np.geomspace(1e-4, 1e-1, 7),
    "SAM": np.geomspace(0.003, 3, 7),
    "label noise": SHARES,
    "label smoothing": SHARES,
    "whitened + decay": DECAYS,
}
SQUARED = {name: tried for name, tried in STRENGTHS.items() if name != "label smoothing"} | {
    "weight decay": DECAYS / 10,
    "trace penalty": np.geomspace(1e-6, 1e-3, 7),
    "whitened + decay": DECAYS / 10,
}


@dataclass(frozen=True)
class _Network:
    """An activation and a loss."""

    activation: nn.Module
    loss: nn.Module
    strengths: dict[str, Array]


NETWORKS = {
    "ReLU": _Network(nn.ReLU(), nn.CrossEntropyLoss(), STRENGTHS),
    "quadratic": _Network(Square(), nn.CrossEntropyLoss(), STRENGTHS),
    "quadratic, squared error": _Network(Square(), nn.MSELoss(), SQUARED),
}


def _percent_wrong(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the percentage (S,) of outputs (S, n, classes) whose largest is not that of the target.

    Targets are class numbers (S, n) or their indicators (S, n, classes).
    """
    labels = targets.argmax(-1) if targets.is_floating_point() else targets
    return 100 * (outputs.argmax(-1) != labels).double().mean(1)


def _run(*, quick: bool = False, seed: int = 0) -> Findings:
    steps, seeds, tried = (40, 3, [2, 4]) if quick else (400, 10, list(range(7)))
    draws = [parts(*digits(), IMAGES, seed + s) for s in range(seeds)]
    indicators = [[(x, np.eye(10)[y]) for x, y in draw] for draw in draws]
    rows: list[Row] = []
    for name, kind in NETWORKS.items():
        setting = Setting(
            columns={"network": name},
            data=Data.of(indicators if isinstance(kind.loss, nn.MSELoss) else draws),
            network=partial(one_hidden_layer, width=WIDTH, outputs=10, activation=kind.activation),
            loss=kind.loss,
            error=_percent_wrong,
            strengths={method: all_of_them[tried] for method, all_of_them in kind.strengths.items()},
            steps=steps,
            lr=0.01,
            batch=BATCH,
        )
        rows += compare(setting, seed)
    return Findings(
        rows, _claims(rows), by=("network", "method"), draw=lambda f: draw_errors(f, rows, "network", "% wrong")
    )


def _claims(rows: list[Row]) -> list[Claim]:
    trace, claims = "trace penalty", []
    for name, kind in NETWORKS.items():

        def excess(other: str, name: str = name) -> Array:
            """Return by how many percentage points another method is worse than the trace penalty."""
            return by_seed(rows, other, network=name) - by_seed(rows, trace, network=name)

        rivals = [
            other for other in kind.strengths if other in ("weight decay", "SAM", "label noise", "label smoothing")
        ]
        claims += [
            Claim.of_mean(f"{name}: points that {trace} gains on {other}", excess(other), below=BENEFIT)
            for other in rivals
        ]
        claims.append(
            Claim.of_mean(
                f"{name}: points that whitening before decay loses on {trace}", excess("whitened + decay"), above=0
            )
        )
        traces = [np.log(by_seed(rows, method, "trace", network=name)) for method in ("label noise", trace)]
        claims.append(
            Claim.of_mean(
                f"{name}: log₁₀ of the trace, label noise over {trace}", (traces[0] - traces[1]) / np.log(10), above=0
            )
        )
    return claims


STUDY = Study(
    name="digits",
    question="Does the trace penalty improve the test error over weight decay and SAM, on images of digits?",
    expectation="No, at equal tuning budget; label noise and label smoothing do as well, at larger traces.",
    run=_run,
)

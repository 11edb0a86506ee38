"""The trace penalty on real data in raw units.

Quadratic networks of 20 hidden units are trained on scikit-learn's diabetes and breast cancer data, in one common unit
for each table. A linear model is the control. Twelve random splits of the data are trained at the same time.

Claim: as with quadratic teachers, the trace penalty reduces the error more than weight decay does, and no more than
standardized inputs do.

Refuted by: weight decay in raw units with errors at most 1.2 times the penalty's, or a penalty that improves on
standardized inputs.
"""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._tuning.strengths import REGRESSION, claim_of_ratio_of_errors, errors_display, tried
from flatmin.lab.runs.experiment import Metrics, Parameters

__all__ = ["RECIPE", "judge", "show", "train"]

WIDTH = 20
#: For each table the numbers of samples for training and for choosing strengths; all others are for the test.
SOURCES = {"diabetes": (200, 100), "breast cancer": (200, 150)}
QUADRATIC, LINE, STANDARD = "quadratic", "a line", "standardized + decay"


def train(parameters: Parameters, seed: int) -> Metrics:
    """Return the test errors of one method on one table, divided by the variance of the targets."""
    from torch import nn

    from flatmin.lab.networks import signed_squares
    from flatmin.lab.recipes._tuning.tuned import Data, Setting, mean_squared_error_over_variance, tuned_errors

    quadratic = parameters["network"] == QUADRATIC
    draws = [_draw(str(parameters["data"]), seed + s) for s in range(int(parameters["draws"]))]
    setting = Setting(
        data=Data.from_draws(draws),
        network=lambda d: signed_squares(d, WIDTH) if quadratic else nn.Sequential(nn.Linear(d, 1, bias=False)),
        loss=nn.MSELoss(),
        error=mean_squared_error_over_variance,
        steps=int(parameters["steps"]),
    )
    method = str(parameters["method"])
    return tuned_errors(setting, method, tried(REGRESSION[method], int(parameters["tried"])), seed)


def _draw(name: str, seed: int) -> list[tuple[Array, Array]]:
    """Return inputs in one common unit with a column of ones, and targets of mean 0 and variance 1."""
    from flatmin.lab.networks import breast_cancer, diabetes, parts

    load = {"diabetes": diabetes, "breast cancer": breast_cancer}[name]
    (x, y), *others = parts(*load(), SOURCES[name], seed)
    unit = np.sqrt(np.mean(x**2))
    return [(np.column_stack([z / unit, np.ones(len(z))]), (t - y.mean()) / y.std()) for z, t in [(x, y), *others]]


def judge(evidence: Evidence) -> list[Claim]:
    """Return five ratios of errors for each table."""
    claims, trace, both = [], "trace penalty", "standardized + trace"
    for name in SOURCES:
        data = evidence.select(data=name)

        def error(method: str, network: str = QUADRATIC, part: Evidence = data) -> Evidence:
            return part.select(method=method, network=network)

        claims += [
            claim_of_ratio_of_errors(f"{name}: error of {text}", first, error(second), **limit)
            for text, first, second, limit in (
                (f"weight decay over {trace}", error("weight decay"), trace, {"above": 1.2}),
                (f"{STANDARD} over {trace}", error(STANDARD), trace, {"below": 1.1}),
                (f"{trace} over its own, standardized", error(trace), both, {"below": 1.1}),
                (f"{trace} over weight decay, both standardized", error(both), STANDARD, {"above": 0.95}),
                (f"{LINE} over the network's, both {STANDARD}", error(STANDARD, LINE), STANDARD, {"above": 1}),
            )
        ]
    return claims


def show(evidence: Evidence) -> list[Display]:
    """Return the test errors of all methods."""
    return [errors_display(evidence, ("data", "network"), "error over the variance", log=True)]


def _resolve(parameters: Parameters) -> Parameters | None:
    return parameters if parameters["network"] == QUADRATIC or parameters["method"] == STANDARD else None


_BLOCK = {"data": list(SOURCES), "network": [QUADRATIC, LINE], "method": list(REGRESSION)}
RECIPE = Recipe(
    "regression",
    __doc__,
    train,
    grid=[_BLOCK | {"steps": [600], "draws": [12], "tried": [7]}],
    repetitions=1,
    quick={"grid": [_BLOCK | {"steps": [60], "draws": [3], "tried": [2]}]},
    resolve=_resolve,
    consecutive=True,
    needs="torch",
    judge=judge,
    show=show,
)

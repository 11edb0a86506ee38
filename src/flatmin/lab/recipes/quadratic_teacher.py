"""The trace penalty if the truth is a quadratic network of low rank, in good and in bad units.

The same data have three kinds of inputs: isotropic ones; inputs in bad units, with standard deviations from 1 to 10, of
which the teacher depends on the smallest third; and these after a rotation. Ten draws are trained at once.

Claim: the trace penalty gains as much as weight decay with isotropic inputs, and far more with badly scaled ones. The
penalty gains no more than whitening the inputs before weight decay. Linear maps of inputs hardly change it.

Refuted by: weight decay that does as well in bad units, an error of the penalty that depends on the units, or whitened
inputs with larger errors.
"""

from typing import TYPE_CHECKING

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.recipes._tuning.strengths import REGRESSION, claim_of_ratio_of_errors, errors_display, tried
from flatmin.lab.runs.experiment import Metrics, Parameters

if TYPE_CHECKING:
    from flatmin.lab.recipes._tuning.tuned import Setting

__all__ = ["RECIPE", "judge", "show", "train"]

#: Standard deviation of the noise; the targets have standard deviation 1.
NOISE = 0.3
#: The smallest and the largest scale of inputs in bad units.
SCALES = (1.0, 10.0)
#: Number of noise-free test samples.
TEST = 1000

ISOTROPIC, SCALED, ROTATED = "isotropic", "scales 1 to 10", "scaled, rotated"
#: Methods whose courses are shown.
SHOWN = ("plain", "weight decay", "trace penalty", "SAM")
METHODS = [name for name in REGRESSION if name != "standardized + trace"]


def train(parameters: Parameters, seed: int) -> Metrics:
    """Return the test errors of one method in one choice of units, divided by the variance of the targets."""
    from flatmin.lab.recipes._tuning.tuned import tuned_errors

    method = str(parameters["method"])
    strengths = tried(REGRESSION[method], int(parameters["tried"]))
    return tuned_errors(_setting(parameters, seed, int(parameters["draws"])), method, strengths, seed)


def _setting(parameters: Parameters, seed: int, draws: int) -> "Setting":
    """Return data, networks and training of a number of draws."""
    from torch import nn

    from flatmin.lab.networks import signed_squares
    from flatmin.lab.recipes._tuning.tuned import Data, Setting, mean_squared_error_over_variance

    d, n, width, steps = (int(parameters[k]) for k in ("d", "n", "width", "steps"))
    matrix = _units(d, seed)[str(parameters["inputs"])]
    samples = [_draw(d, n, seed + s) for s in range(draws)]
    return Setting(
        data=Data.from_draws([[(x @ matrix, y) for x, y in draw] for draw in samples]),
        network=lambda d: signed_squares(d, width),
        loss=nn.MSELoss(),
        error=mean_squared_error_over_variance,
        steps=steps,
    )


def _draw(d: int, n: int, seed: int) -> list[tuple[Array, Array]]:
    """Return two sets of isotropic inputs and noisy targets ``((u₁ᵀx)² − (u₂ᵀx)²)/2``, and a noise-free test set."""
    rng = np.random.default_rng(seed)
    u = np.zeros((d, 2))
    u[: d // 3] = np.linalg.qr(rng.standard_normal((d // 3, 2)))[0]
    samples = []
    for size, noise in ((n, NOISE), (n, NOISE), (TEST, 0.0)):
        x = rng.standard_normal((size, d))
        z = x @ u
        y = (z[:, 0] ** 2 - z[:, 1] ** 2) / 2 + noise * rng.standard_normal(size)
        samples.append((x, y[:, None]))
    return samples


def _units(d: int, seed: int) -> dict[str, Array]:
    """Return the matrices by which isotropic inputs are multiplied."""
    scales = np.diag(np.geomspace(*SCALES, d))
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
    return {ISOTROPIC: np.eye(d), SCALED: scales, ROTATED: scales @ rotation}


def judge(evidence: Evidence) -> list[Claim]:
    """Return ratios of errors within and between units."""

    def ratio(first: str, second: str, inputs: str, **limit: float) -> Claim:
        top, bottom = (evidence.select(inputs=inputs, method=method) for method in (first, second))
        return claim_of_ratio_of_errors(f"{inputs}: error of {first} over {second}", top, bottom, **limit)

    trace, decay, white, standard = "trace penalty", "weight decay", "whitened + decay", "standardized + decay"
    claims = [ratio(decay, trace, ISOTROPIC, below=1.5), ratio("plain", trace, ISOTROPIC, above=2)]
    for bad in (SCALED, ROTATED):
        own, home = (evidence.select(inputs=inputs, method=trace) for inputs in (bad, ISOTROPIC))
        claims += [
            ratio(decay, trace, bad, above=3),
            ratio("SAM", trace, bad, above=1.5),
            ratio(white, trace, bad, below=1.25),
            claim_of_ratio_of_errors(f"{bad}: error of {trace} over its own, {ISOTROPIC}", own, home, below=1.25),
        ]
    return [*claims, ratio(standard, trace, SCALED, below=1.5), ratio(standard, trace, ROTATED, above=3)]


def show(evidence: Evidence) -> list[Display]:
    """Return the test errors of all methods, and the courses of four of them on the first draw in bad units."""
    shown = evidence.select(inputs=SCALED, method=list(SHOWN)).results
    figures = [errors_display(evidence, "inputs", "error over the variance", log=True)]
    if not shown:
        return figures
    from flatmin.lab.recipes._tuning.quadratic_courses import quadratic_courses

    first, seed = shown[0].trial.parameters, shown[0].trial.seed
    strengths = {str(result.trial.parameters["method"]): result.metrics["strength"][0] for result in shown}
    title = "One draw in bad units: training by four methods"
    return [*figures, *quadratic_courses(_setting(first, seed, 1), strengths, seed, title, evidence.name)]


_BLOCK = {"inputs": [ISOTROPIC, SCALED, ROTATED], "method": METHODS}
RECIPE = Recipe(
    "quadratic-teacher",
    __doc__,
    train,
    grid=[_BLOCK | {"d": [30], "n": [300], "width": [20], "steps": [800], "draws": [10], "tried": [7]}],
    repetitions=1,
    quick={"grid": [_BLOCK | {"d": [12], "n": [100], "width": [6], "steps": [150], "draws": [4], "tried": [3]}]},
    consecutive=True,
    needs="torch",
    judge=judge,
    show=show,
)

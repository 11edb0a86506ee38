"""Rescaling two layers against each other: the function stays the same, and sharpness takes any value."""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from flatmin._core.validation import positive
from flatmin.errors import InputError
from flatmin.nn.estimators.base import TraceEstimate
from flatmin.nn.invariance import normalized_trace, relative_flatness
from flatmin.nn.operators.curvature import Curvature, CurvatureOptions, shows_options
from flatmin.nn.operators.state import FAILURES, ModelWeights, in_mode
from flatmin.nn.operators.streaming import Batch, Loss
from flatmin.nn.spectrum.eigenvalue import EigenvalueEstimate, largest_eigenvalue
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = ["Rescaled", "Rescaling", "rescaling"]

#: Default factors α of the first layer; powers of two cause no rounding errors.
ALPHAS = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)
#: Degrees of homogeneity in the order in which they are tried.
DEGREES = (1, 2, 3, 0)
#: Fields of `Rescaled` that hold a measure, with their labels in tables and figures.
MEASURES = {"trace": "trace", "largest": "λ_max", "relative": "relative flatness", "normalized": "layer-normalized"}


@dataclass(frozen=True)
class Rescaled:
    """Flatness measures of a network whose first layer is multiplied by ``alpha``.

    ``function_change`` is ``‖f' − f‖ / ‖f‖`` over the outputs of all samples; it is only a rounding error if the
    activation is homogeneous. ``trace`` and ``largest`` are the trace and the largest eigenvalue of the Hessian, or of
    its Gauss-Newton part; for ``relative`` see `relative_flatness`, and for ``normalized`` see `normalized_trace`.
    """

    alpha: float
    function_change: float
    trace: TraceEstimate
    largest: EigenvalueEstimate
    relative: TraceEstimate
    normalized: TraceEstimate


@dataclass(frozen=True)
class Rescaling:
    """The effect of rescaling two layers, the ``pair``, on measures of flatness; `print` shows a table.

    The first layer is multiplied by α, the weights of the second by ``α^(−degree)``; ``points`` has one `Rescaled` for
    each α, in the order given. The matrix is the Hessian or its Gauss-Newton part, see ``of``.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    >>> x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()
    >>> found = rescaling(model, nn.MSELoss(), (x, x[:, :1]))
    >>> found.pair, found.degree, len(found.values("trace"))
    (('0', '2'), 1, 5)
    """

    pair: tuple[str, str]
    degree: int
    of: str
    points: tuple[Rescaled, ...]

    def values(self, measure: str) -> list[float]:
        """Return one measure at each α: "trace", "largest", "relative" or "normalized"."""
        if measure not in MEASURES:
            raise InputError(f"measure is {measure!r}, expected one of {', '.join(MEASURES)}")
        return [float(getattr(point, measure).value) for point in self.points]

    def plot(self, ax: Any = None) -> Any:
        """Draw each measure and its interval over α, relative to its value at the α nearest to 1; return the axes."""
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(layout="constrained").subplots()
        points = sorted(self.points, key=lambda point: point.alpha)
        home = min(self.points, key=lambda point: abs(math.log(point.alpha)))
        smallest = math.inf
        for (measure, words), marker in zip(MEASURES.items(), "osx+", strict=True):
            spans = np.array([_span(point, measure) for point in points]) / (getattr(home, measure).value or 1.0)
            low, value, high = np.sort(spans, axis=1).T
            smallest = min(smallest, low.min())
            alphas = [point.alpha for point in points]
            ax.errorbar(alphas, value, [value - low, high - value], marker=marker, capsize=2, label=words)
        first, second = self.pair
        power = "" if self.degree == 1 else f"^{self.degree}"
        ax.set(xscale="log", xlabel=f"α: {first} × α, {second} / α{power}", ylabel="measure / measure at α = 1")
        ax.set_yscale("log" if smallest > 0 else "symlog")
        ax.legend()
        return ax

    def __str__(self) -> str:
        lines = [f"{self.pair[0]} × α, {self.pair[1]} / α^{self.degree}", "          α   change of f"]
        lines[1] += "".join(f"{words:>20}" for words in MEASURES.values())
        for point in self.points:
            line = f"{point.alpha:11.4g}{point.function_change:14.1e}"
            for measure in MEASURES:
                low, value, high = _span(point, measure)
                known = high - low <= 1e-2 * abs(value)
                line += f"{f'{value:.5g}' if known else f'{value:.3g} ± {(high - low) / 2:.1g}':>20}"
            lines.append(line)
        return "\n".join(lines)


def _span(point: Rescaled, measure: str) -> tuple[float, float, float]:
    """Return the lower end of the interval of a measure, its value, and the upper end."""
    found = getattr(point, measure)
    low, high = (found.lower, found.upper) if measure == "largest" else found.interval
    return min(low, found.value), found.value, max(high, found.value)


@shows_options
def rescaling(
    model: nn.Module | Curvature,
    loss: Loss | None = None,
    data: Any = None,
    *,
    pair: tuple[str, str] | None = None,
    alphas: Iterable[float] = ALPHAS,
    tol: float = 1e-4,
    method: str = "auto",
    max_products: int | None = None,
    seed: int = 0,
    **options: Unpack[CurvatureOptions],
) -> Rescaling:
    """Rescale two layers of a model so that its function stays the same, and measure its flatness at each scale.

    The activation between the layers has to be positively homogeneous of some degree d, ``σ(αz) = α^d σ(z)`` for α > 0:
    d = 1 for ReLU, leaky ReLU and pooling, d = 2 for quadratic networks, d = 0 for batch norm with the statistics of
    the batch. Then multiplying the first layer and its bias by α, and the weights of the second layer by ``α^(−d)``,
    changes no output, but divides the first diagonal block of the Hessian by α² and multiplies the second by
    ``α^(2d)``. Trace and largest eigenvalue can therefore take any large value, while relative flatness and the
    layer-normalized trace stay the same. All data are evaluated to verify that the outputs agree.

    Parameters
    ----------
    model, loss, data, **options
        As for `Curvature`, or a `Curvature` in place of all of them. The model is not changed.
    pair : tuple of (str, str), optional
        Names of two modules, as in ``model.named_modules()``; by default the first two consecutive layers of a
        `torch.nn.Sequential` for which the outputs agree.
    alphas : iterable of float
        Positive scales; powers of two cause no rounding errors.
    tol : float
        Largest relative change of the outputs that counts as rounding error.
    method, max_products, seed
        As for `hessian_trace`; ``max_products`` also limits the products for the eigenvalue.

    Raises
    ------
    InputError
        If an argument cannot be used, or the outputs change.

    References
    ----------
    Dinh, Pascanu, Bengio, Bengio, "Sharp minima can generalize for deep nets", ICML 2017.

    Examples
    --------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)).double()
    >>> data = torch.randn(20, 3).double(), torch.randn(20, 1).double()
    >>> shown = rescaling(model, torch.nn.MSELoss(), data, alphas=[1, 64])
    >>> shown.pair, shown.degree, [point.function_change for point in shown.points]
    (('0', '2'), 1, [0.0, 0.0])
    >>> sharpness, relative = shown.values("trace"), shown.values("relative")
    >>> sharpness[1] > 1000 * sharpness[0], abs(relative[1] / relative[0] - 1) < 1e-9
    (True, True)
    """
    if not isinstance(alphas, Iterable):
        raise InputError(f"alphas is {alphas!r}, expected several positive numbers")
    scales = [positive(alpha, "alpha") for alpha in alphas]
    if not scales:
        raise InputError("alphas is empty, expected positive numbers")
    positive(tol, "tol")
    curvature = Curvature.from_arguments(model, loss, data, **options)
    pair, degree = _found(curvature, pair, tol)
    settings: dict[str, Any] = {"max_products": max_products, "seed": seed}
    points = []
    for alpha in scales:
        scaled = _scaled(curvature.weights.model, pair, alpha, degree)
        change = _change(curvature, scaled)
        if not change <= tol:
            raise InputError(
                f"at alpha = {alpha:g} the outputs change by {change:.1e}, expected at most tol = {tol:g}; choose an "
                "alpha closer to 1, or a larger tol"
            )
        rescaled = curvature.on(ModelWeights(scaled, curvature.weights.names))
        trace, relative, normalized = (
            measure(rescaled, method=method, **settings)
            for measure in (hessian_trace, relative_flatness, normalized_trace)
        )
        largest = largest_eigenvalue(rescaled, **settings)
        points.append(Rescaled(alpha, change, trace, largest, relative, normalized))
    return Rescaling(pair, degree, curvature.of, tuple(points))


def _found(curvature: Curvature, pair: Any, tol: float) -> tuple[tuple[str, str], int]:
    """Return the layers and the degree whose rescaling with α = 2 does not change the outputs."""
    model = curvature.weights.model
    if not math.isfinite(_change(curvature, model)):
        raise InputError("the outputs of the model are not finite, expected finite numbers on these data")
    pairs = list(_consecutive(model)) if pair is None else [_named(model, pair)]
    least, best = math.inf, ("", "")
    for names in pairs:
        for degree in DEGREES:
            change = _change(curvature, _scaled(model, names, 2.0, degree))
            if change <= tol:
                return names, degree
            if change < least:
                least, best = change, names
    if pair is None and not pairs:
        raise InputError("the model has no two consecutive layers in a Sequential, expected some; name them by pair=…")
    raise InputError(
        f"doubling {best[0]} changes the outputs by {least:.1e} whatever {best[1]} is divided by, expected a "
        "positively homogeneous activation between them, such as ReLU; name two other layers by pair=…"
    )


def _named(model: nn.Module, pair: Any) -> tuple[str, str]:
    """Return the names of two modules with parameters of their own."""
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise InputError(f"pair is {pair!r}, expected the names of two modules")
    known = {name for name, module in model.named_modules() if list(module.parameters(recurse=False))}
    for name in pair:
        if name not in known:
            raise InputError(f"pair has {name!r}, expected modules with weights: {', '.join(sorted(known))}")
    return pair[0], pair[1]


def _consecutive(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield the names of consecutive layers of a Sequential that have only activations between them."""
    names = {id(module): name for name, module in model.named_modules()}
    inner = {id(child) for m in model.modules() if isinstance(m, nn.Sequential) for child in m.children()}
    for top in model.modules():
        if isinstance(top, nn.Sequential) and id(top) not in inner:
            layers = [m for m in _unrolled(top) if list(m.parameters()) and not isinstance(m, nn.PReLU)]
            for one, two in pairwise(layers):
                if list(one.parameters(recurse=False)) and list(two.parameters(recurse=False)):
                    yield names[id(one)], names[id(two)]


def _unrolled(chain: nn.Sequential) -> Iterator[nn.Module]:
    """Yield the modules of nested Sequentials in their order."""
    for module in chain:
        yield from _unrolled(module) if isinstance(module, nn.Sequential) else [module]


def _scaled(model: nn.Module, pair: tuple[str, str], alpha: float, degree: int) -> nn.Module:
    """Return a copy with the first layer multiplied by α and the weights of the second one divided by ``α^degree``."""
    try:
        out = copy.deepcopy(model)
    except FAILURES as error:
        raise InputError(f"the model cannot be copied ({error}), expected one that copy.deepcopy copies") from error
    first, second = (out.get_submodule(name) for name in pair)
    with torch.no_grad():
        for p in first.parameters(recurse=False):
            p.mul_(alpha)
        for name, p in second.named_parameters(recurse=False):
            if name != "bias":
                p.mul_(alpha**-degree)
    return out


def _change(curvature: Curvature, scaled: nn.Module) -> float:
    """Return ``‖f' − f‖ / ‖f‖`` over all data, with the same random numbers for both."""
    sums = torch.zeros(2, dtype=torch.float64, device=curvature.device)
    with curvature.processes.collective(), in_mode(scaled, curvature.mode), curvature.evaluations() as evaluations:
        for batch, run in evaluations:
            before, after = (_numbers(run(partial(_outputs, curvature, batch, other))) for other in (None, scaled))
            sums += torch.stack([(after - before).square().sum(), before.square().sum()])
    (difference, size), _ = curvature.processes.sums(sums, 0.0)
    return math.sqrt(float(difference / size)) if size > 0 else float(difference.sqrt())


def _outputs(
    curvature: Curvature, batch: Batch, other: nn.Module | None, model: nn.Module, _leaves: list[Tensor]
) -> Any:
    """Return the outputs of another model if one is given, otherwise of the measured model."""
    return batch.outputs(other or model, curvature.loss)


def _numbers(outputs: Any) -> Tensor:
    leaves = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
    if not leaves:
        raise InputError(f"the model returns a {type(outputs).__name__}, expected tensors")
    return torch.cat([leaf.detach().reshape(-1).double() for leaf in leaves])

"""`check_penalty`: a statistical test that a trace penalty and its gradient are unbiased."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from scipy.special import stdtr
from torch import Tensor, nn

from flatmin._core.validation import whole_number
from flatmin.errors import InputError
from flatmin.nn.operators.state import ModelWeights
from flatmin.nn.penalty import twice_differentiable

__all__ = ["PenaltyCheck", "check_penalty", "exact_trace"]

#: Number of random directions along which the gradient is tested.
_RANDOM = 8


@dataclass(frozen=True)
class PenaltyCheck:
    """The result of `check_penalty`: the bias of a penalty, estimated from repeated draws.

    ``z`` has differences of means from exact numbers, in standard errors. ``"value"`` is the difference for the penalty
    itself, and the others are for components of its gradient: along the exact gradient (``"gradient"``), along the part
    of the exact gradient for each parameter (under the parameter's name), and along random directions (``"random 1"``,
    ...). ``p_value`` is the p-value of the largest |z| by Student's t, times the number of tests (Bonferroni). ``bias``
    is the relative error of the mean gradient along the exact gradient; −0.5 means that half of the gradient is
    missing. ``floor`` is the standard error of ``bias``; a bias below it cannot be detected. ``value`` is the mean of
    the penalty, and ``exact`` the trace.
    """

    z: Mapping[str, float]
    p_value: float
    bias: float
    floor: float
    value: float
    exact: float

    @property
    def holds(self) -> bool:
        """Whether no bias was found: a p-value of at least 0.001."""
        return self.p_value >= 1e-3


def check_penalty(
    penalty: Callable[[Any, Tensor], Tensor],
    model: nn.Module,
    loss: Any,
    x: Any,
    y: Tensor,
    *,
    of: Literal["gauss_newton", "hessian"] = "gauss_newton",
    draws: int = 400,
    seed: int = 0,
) -> PenaltyCheck:
    """Test that a penalty and its gradient are, in the mean, the trace for a batch and the gradient of that trace.

    The exact numbers come from the full Jacobian and automatic differentiation of the loss, without roots of losses or
    other parts of the penalty. The model must be small, and without dropout.

    Parameters
    ----------
    penalty : function
        ``penalty(x, y)``, a differentiable scalar with new random numbers at each call, such as `HessianTracePenalty`.
    model, loss, x, y
        The model, its loss, and the inputs and targets of the batch.
    of : {"gauss_newton", "hessian"}
        The matrix whose trace is estimated: ``Jᵀ ∇²ℓ J``, or the whole Hessian.
    draws, seed : int
        Number of calls of the penalty, at least 20, and the seed of the random directions.

    Raises
    ------
    InputError
        If an argument is out of range, or the penalty does not return one number with a gradient.

    Examples
    --------
    >>> import torch
    >>> from flatmin import nn
    >>> from flatmin.testing.torch import check_penalty
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    >>> loss, x, y = torch.nn.CrossEntropyLoss(), torch.randn(8, 3).double(), torch.randint(2, (8,))
    >>> check_penalty(nn.HessianTracePenalty(model, loss, seed=0), model, loss, x, y).holds
    True
    """
    if of not in ("gauss_newton", "hessian"):
        raise InputError(f"of is {of!r}, expected 'gauss_newton' or 'hessian'")
    draws = whole_number(draws, "draws", 20)
    if not callable(penalty):
        raise InputError(f"penalty is a {type(penalty).__name__}, expected a function of x and y")
    weights = ModelWeights(model)
    exact, gradient = weights.evaluate(partial(_exact, loss, x, y, of))
    directions = _directions(weights, gradient, seed)
    along = torch.stack(list(directions.values()))
    found = torch.stack([_draw(penalty(x, y), weights, along) for _ in range(draws)])
    wanted = torch.cat([exact[None], along @ gradient])
    sizes = torch.cat([exact.abs()[None], gradient.norm().expand(len(along))])
    rounding = (1e3 * torch.finfo(weights.dtype).eps * sizes).clamp(min=torch.finfo(torch.float64).tiny)
    errors = torch.maximum(found.std(0) / draws**0.5, rounding)
    means = found.mean(0)
    z = (means - wanted) / errors
    p = 2 * len(z) * float(stdtr(draws - 1, -float(z.abs().max())))
    size = float(wanted[1]) if gradient.any() else 1.0
    names, value = ["value", *directions], float(means[0])
    bias, floor = float((means - wanted)[1]) / size, float(errors[1]) / size
    return PenaltyCheck(dict(zip(names, z.tolist(), strict=True)), min(p, 1.0), bias, floor, value, float(exact))


def exact_trace(model: nn.Module, loss: Any, x: Any, y: Tensor, parameters: Sequence[Tensor], of: str) -> Tensor:
    """Return the trace for a batch, which can be differentiated, by one reverse pass for each output or parameter."""
    with twice_differentiable(model):
        outputs = model(x)
    if of == "hessian":
        slopes = _row(loss(outputs, y), parameters)
        rows = [_row(slope, parameters) for slope in slopes]
        return torch.stack([row[i] for i, row in enumerate(rows)]).sum()
    J = torch.stack([_row(output, parameters) for output in outputs.flatten()])
    H = torch.autograd.functional.hessian(lambda z: loss(z, y), outputs, create_graph=True)  # type: ignore[no-untyped-call]
    return torch.as_tensor((H.reshape(len(J), -1) * (J @ J.T)).sum())


def _exact(loss: Any, x: Any, y: Tensor, of: str, model: nn.Module, leaves: list[Tensor]) -> tuple[Tensor, Tensor]:
    trace = exact_trace(model, loss, x, y, leaves, of)
    return trace.detach().double(), _row(trace, leaves).detach().double()


def _row(number: Tensor, parameters: Sequence[Tensor], graph: bool = True) -> Tensor:
    """Return the gradient of a scalar as a vector; zero for parameters on which it does not depend."""
    gradients: Sequence[Tensor | None] = [None] * len(parameters)
    if number.requires_grad:
        gradients = torch.autograd.grad(number, parameters, create_graph=graph, allow_unused=True)
    pairs = zip(gradients, parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g.to_dense()).flatten() for g, p in pairs])


def _directions(weights: ModelWeights, gradient: Tensor, seed: int) -> dict[str, Tensor]:
    """Return unit vectors: the gradient, its part for each parameter, and random ones."""
    out = {"gradient": gradient}
    parts = torch.block_diag(*torch.split(gradient, weights.numbers))  # type: ignore[no-untyped-call]
    out |= dict(zip(weights.names, parts, strict=True))
    generator = torch.Generator().manual_seed(seed)
    for i in range(_RANDOM):
        out[f"random {i + 1}"] = torch.randn(weights.size, generator=generator, dtype=torch.float64).to(gradient)
    return {name: u / u.norm().clamp(min=torch.finfo(u.dtype).tiny) for name, u in out.items()}


def _draw(value: Tensor, weights: ModelWeights, along: Tensor) -> Tensor:
    """Return the value of one draw of the penalty, and the components of its gradient along the directions."""
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        raise InputError(f"the penalty returns {value!r}, expected a tensor of one number with a gradient")
    gradient = _row(value, weights.tensors, graph=False).double()
    return torch.cat([value.detach().double()[None], along @ gradient])

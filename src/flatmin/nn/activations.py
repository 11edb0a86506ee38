"""The trace of the Hessian of a loss with respect to the outputs of one layer of a network."""

from functools import partial
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from flatmin._core.validation import shown
from flatmin.errors import InputError
from flatmin.nn.estimators.base import TraceEstimate
from flatmin.nn.operators.curvature import Curvature, CurvatureOptions, shows_options
from flatmin.nn.operators.state import ModelWeights
from flatmin.nn.operators.streaming import Batch, Loss
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = ["ShiftedActivations", "activation_trace"]

#: Largest number of axes of an activation, which all processes must agree on.
_MAX_AXES = 8


class ShiftedActivations(nn.Module):
    """A model whose layer of a given name adds a parameter, ``shift``, to its outputs.

    The layer may return a tuple; then its first entry is shifted. The model itself is not changed. A layer that is
    called more than once, or not at all, raises `InputError`.
    """

    def __init__(self, model: nn.Module, layer: str, shift: Tensor) -> None:
        super().__init__()
        self.model, self.layer, self.shift = model, layer, nn.Parameter(shift)
        #: Shape of the layer's outputs in the last call.
        self.seen: torch.Size | None = None

    def forward(self, *args: Any, **keywords: Any) -> Any:
        """Return the outputs of the model for its own arguments."""
        calls: list[torch.Size] = []
        handle = self.model.get_submodule(self.layer).register_forward_hook(lambda _, __, out: self._add(out, calls))
        try:
            out = self.model(*args, **keywords)
        finally:
            handle.remove()
        if len(calls) != 1:
            raise InputError(f"the layer {self.layer!r} was called {len(calls)} times, expected once")
        self.seen = calls[0]
        return out

    def _add(self, out: Any, calls: list[torch.Size]) -> Any:
        first = out[0] if type(out) is tuple and out else out
        if not isinstance(first, Tensor) or not first.is_floating_point():
            raise InputError(f"the layer {self.layer!r} returns a {type(first).__name__}, expected a tensor of numbers")
        calls.append(first.shape)
        if self.shift.ndim and self.shift.shape not in (first.shape, first.shape[1:]):
            raise InputError(
                f"the outputs of {self.layer!r} have shape {tuple(first.shape[1:])} in one sample and "
                f"{tuple(self.shift.shape)} in another, expected one shape; pad the samples to the same length"
            )
        shifted = first + self.shift
        return shifted if first is out else (shifted, *out[1:])


@shows_options
def activation_trace(
    model: nn.Module | Curvature,
    loss: Loss | None = None,
    data: Any = None,
    *,
    layer: str,
    method: str = "auto",
    max_products: int | None = None,
    target_std_error: float | None = None,
    seed: int = 0,
    **options: Unpack[CurvatureOptions],
) -> TraceEstimate:
    r"""Return the trace of the Hessian of the average loss, or of its Gauss-Newton part, in a layer's outputs.

    For the outputs ``a_i`` of the layer on samples i = 1…N it is ``(1/N) Σ_i tr ∇²ℓ_i(a_i)``. If all ``a_i`` are
    shifted by a common δ, the Hessian of the average loss in δ is ``(1/N) Σ_i ∇²ℓ_i(a_i)``, because samples do not
    interact. So the trace is that of `hessian_trace` for the parameter δ, with the size of one sample's activation.

    Parameters
    ----------
    model, loss, data, **options
        As for `Curvature`, or a `Curvature` in place of all of them. The model is not changed. ``parameters`` plays no
        part.
    layer : str
        Name of a submodule that is called once, such as ``"encoder.0"``. Its output has the samples along the first
        axis and the same shape for all samples; of a tuple the first entry counts.
    method, max_products, target_std_error, seed
        As for `hessian_trace`. Small activations, and Gauss-Newton parts of models with few outputs, are exact.

    Raises
    ------
    InputError
        If an argument cannot be used, the layer is no such submodule, or samples interact, as in batch norm with
        ``mode="train"``.

    Examples
    --------
    The squared error of ``2 a`` has the second derivative 8 in the activation a of every sample:

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Linear(1, 1))
    >>> _ = model[1].weight.data.fill_(2.0)
    >>> data = torch.randn(6, 3), torch.randn(6, 1)
    >>> activation_trace(model, torch.nn.MSELoss(), data, layer="0").value
    8.0
    """
    curvature = Curvature.from_arguments(model, loss, data, **options)
    inner = curvature.weights.model
    known = dict(inner.named_modules())
    if not isinstance(layer, str) or layer not in known:
        names = ", ".join(name for name in known if name)
        raise InputError(f"layer is {shown(layer)}, expected the name of a submodule: {names}")
    shift = torch.zeros(_shape(curvature, layer), dtype=curvature.dtype, device=curvature.device)
    shifted = curvature.on(ModelWeights(ShiftedActivations(inner, layer, shift), ["shift"]))
    return hessian_trace(
        shifted, method=method, max_products=max_products, target_std_error=target_std_error, seed=seed
    )


def _shape(curvature: Curvature, layer: str) -> list[int]:
    """Return the shape of one sample's activation, from the first batch of any process."""
    sizes: tuple[int, ...] = ()
    with curvature.processes.collective(), curvature.evaluations() as evaluations:
        for batch, run in evaluations:
            sizes = run(partial(_checked_shape, curvature, batch, layer))
            break
    count = curvature.processes.largest(len(sizes))
    if not count:
        raise InputError("data holds no samples, expected at least one")
    padded = (*sizes, *[0] * _MAX_AXES)
    return [curvature.processes.largest(padded[axis]) for axis in range(1, count)]


def _checked_shape(
    curvature: Curvature, batch: Batch, layer: str, model: nn.Module, leaves: list[Tensor]
) -> tuple[int, ...]:
    """Return the shape of the layer's outputs; raise `InputError` if one sample's gradient depends on another's."""
    probe = ShiftedActivations(model, layer, leaves[0].new_zeros(()))
    with torch.no_grad():
        batch.outputs(probe, curvature.loss)
    shape = probe.seen or ()
    if shape[:1] != (batch.size,):
        raise InputError(
            f"the outputs of {layer!r} have shape {tuple(shape)} for {batch.size} samples, expected one row for each"
        )
    each = ShiftedActivations(model, layer, leaves[0].new_zeros(shape))
    value = curvature.loss_of(batch, batch.outputs(each, curvature.loss))
    slope = torch.autograd.grad(value, each.shift, create_graph=True, materialize_grads=True)[0]
    row = batch.size // 2
    if slope.requires_grad:
        generator = torch.Generator().manual_seed(0)
        along = torch.randn(shape[1:], generator=generator, dtype=torch.float64).to(slope)
        bent = torch.autograd.grad((slope[row] * along).sum(), each.shift, materialize_grads=True)[0]
        others = torch.cat([bent[:row], bent[row + 1 :]])
        if float(others.abs().sum()) > 1e3 * torch.finfo(bent.dtype).eps * float(bent.abs().sum()):
            raise InputError(
                f"the loss of one sample depends on the outputs of {layer!r} for another, expected samples that do not "
                "interact, as with mode='eval' and a loss that averages over samples"
            )
    return tuple(shape)

"""Sharpness-aware minimization with a perturbation for each example."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from flatmin._core.validation import nonnegative, whole_number
from flatmin.errors import InputError
from flatmin.nn.operators.state import FAILURES, Inside
from flatmin.nn.optimizers._linear import LinearPerturbations
from flatmin.nn.optimizers._tape import CallOutput, Term, random_states, set_random_states
from flatmin.nn.optimizers.base import AGREEMENT, Seeker, distance

__all__ = ["PerExampleSAM"]

Weights = dict[str, Tensor]

_log = logging.getLogger(__name__)


class PerExampleSAM(Seeker):
    """Train with the mean of ``∇f_i(w + ρ ∇f_i(w)/‖∇f_i(w)‖)``, where f_i is the loss of example i.

    A step is the average of `SAM` steps with one example each, which favour a small trace of the Hessian. If all
    trained layers are linear, it takes two passes of the batch. Otherwise examples are vectorized with
    `torch.func.vmap` if the model allows it, and taken one by one if not.

    Parameters
    ----------
    base, model, loss
        As in `Seeker`. Tensors given to the model and the loss have the examples along their first dimension. The loss
        is the mean over examples, or the sum if ``loss.reduction == "sum"``. Batch norm is refused in training mode.
    rho : float
        The distance ρ, in the units of the weights.
    chunk : int
        Number of examples that are vectorized at once, each with a copy of the weights and gradients in memory.

    References
    ----------
    Wen, Ma, Li 2022, "How does sharpness-aware minimization minimize sharpness?", arXiv 2211.05729.

    Examples
    --------
    >>> import torch
    >>> from flatmin.nn import PerExampleSAM
    >>> model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
    >>> optimizer = PerExampleSAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, rho=0.05)
    """

    replays = True
    gradient_evaluations = 2  # for each example; the gradient of the batch, which the loop computes, is not counted
    local = True

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, rho: float = 0.05, *, chunk: int = 32) -> None:
        super().__init__(base, model, loss)
        self.rho = nonnegative(rho, "rho")
        if getattr(self.loss, "reduction", "mean") not in ("mean", "sum"):
            raise InputError(f"the reduction of the loss is {self.loss.reduction!r}, expected 'mean' or 'sum'")
        self.chunk = whole_number(chunk, "chunk", 1)
        names = {id(p): name for name, p in model.named_parameters()}
        if any(id(p) not in names for p in self.parameters):
            raise InputError("the optimizer has a parameter outside the model, expected those of the model alone")
        self._names = [names[id(p)] for p in self.parameters]
        self._vectorizes: bool | None = None
        self._linear: bool | None = None

    def seek(self) -> None:
        """Replace the gradient of the batch by the mean over examples."""
        perturbations = self._linear_perturbations()
        if perturbations is None:
            self.assign([g / (self._scale or 1.0) for g in self._total(self.rho)[0]])
        else:
            with perturbations.applied():
                self.assign(self.gradient())

    def _linear_perturbations(self) -> LinearPerturbations | None:
        """Return the perturbations of all examples by the linear route, None if the model does not allow it."""
        assert self._tape is not None
        counts = [examples.count for examples in self._examples()]
        if self._linear is False:
            return None
        found = LinearPerturbations(self.model, self.parameters)
        if not (found.apply and found.find(self._tape, counts, self.rho)):
            self._linear = False
        elif self._linear is None:  # False if the weight of a layer is also used outside the layer
            gradient = found.gradient()
            ordered = [gradient.get(id(p)) for p in self.parameters]
            self._linear = distance(ordered, self._batch_gradient(), found.size) <= AGREEMENT
        return found if self._linear else None

    def _batch_gradient(self) -> list[Tensor | None]:
        """Return the gradient that the loop computed, multiplied by the scale of a GradScaler."""
        return [None if p.grad is None else p.grad * (self._scale or 1.0) for p in self.parameters]

    def _examples(self) -> list[_Examples]:
        """Return the examples of each recorded pass; raise `InputError` if batch norm mixes them."""
        assert self._tape is not None
        if any(isinstance(m, _BatchNorm) and m.training for m in self.model.modules()):
            raise InputError(
                "the model has batch norm in training mode, which mixes examples, expected none, or batch norm in "
                "evaluation mode"
            )
        return [_Examples(term, self.model, self.loss) for term in self._tape.terms]

    @torch.no_grad()
    def _total(self, rho: float) -> tuple[list[Tensor], float]:
        """Return the sums over examples of the gradients at distance ρ and of the norms, times a GradScaler's scale."""
        assert self._tape is not None
        weights = dict(zip(self._names, (p.detach() for p in self.parameters), strict=True))
        lengths, total = 0.0, {name: torch.zeros_like(w) for name, w in weights.items()}
        with self._tape.replaying():
            for examples in self._examples():
                if self._vectorizes is None:
                    self._vectorizes = examples.can_vectorize(weights)
                size = self.chunk if self._vectorizes else 1
                with examples.model_call.restored():
                    for start in range(0, examples.count, size):
                        part, norms = examples.gradient(weights, slice(start, start + size), rho, self._vectorizes)
                        lengths += float(norms.sum())
                        for name, g in part.items():
                            total[name] += g
        return list(total.values()), lengths

    def _check_agreement(self) -> None:
        """Raise `InputError` also if the batch gradient is not the mean over examples, unless random masks differ."""
        super()._check_agreement()
        if any(examples.is_random for examples in self._examples()):
            return
        total, lengths = self._total(0.0)
        if not distance(total, self._batch_gradient(), lengths) <= AGREEMENT:  # NaN counts as a difference
            raise InputError(
                "the loss of the batch is not the mean over its examples (or their sum, if that is its reduction), "
                "expected a loss without class weights and ignored targets"
            )


class _Examples:
    """The examples of one recorded pass."""

    def __init__(self, term: Term, model: nn.Module, loss: nn.Module) -> None:
        self.model, self.loss, self.loss_call = model, loss, term.call
        calls = {x.call: None for x in term.call.inputs if isinstance(x, CallOutput)}
        if len(calls) != 1 or term.upstream is None or term.upstream.numel() != 1:
            raise InputError("the loss is not a scalar of one pass of the model, expected loss(model(x), y)")
        (self.model_call,) = calls
        tensors = [x for x in self.model_call.inputs if isinstance(x, Tensor) and x.ndim]
        if not tensors:
            raise InputError("the model was called without a tensor of examples, expected model(x)")
        self.count = len(tensors[0])
        self.upstream = term.upstream / (1 if getattr(loss, "reduction", "mean") == "sum" else self.count)
        inputs: list[Any] = [*self.model_call.inputs, *self.loss_call.inputs]
        self._where = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.ndim and len(x) == self.count]
        self._inputs = inputs

    @property
    def is_random(self) -> bool:
        """Whether the model drew random numbers."""
        before, after = self.model_call.random, self.loss_call.random
        return any(not torch.equal(state, after[device]) for device, state in before.items() if device in after)

    def value(self, weights: Weights, *examples: Tensor) -> Tensor:
        """Return the loss of one example (first dimension 1) times the upstream gradient."""
        return self._value(lambda args, kwargs: functional_call(self.model, weights, args, kwargs), examples)

    def _value(self, model: Callable[..., Any], examples: Sequence[Tensor]) -> Tensor:
        inputs = list(self._inputs)
        for i, x in zip(self._where, examples, strict=True):
            inputs[i] = x
        n = len(self.model_call.inputs)
        with self.model_call.restored(random=False):
            outputs = tree_leaves(model(*self.model_call.arguments(inputs[:n])))
        args, kwargs = self.loss_call.arguments(
            [outputs[x.index] if isinstance(x, CallOutput) else x for x in inputs[n:]]
        )
        with self.loss_call.restored(random=False):
            return torch.sum(self.upstream * self.loss(*args, **kwargs))

    def gradient(self, weights: Weights, part: slice, rho: float, vectorized: bool) -> tuple[Weights, Tensor]:
        """Return the sum of perturbed gradients of some examples (one if not vectorized), and norms of plain ones."""
        batch = [self._inputs[i][part] for i in self._where]
        gradients = self._stacked if vectorized else self._single
        state = random_states(self.model_call.random)
        first = gradients(weights, batch, None)
        norms = torch.stack([g.flatten(1).double().norm(dim=1) for g in first.values()]).norm(dim=0)
        lengths = torch.where(norms > 0, rho / norms.clamp(min=torch.finfo(torch.float64).tiny), 0.0)
        moved = {name: weights[name] + lengths.to(g).reshape(-1, *[1] * (g.ndim - 1)) * g for name, g in first.items()}
        set_random_states(state)
        return {name: g.sum(0) for name, g in gradients(moved, batch, 0).items()}, norms

    def _stacked(self, weights: Weights, batch: list[Tensor], along: int | None) -> Weights:
        """Return the gradients of all examples, stacked; their weights are stacked along axis 0, or shared (None)."""
        over = (along, *[0] * len(batch))
        of_each = vmap(grad(self.value), over, randomness="different")
        found: Weights = of_each(weights, *[x.unsqueeze(1) for x in batch])
        return found

    def _single(self, weights: Weights, batch: list[Tensor], along: int | None) -> Weights:
        """Return the gradients of one example, with a first dimension of 1."""
        torch.clear_autocast_cache()
        leaves = {name: (w if along is None else w[0]).detach().requires_grad_() for name, w in weights.items()}

        def differentiated(model: nn.Module) -> tuple[Tensor | None, ...]:
            with torch.enable_grad():
                value = self._value(lambda args, kwargs: model(*args, **kwargs), batch)
            return torch.autograd.grad(value, list(leaves.values()), allow_unused=True)

        # The backward pass too runs with the weights in place, since a checkpointed model reads them again.
        inside = {f"model.{name}": w for name, w in leaves.items()}
        found = functional_call(Inside(self.model), inside, (differentiated,))
        return {
            name: (torch.zeros_like(w) if g is None else g).unsqueeze(0)
            for (name, w), g in zip(leaves.items(), found, strict=True)
        }

    def can_vectorize(self, weights: Weights) -> bool:
        """Return whether `torch.func.vmap` can evaluate the model, tried on two examples."""
        try:
            with self.model_call.restored():
                self.gradient(weights, slice(0, 2), 0.0, True)
        except FAILURES as error:  # an error of the model itself is raised again when examples are taken one by one
            _log.info("examples are differentiated one by one, since vmap cannot evaluate the model: %s", error)
            return False
        return True

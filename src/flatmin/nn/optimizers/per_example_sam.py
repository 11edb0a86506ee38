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

from flatmin.errors import InputError
from flatmin.nn.operators.state import FAILURES
from flatmin.nn.optimizers._linear import LinearMoves
from flatmin.nn.optimizers._settings import number, whole
from flatmin.nn.optimizers._tape import Output, Term, random_states, set_random_states
from flatmin.nn.optimizers.base import AGREEMENT, Seeker, distance

__all__ = ["PerExampleSAM"]

Weights = dict[str, Tensor]

_log = logging.getLogger(__name__)


class PerExampleSAM(Seeker):
    """Train with the mean of ``∇f_i(w + ρ ∇f_i(w)/‖∇f_i(w)‖)`` over the examples i: each goes to its own worst weights.

    This is what steps of `SAM` with one example each do on average, and said to make the trace of the Hessian small.
    Where the trained layers are linear, as in a perceptron, two passes of the batch do it. Otherwise examples are
    vectorized with `torch.func.vmap` where the model allows it, and else taken one by one.

    Parameters
    ----------
    base, model, loss
        As in `Seeker`. Tensors given to the model and the loss have the examples along their first dimension; the loss
        is a mean or (``loss.reduction == "sum"``) a sum of one loss an example: batch norm is refused in training mode.
    rho : float
        The distance ρ, in the units of the weights.
    chunk : int
        Examples at a time that are vectorized: that many copies of the weights and of the gradient are in memory.

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
    local = True

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, rho: float = 0.05, *, chunk: int = 32) -> None:
        super().__init__(base, model, loss)
        self.rho = number("rho", rho)
        if getattr(self.loss, "reduction", "mean") not in ("mean", "sum"):
            raise InputError(f"the reduction of the loss is {self.loss.reduction!r}, expected 'mean' or 'sum'")
        self.chunk = whole("chunk", chunk, least=1)
        names = {id(p): name for name, p in model.named_parameters()}
        if any(id(p) not in names for p in self.parameters):
            raise InputError("the optimizer has a parameter outside the model, expected those of the model alone")
        self._names = [names[id(p)] for p in self.parameters]
        self._vectorizes: bool | None = None
        self._linear: bool | None = None

    @property
    def gradient_evaluations(self) -> int:
        """Two: each example's, at the weights and beside them; the batch's, which the loop computes, is not counted."""
        return 2

    def seek(self) -> None:
        """Put the mean of the examples' gradients in place of that of the batch."""
        self._check_norms()
        moves = self._linear_moves()
        if moves is None:
            self.assign([g / (self._scale or 1.0) for g in self._total(self.rho)[0]])
        else:
            with moves.made():
                self.assign(self.gradient())

    def _linear_moves(self) -> LinearMoves | None:
        """Return the moves of all examples, None where they need weights of their own."""
        assert self._tape is not None
        counts = [self._examples(term).count for term in self._tape.terms]
        if self._linear is False:
            return None
        moves = LinearMoves(self.model, self.parameters)
        if not (moves.apply and moves.find(self._tape, counts, self.rho)):
            self._linear = False
        elif self._linear is None:  # no, if a layer's weight is used outside of it
            found = moves.gradient()
            ordered = [found.get(id(p)) for p in self.parameters]
            self._linear = distance(ordered, self._batch_gradient(), moves.size) <= AGREEMENT
        return moves if self._linear else None

    def _batch_gradient(self) -> list[Tensor | None]:
        """Return the gradient that the loop computed, with the scale of a GradScaler."""
        return [None if p.grad is None else p.grad * (self._scale or 1.0) for p in self.parameters]

    def _examples(self, term: Term) -> _Examples:
        return _Examples(term, self.model, self.loss)

    def _check_norms(self) -> None:
        """Raise `InputError` if batch norm mixes examples."""
        if any(isinstance(m, _BatchNorm) and m.training for m in self.model.modules()):
            raise InputError(
                "the model has batch norm in training mode, which mixes examples, expected none, or batch norm in "
                "evaluation mode"
            )

    @torch.no_grad()
    def _total(self, rho: float) -> tuple[list[Tensor], float]:
        """Return the sum over all examples of their gradients at distance ρ, and of their lengths, with any scale."""
        assert self._tape is not None
        weights = dict(zip(self._names, (p.detach() for p in self.parameters), strict=True))
        lengths, total = 0.0, {name: torch.zeros_like(w) for name, w in weights.items()}
        with self._tape.running():
            for term in self._tape.terms:
                examples = self._examples(term)
                if self._vectorizes is None:
                    self._vectorizes = examples.can_vectorize(weights)
                size = self.chunk if self._vectorizes else 1
                with examples.model_call.circumstances():
                    for start in range(0, examples.count, size):
                        part, norms = examples.gradient(weights, slice(start, start + size), rho, self._vectorizes)
                        lengths += float(norms.sum())
                        for name, g in part.items():
                            total[name] += g
        return list(total.values()), lengths

    def _check_agreement(self) -> None:
        """Raise `InputError` also if the batch's gradient is not made of its examples'; random masks hide that."""
        super()._check_agreement()
        self._check_norms()
        assert self._tape is not None
        if any(self._examples(term).drew for term in self._tape.terms):
            return
        total, lengths = self._total(0.0)
        if not distance(total, self._batch_gradient(), lengths) <= AGREEMENT:  # nor where an example gives NaN
            raise InputError(
                "the loss of the batch is not the mean of its examples' (the sum, if its reduction says so), expected "
                "one without weights a class and without ignored targets"
            )


class _Examples:
    """The examples of a recorded pass."""

    def __init__(self, term: Term, model: nn.Module, loss: nn.Module) -> None:
        self.model, self.loss, self.loss_call = model, loss, term.call
        calls = {x.call: None for x in term.call.inputs if isinstance(x, Output)}
        if len(calls) != 1 or term.upstream is None or term.upstream.numel() != 1:
            raise InputError("the loss has two passes of the model in it or is no scalar, expected loss(model(x), y)")
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
    def drew(self) -> bool:
        """Whether the model drew random numbers."""
        before, after = self.model_call.random, self.loss_call.random
        return any(not torch.equal(state, after[device]) for device, state in before.items() if device in after)

    def value(self, weights: Weights, *examples: Tensor) -> Tensor:
        """Return the loss of one example, given with a first dimension of 1, in the units of the upstream gradient."""
        return self._value(lambda args, kwargs: functional_call(self.model, weights, args, kwargs), examples)

    def _value(self, model: Callable[..., Any], examples: Sequence[Tensor]) -> Tensor:
        inputs = list(self._inputs)
        for i, x in zip(self._where, examples, strict=True):
            inputs[i] = x
        n = len(self.model_call.inputs)
        with self.model_call.circumstances(random=False):
            outputs = tree_leaves(model(*self.model_call.arguments(inputs[:n])))
        args, kwargs = self.loss_call.arguments([outputs[x.index] if isinstance(x, Output) else x for x in inputs[n:]])
        with self.loss_call.circumstances(random=False):
            return torch.sum(self.upstream * self.loss(*args, **kwargs))

    def gradient(self, weights: Weights, part: slice, rho: float, vectorized: bool) -> tuple[Weights, Tensor]:
        """Return the sum of some examples' gradients (of one, if not vectorized), and norms at the weights."""
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
        """Return the gradients of all examples along a first dimension; their weights are along 0, or common (None)."""
        over = (along, *[0] * len(batch))
        of_each = vmap(grad(self.value), over, randomness="different")
        found: Weights = of_each(weights, *[x.unsqueeze(1) for x in batch])
        return found

    def _single(self, weights: Weights, batch: list[Tensor], along: int | None) -> Weights:
        """Return the same for one example."""
        torch.clear_autocast_cache()
        leaves = {name: (w if along is None else w[0]).detach().requires_grad_() for name, w in weights.items()}

        def differentiated(model: nn.Module) -> tuple[Tensor | None, ...]:
            with torch.enable_grad():
                value = self._value(lambda args, kwargs: model(*args, **kwargs), batch)
            return torch.autograd.grad(value, list(leaves.values()), allow_unused=True)

        # All of it while the weights are in place: a checkpoint has to find them when it goes back.
        inside = {f"model.{name}": w for name, w in leaves.items()}
        found = functional_call(_Inside(self.model), inside, (differentiated,))
        return {
            name: (torch.zeros_like(w) if g is None else g).unsqueeze(0)
            for (name, w), g in zip(leaves.items(), found, strict=True)
        }

    def can_vectorize(self, weights: Weights) -> bool:
        """Return whether `torch.func.vmap` can evaluate the model, tried on two examples."""
        try:
            with self.model_call.circumstances():
                self.gradient(weights, slice(0, 2), 0.0, True)
        except FAILURES as error:  # an error of the model itself is raised again when examples are taken one by one
            _log.info("examples are differentiated one by one, since vmap cannot evaluate the model: %s", error)
            return False
        return True


class _Inside(nn.Module):
    """Calls a function of a model as its own forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, function: Callable[[nn.Module], Any]) -> Any:
        return function(self.model)

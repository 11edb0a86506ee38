"""Training methods that recipes compare; each has one strength, which is tuned."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from flatmin.lab.recipes._tuning.replicas import EachSAM, Replicas
from flatmin.nn.optimizers.label_noise import LabelNoise
from flatmin.nn.optimizers.weight_decay import WeightDecay
from flatmin.nn.penalty import HessianTracePenalty

__all__ = ["METHODS", "Method", "Training", "standardize", "whiten"]

#: Whitening leaves out directions whose variance is below this share of the largest variance.
UNSEEN = 1e-10


@dataclass(frozen=True)
class Training:
    """An optimizer of torch or of `flatmin.nn.optimizers`, and the function of inputs and targets to minimise."""

    optimizer: Optimizer
    objective: Callable[[Tensor, Tensor], Tensor]


#: A function from a model, a loss, the usual step size and a strength to a `Training`.
Start = Callable[[Replicas, nn.Module, float, float], Training]


@dataclass(frozen=True)
class Method:
    """A training method; ``transform(x)`` is the matrix, computed from training inputs, that multiplies all inputs."""

    start: Start
    transform: Callable[[Tensor], Tensor] | None = None


def _on_loss(optimizer: Optimizer, model: nn.Module, loss: nn.Module) -> Training:
    return Training(optimizer, lambda x, y: loss(model(x), y))


def _plain(model: Replicas, loss: nn.Module, lr: float, strength: float) -> Training:
    """Train on the loss alone; the strength is the step size in units of the usual one."""
    return _on_loss(Adam(model.parameters(), lr=lr * strength), model, loss)


def _weight_decay(model: Replicas, loss: nn.Module, lr: float, strength: float) -> Training:
    """Add ``strength |w|²`` to each replica's loss: torch adds ``weight_decay · w`` to the mean's gradient."""
    decay = 2 * strength / len(model)
    return _on_loss(Adam(model.parameters(), lr=lr, weight_decay=decay), model, loss)


def _decoupled_decay(model: Replicas, loss: nn.Module, lr: float, strength: float) -> Training:
    """Shrink the weights at the rate ``strength``, as AdamW does."""
    return _on_loss(WeightDecay(Adam(model.parameters(), lr=lr), model, loss, strength), model, loss)


def _trace_penalty(model: Replicas, loss: nn.Module, lr: float, strength: float) -> Training:
    """Add ``strength`` times the Gauss-Newton trace to the loss."""
    penalty = HessianTracePenalty(model, loss, seed=0)
    return Training(Adam(model.parameters(), lr=lr), lambda x, y: penalty.objective(x, y, strength))


def _sam(model: Replicas, loss: nn.Module, lr: float, strength: float) -> Training:
    """Take gradients at the distance ρ = strength uphill."""
    return _on_loss(EachSAM(Adam(model.parameters(), lr=lr), model, loss, strength), model, loss)


def _label_noise(model: Replicas, loss: nn.Module, lr: float, strength: float) -> Training:
    """Add noise of standard deviation ``strength`` to targets; replace classes by random ones with this probability."""
    return _on_loss(LabelNoise(Adam(model.parameters(), lr=lr), model, loss, strength), model, loss)


def _label_smoothing(model: Replicas, loss: nn.Module, lr: float, strength: float) -> Training:
    """Spread a share ``strength`` of each label over all classes."""
    smooth: Any = copy.copy(loss)
    smooth.label_smoothing = strength
    return _on_loss(Adam(model.parameters(), lr=lr), model, smooth)


def standardize(x: Tensor) -> Tensor:
    """Return the diagonal matrix that gives each input that varies a mean square of 1."""
    size = x.square().mean(0).sqrt()
    return torch.diag(torch.where(size > UNSEEN**0.5 * size.max(), 1 / size, 0.0))


def whiten(x: Tensor) -> Tensor:
    """Return the symmetric matrix W for which the second moments of ``x W`` are the identity."""
    values, vectors = torch.linalg.eigh((x.T @ x / len(x)).double())
    inverse_root = torch.where(values > UNSEEN * values[-1], values.clamp(min=1e-300) ** -0.5, 0.0)
    matrix: Tensor = vectors * inverse_root @ vectors.T
    return matrix.to(x.dtype)


#: All methods by name.
METHODS: dict[str, Method] = {
    "plain": Method(_plain),
    "weight decay": Method(_weight_decay),
    "decoupled decay": Method(_decoupled_decay),
    "trace penalty": Method(_trace_penalty),
    "SAM": Method(_sam),
    "label noise": Method(_label_noise),
    "label smoothing": Method(_label_smoothing),
    "standardized + decay": Method(_weight_decay, standardize),
    "standardized + trace": Method(_trace_penalty, standardize),
    "whitened + decay": Method(_weight_decay, whiten),
}

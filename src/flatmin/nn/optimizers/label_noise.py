"""Label noise: every step draws new noise on the targets."""

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flatmin._core.validation import nonnegative
from flatmin.errors import InputError
from flatmin.nn.optimizers._random import RandomSeeker
from flatmin.nn.optimizers._watcher import Watcher

__all__ = ["LabelNoise"]


class LabelNoise(RandomSeeker):
    """Add noise to the targets whenever the loss is called in training.

    Real targets get normal noise; class labels are replaced, with a given probability, by a class drawn uniformly. At
    zero loss, the noise drives the weights to where the trace of the Hessian is smallest. Noise is added only if
    gradients are recorded and the model is in training mode. The loop sees the loss of the noisy targets. The processes
    of a process group draw different noise, with any seed.

    Parameters
    ----------
    base, model, loss
        As in `Seeker`; the loss is called as ``loss(output, target)``.
    noise : float
        For real targets, the standard deviation of the noise in the targets' units. For class labels, the probability
        of a random class, at most 1.
    seed : int
        Seed of the noise.

    References
    ----------
    Blanc et al. 2020, arXiv 1904.09080; Damian, Ma, Lee 2021, arXiv 2106.06530; Li, Wang, Arora 2021, arXiv 2110.06914.

    Examples
    --------
    >>> import torch
    >>> from flatmin.nn import LabelNoise
    >>> model, loss = torch.nn.Linear(3, 1), torch.nn.MSELoss()
    >>> optimizer = LabelNoise(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, noise=0.5)
    >>> x, y = torch.ones(8, 3), torch.zeros(8, 1)
    >>> bool(loss(model(x), y) == torch.mean((model(x) - y) ** 2))
    False
    """

    transparent = True

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, noise: float = 0.1, *, seed: int = 0) -> None:
        super().__init__(base, model, loss, seed)
        if isinstance(self.loss, nn.BCELoss):
            raise InputError("loss is BCELoss, which needs targets between 0 and 1, expected BCEWithLogitsLoss")
        self.noise = nonnegative(noise, "noise")

    def _watch(self) -> None:
        super()._watch()
        self._labels = _Labels(self)

    def _advance(self) -> None:
        """Take the step; raise `InputError` if no target got noise since the last one."""
        if not self._labels.seen:
            raise InputError(
                "no target was seen since the last step, expected loss(model(x), y) with the loss of the optimizer (of "
                "one that is a function: optimizer.loss) and the model in training mode"
            )
        self._labels.seen = 0
        super()._advance()

    def noisy(self, output: Tensor, target: Tensor, ignored: int | None) -> Tensor:
        """Return a target with noise."""
        if target.is_floating_point():
            noise = torch.randn(target.shape, generator=self.of_this_process(), dtype=torch.float64)
            return target + (self.noise * noise).to(target)
        if target.dtype == torch.bool or target.is_complex() or output.ndim == 0 or output.ndim == target.ndim > 0:
            raise InputError(
                f"targets are {target.dtype}, expected real numbers, or class labels with one output for each class"
            )
        nonnegative(self.noise, "noise, the probability of a random class,", maximum=1)
        classes = output.shape[0] if output.ndim == 1 else output.shape[1]
        generator = self.of_this_process()
        changed = torch.rand(target.shape, generator=generator) < self.noise
        drawn = torch.randint(classes, target.shape, generator=generator)
        changed = changed.to(target.device) & (target != ignored if ignored is not None else True)
        return torch.where(changed, drawn.to(target), target)


class _Labels(Watcher):
    """The hook on the loss; it runs before the hooks of inner wrappers, which then record the noisy targets."""

    def __init__(self, owner: LabelNoise) -> None:
        super().__init__(owner, owner.loss)
        self.owner, self.seen = weakref.ref(owner), 0
        self.hook(owner.loss.register_forward_pre_hook, self._before, prepend=True)

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        owner = self.owner() if self.watches(module) and torch.is_grad_enabled() else None
        if owner is None or not owner.model.training:
            return None
        output = args[0] if args else kwargs.get("input")
        target = args[1] if len(args) > 1 else kwargs.get("target")
        if not isinstance(target, Tensor) or not isinstance(output, Tensor):
            raise InputError("the loss was called without a target tensor, expected loss(output, target)")
        noisy = owner.noisy(output, target, getattr(module, "ignore_index", None))
        self.seen += 1
        return ((args[0], noisy, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "target": noisy})

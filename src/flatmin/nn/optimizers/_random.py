"""What is common to optimizers that draw random numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flatmin.nn.optimizers._settings import whole
from flatmin.nn.optimizers.base import Seeker

__all__ = ["RandomSeeker"]


class RandomSeeker(Seeker):
    """A seeker that draws: from a generator of its own, whose state is part of `state_dict`."""

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, seed: int) -> None:
        super().__init__(base, model, loss)
        self.generator = torch.Generator().manual_seed(whole("seed", seed, least=0))

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers of the shape, type and place of a tensor, the same ones on every device."""
        kind = like.dtype if like.dtype == torch.float64 else torch.float32
        return torch.randn(like.shape, generator=self.generator, dtype=kind).to(like)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the wrapped optimizer, and that of the generator."""
        return {**super().state_dict(), self._key: self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken; after that of a plain optimizer, with the generator as it is."""
        super().load_state_dict(state_dict)
        if self._key in state_dict:
            self.generator.set_state(state_dict[self._key].cpu())

    @property
    def _key(self) -> str:
        return f"{type(self).__name__}.generator"

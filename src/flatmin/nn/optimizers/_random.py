"""`RandomSeeker`: the base class of flatness-seeking optimizers that draw random numbers."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from flatmin._core.validation import whole_number
from flatmin.nn.operators.state import is_sharded
from flatmin.nn.optimizers.base import Seeker

__all__ = ["RandomSeeker"]

#: Number of seeds that a process draws from, and the difference between the seeds of two processes.
_SEEDS, _SEEDS_APART = 1 << 62, 1_000_003


class RandomSeeker(Seeker):
    """A seeker with a random generator of its own, whose state is part of `state_dict`."""

    def __init__(self, base: Optimizer, model: nn.Module, loss: Any, seed: int) -> None:
        super().__init__(base, model, loss)
        self.generator = torch.Generator().manual_seed(whole_number(seed, "seed", 0))

    def normal(self, like: Tensor) -> Tensor:
        """Return standard normal numbers with the shape, dtype and device of a tensor, equal on every device."""
        kind = like.dtype if like.dtype == torch.float64 else torch.float32
        drawn = torch.randn(like.shape, generator=self.generator, dtype=kind).to(like.device, like.dtype)
        if not is_sharded(like):
            return drawn
        from torch.distributed.tensor import distribute_tensor  # its import takes a fifth of the time of this package

        shards: Any = like
        return distribute_tensor(drawn, shards.device_mesh, shards.placements)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the wrapped optimizer and of the generator."""
        return {**super().state_dict(), self._key: self.generator.get_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both states; the state of a plain optimizer leaves the generator as it is."""
        super().load_state_dict(state_dict)
        if self._key in state_dict:
            self.generator.set_state(state_dict[self._key].cpu())

    def of_this_process(self) -> torch.Generator:
        """Return a generator for numbers that belong to examples: in a process group, one that no other process has.

        `generator` itself has the same state in all processes, so that any of them can write it to a checkpoint.
        """
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return self.generator
        drawn = int(torch.randint(_SEEDS, (), generator=self.generator))
        return torch.Generator().manual_seed(drawn + _SEEDS_APART * dist.get_rank())

    @property
    def _key(self) -> str:
        return f"{type(self).__name__}.generator"

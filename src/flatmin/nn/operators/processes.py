"""Reductions over the processes of a data-parallel job."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from flatmin.errors import InputError

__all__ = ["ProcessGroup"]


class ProcessGroup:
    """The processes that share a data set: this one only (``distributed=False``), all (True), or those of a group."""

    def __init__(self, distributed: Any, device: torch.device) -> None:
        self.group, self.device, self.count = None, device, 1
        if distributed is False:
            return
        if not (dist.is_available() and dist.is_initialized()):
            raise InputError(
                "distributed is set without a process group, expected one; call torch.distributed.init_process_group"
            )
        if distributed is not True and not isinstance(distributed, dist.ProcessGroup):
            raise InputError(f"distributed is a {type(distributed).__name__}, expected True, False or a process group")
        self.group = dist.group.WORLD if distributed is True else distributed
        self.count = dist.get_world_size(self.group)

    def sums(self, tensor: Tensor, number: float) -> tuple[Tensor, float]:
        """Return the sums over all processes of a tensor, which may be overwritten, and of a number."""
        if self.group is None:
            return tensor, number
        count = torch.tensor(number, dtype=torch.float64, device=self.device)
        dist.all_reduce(count, group=self.group)
        tensor = tensor.contiguous()
        dist.all_reduce(tensor, group=self.group)
        return tensor, count.item()

    def largest(self, number: int) -> int:
        """Return the maximum of a number over all processes."""
        if self.group is None:
            return number
        maximum = torch.tensor(number, device=self.device)
        dist.all_reduce(maximum, dist.ReduceOp.MAX, group=self.group)
        return int(maximum.item())

    @contextmanager
    def collective(self) -> Iterator[None]:
        """Run a block in all processes; if it fails in one, all raise instead of waiting for it."""
        if self.group is None:
            yield
            return
        failed = torch.zeros(1, dtype=torch.float64, device=self.device)
        try:
            yield
        except Exception:  # reported to the others, and raised again
            dist.all_reduce(failed + 1, group=self.group)
            raise
        dist.all_reduce(failed, group=self.group)
        if failed.item():
            raise InputError(f"{failed.item():.0f} of {self.count} processes failed; the reason is in their own errors")

    def check_same(self, tensors: Sequence[Tensor]) -> None:
        """Raise `InputError` unless the weights are equal in all processes."""
        if self.group is None:
            return
        sums = [(t.detach().double().sum(), t.detach().double().square().sum()) for t in tensors]
        total, squares = (torch.stack(s).sum() for s in zip(*sums, strict=True))
        size = float(sum(t.numel() for t in tensors))
        mine = torch.stack([squares.new_tensor(size), total, squares]).to(self.device)
        low, high = mine.clone(), mine.clone()
        dist.all_reduce(low, dist.ReduceOp.MIN, group=self.group)
        dist.all_reduce(high, dist.ReduceOp.MAX, group=self.group)
        scale = torch.stack([high[0], (high[0] * high[2]).sqrt(), high[2]])
        if bool((high - low > 1e-6 * scale).any()):
            raise InputError("the processes hold different weights, expected copies of one model")

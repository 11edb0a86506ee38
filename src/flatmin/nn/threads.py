"""Thread limit of PyTorch: blocks of code that run on one thread, which is faster on small matrices."""

from contextlib import AbstractContextManager

import torch

from flatmin._core.threads import ThreadLimit

__all__ = ["one_torch_thread"]


class _TorchLimit(ThreadLimit):
    """PyTorch's numbers of threads: one number for each calling thread, and a default for threads that start later."""

    def read(self) -> list[int]:
        return [torch.get_num_threads()]

    def limit(self) -> None:
        self.read()  # the first reading in a thread fetches the default, and would do so after a number was set
        torch.set_num_threads(1)

    def restore(self, former: list[int]) -> None:
        torch.set_num_threads(*former)


_limit = _TorchLimit(per_thread=True)


def one_torch_thread() -> AbstractContextManager[None]:
    """Let PyTorch use one thread inside the block; blocks may be nested and may overlap in several threads."""
    return _limit.hold()

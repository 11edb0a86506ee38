"""Hooks on modules that are removed with their owner and have no effect on copies of the modules."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

__all__ = ["RUNNING", "Watcher"]

#: True while recorded passes are replayed; watchers ignore them.
RUNNING: ContextVar[bool] = ContextVar("RUNNING", default=False)


class Watcher:
    """The owner of hooks on modules; a hook acts only if `watches` is true for its module.

    `watches` is false for copied or pickled modules, which keep the hooks of the original, as in
    `torch.optim.swa_utils.AveragedModel`.
    """

    def __init__(self, owner: object, *modules: nn.Module) -> None:
        self._modules = modules
        self._handles: list[RemovableHandle] = []
        weakref.finalize(owner, self.close)

    def hook(self, register: Callable[..., RemovableHandle], function: Callable[..., Any], **options: Any) -> None:
        """Register a hook, which is removed together with the owner."""
        self._handles.append(register(function, with_kwargs=True, **options))

    def watches(self, module: nn.Module) -> bool:
        """Return whether this module is watched and no recorded pass is being replayed."""
        return any(module is mine for mine in self._modules) and not RUNNING.get()

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Watcher:
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _blind, (type(self),)


def _blind(kind: type[Watcher]) -> Watcher:
    """Return a watcher of no modules, which replaces a watcher in a pickled module."""
    watcher = kind.__new__(kind)
    watcher._modules, watcher._handles = (), []
    return watcher

"""Hooks on modules that end with their owner and do not follow the modules into copies."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

__all__ = ["RUNNING", "Watcher"]

#: True while recorded passes run again: no watcher looks then.
RUNNING: ContextVar[bool] = ContextVar("RUNNING", default=False)


class Watcher:
    """What hooks on modules belong to.

    A copy of a watched module (`torch.optim.swa_utils.AveragedModel` makes one) or a pickled one is not watched, though
    its hooks came along: a hook acts only where `watches` says so.
    """

    def __init__(self, owner: object, *modules: nn.Module) -> None:
        self._modules = modules
        self._handles: list[RemovableHandle] = []
        weakref.finalize(owner, self.close)

    def hook(self, register: Callable[..., RemovableHandle], function: Callable[..., Any], **options: Any) -> None:
        """Register a hook, to be removed when the owner is gone."""
        self._handles.append(register(function, with_kwargs=True, **options))

    def watches(self, module: nn.Module) -> bool:
        """Return whether this very module is watched, and recorded passes are not running again."""
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
    """Return a watcher of nothing: what is left of one in a pickled module."""
    watcher = kind.__new__(kind)
    watcher._modules, watcher._handles = (), []
    return watcher

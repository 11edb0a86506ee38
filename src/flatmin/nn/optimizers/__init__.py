"""Flatness-seeking optimizers: each file defines a wrapper around any torch optimizer and is found automatically."""

from typing import Any

from flatmin._core.registry import public_names
from flatmin.nn.optimizers.base import Seeker

_FOUND = public_names(__name__, list(__path__))
__all__ = ["Seeker", *_FOUND]


def __getattr__(name: str) -> Any:
    if name in _FOUND:
        return _FOUND[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


__dir__ = __all__.copy

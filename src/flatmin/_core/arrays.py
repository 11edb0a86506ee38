"""The type of arrays in annotations, the library that an array belongs to, and the order of cells."""

import sys
from typing import Any

import numpy as np

__all__ = ["Array", "in_row_major_order", "namespace", "on_host"]

Array = np.ndarray[Any, np.dtype[Any]]


def namespace(array: Any) -> Any:
    """Return the library of an array, NumPy or PyTorch, so that a formula is written only once for both."""
    name = type(array).__module__.partition(".")[0]
    return sys.modules["torch"] if name == "torch" else np


def on_host(value: Any) -> Any:
    """Return a PyTorch tensor as an array of NumPy, without its gradient, and any other value unchanged."""
    tensor: Any = getattr(sys.modules.get("torch"), "Tensor", ())
    if not isinstance(value, tensor):
        return value
    return value.detach().cpu().resolve_conj().resolve_neg().numpy()


def in_row_major_order(rows: Array, cols: Array, step: int = 1 << 16) -> bool:
    """Return whether cells are sorted by row and column, without allocating an array with an element for each cell."""
    for i in range(0, len(rows) - 1, step):
        r, c = rows[i : i + step + 1], cols[i : i + step + 1]
        if np.any((r[1:] < r[:-1]) | ((r[1:] == r[:-1]) & (c[1:] < c[:-1]))):
            return False
    return True

"""The type of arrays in annotations, and the library that an array belongs to."""

import sys
from typing import Any

import numpy as np

__all__ = ["Array", "namespace"]

Array = np.ndarray[Any, np.dtype[Any]]


def namespace(array: Any) -> Any:
    """Return the library an array belongs to, NumPy or PyTorch, so that a formula need be written only once."""
    name = type(array).__module__.partition(".")[0]
    return sys.modules["torch"] if name == "torch" else np

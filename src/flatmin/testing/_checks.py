"""Random points for the checks, and comparisons that fail with one sentence."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.solution import Solution

#: Relative tolerance of comparisons, far above rounding errors and far below the effect of a mistake.
TOLERANCE = 1e-9


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = float) -> Array:
    """Return Gaussian numbers of a shape, complex if ``dtype`` is complex."""
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if np.issubdtype(dtype, np.complexfloating) else X


def agree(
    subject: Any, name: str, got: Any, want: Any, cause: str, scale: float | None = None, tolerance: float = TOLERANCE
) -> None:
    """Raise unless ``got`` has the shape of ``want`` and their relative difference is at most the tolerance."""
    got, want = np.asarray(got), np.asarray(want)
    require(subject, got.shape == want.shape, f"{name} has shape {got.shape}, expected {want.shape}; {cause}")
    require(subject, bool(np.isfinite(got).all()), f"{name} contains NaN or infinity; {cause}")
    size = scale if scale is not None else float(np.linalg.norm(want))
    error = float(np.linalg.norm(got - want)) / (size or 1.0)
    require(subject, error <= tolerance, f"{name} is off by {error:.2g} relatively, allowed {tolerance:g}; {cause}")


def require(subject: Any, condition: bool, sentence: str) -> None:
    """Raise with the subject and the sentence unless the condition holds."""
    if not condition:
        name = "Solution" if isinstance(subject, Solution) else repr(subject)
        raise AssertionError(f"{name}: {sentence}")

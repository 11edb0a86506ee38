"""Data that come with scikit-learn, drawn into parts."""

from __future__ import annotations

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["breast_cancer", "diabetes", "digits", "parts"]


def digits() -> tuple[Array, Array]:
    """Return the pixels (1797, 64), from 0 to 1, and the class numbers (1797,) of scikit-learn's digits."""
    x, y = _load("load_digits")
    return x / 16, y.astype(np.int64)


def diabetes() -> tuple[Array, Array]:
    """Return ten measurements in the units of the clinic, (442, 10), and the progression a year later, (442, 1)."""
    x, y = _load("load_diabetes", scaled=False)
    return x, y[:, None]


def breast_cancer() -> tuple[Array, Array]:
    """Return thirty measurements of tumours in their units, (569, 30), and 1 for the benign, 0 for others, (569, 1)."""
    x, y = _load("load_breast_cancer")
    return x, y[:, None].astype(float)


def parts(x: Array, y: Array, sizes: tuple[int, int], seed: int) -> list[tuple[Array, Array]]:
    """Return training, validation and test samples drawn at random, the rest being for the test.

    The mean of the training inputs is subtracted from all.
    """
    order = np.random.default_rng(seed).permutation(len(x))
    chosen = np.split(order, np.cumsum(sizes))
    mean = x[chosen[0]].mean(0)
    return [(x[index] - mean, y[index]) for index in chosen]


def _load(name: str, **options: bool) -> tuple[Array, Array]:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise InputError("the study needs scikit-learn, which is not installed: pip install scikit-learn") from error
    x, y = getattr(datasets, name)(return_X_y=True, **options)
    return np.asarray(x, float), np.asarray(y)

"""Small networks of one hidden layer, and real data sets that come with scikit-learn."""

import numpy as np
import torch
from torch import Tensor, nn

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["Square", "breast_cancer", "diabetes", "digits", "one_hidden_layer", "parts", "signed_squares"]


class Square(nn.Module):
    """The activation ``z ↦ z²``."""

    def forward(self, z: Tensor) -> Tensor:
        """Return the squares."""
        return z.square()


def one_hidden_layer(inputs: int, width: int, outputs: int, activation: nn.Module) -> nn.Sequential:
    """Return ``V a(W x + b) + c``, with torch's default initial weights."""
    return nn.Sequential(nn.Linear(inputs, width), activation, nn.Linear(width, outputs))


def signed_squares(inputs: int, width: int, *, scale: float = 0.1) -> nn.Sequential:
    """Return the quadratic network ``Σ_j ± (u_jᵀ x)²``, with half of the signs positive and small initial weights.

    Parameters
    ----------
    inputs, width : int
        The dimension of x, and the number of vectors u_j, which is even.
    scale : float
        The initial standard deviation of ``u_jᵀ x``, for inputs of mean square 1.

    Examples
    --------
    >>> signed_squares(3, 4)(torch.ones(5, 3)).shape
    torch.Size([5, 1])
    """
    hidden, out = nn.Linear(inputs, width, bias=False), nn.Linear(width, 1, bias=False)
    nn.init.normal_(hidden.weight, std=scale / inputs**0.5)
    with torch.no_grad():
        out.weight[:, : width // 2], out.weight[:, width // 2 :] = 1, -1
    out.requires_grad_(False)
    return nn.Sequential(hidden, Square(), out)


def digits() -> tuple[Array, Array]:
    """Return the pixels (1797, 64), from 0 to 1, and the class numbers (1797,) of scikit-learn's digits."""
    x, y = _load("load_digits")
    return x / 16, y.astype(np.int64)


def diabetes() -> tuple[Array, Array]:
    """Return ten clinical measurements in raw units, (442, 10), and the progression of diabetes in a year, (442, 1)."""
    x, y = _load("load_diabetes", scaled=False)
    return x, y[:, None]


def breast_cancer() -> tuple[Array, Array]:
    """Return thirty measurements of tumours in raw units, (569, 30), and 1 for benign ones, else 0, (569, 1)."""
    x, y = _load("load_breast_cancer")
    return x, y[:, None].astype(float)


def parts(x: Array, y: Array, sizes: tuple[int, int], seed: int) -> list[tuple[Array, Array]]:
    """Return random training and validation samples of the given sizes, and all other samples for testing.

    The mean of the training inputs is subtracted from all inputs.
    """
    order = np.random.default_rng(seed).permutation(len(x))
    chosen = np.split(order, np.cumsum(sizes))
    mean = x[chosen[0]].mean(0)
    return [(x[index] - mean, y[index]) for index in chosen]


def _load(name: str, **options: bool) -> tuple[Array, Array]:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise InputError("the recipe needs scikit-learn, which is not installed: pip install scikit-learn") from error
    x, y = getattr(datasets, name)(return_X_y=True, **options)
    return np.asarray(x, float), np.asarray(y)

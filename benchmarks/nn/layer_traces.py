"""Time of the exact trace of a Gauss-Newton matrix: from layers, from single gradients, and from unit vectors.

python -m benchmarks.nn.layer_traces   under a minute of one core

Perceptrons on 512 of scikit-learn's digits, cross entropy, float32, one thread. Columns, in seconds of processor time:

- ``layers``: `hessian_trace(of="gauss_newton")`, which takes squared gradients from the inputs and slopes of layers.
- ``gradients``: the same with the gradient of every output of every sample.
- ``unit vectors``: the products with all unit vectors, which other methods for ``method="exact"`` take; 128 of these
  products are measured.
- ``apart``: the relative difference of the first two traces.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar
from unittest.mock import patch

import torch
from sklearn.datasets import load_digits
from torch import nn

from benchmarks.report import line, machine
from flatmin.nn import Curvature, hessian_trace

T = TypeVar("T")
SHAPES = ((64, 32, 10), (64, 128, 128, 10), (64, 256, 256, 10))
PRODUCTS = 128


def perceptron(sizes: tuple[int, ...]) -> nn.Module:
    """Return a network with tanh between its layers."""
    torch.manual_seed(0)
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """Return a result, and the processor time of the second of two calls."""
    function()
    start = time.process_time()
    return function(), time.process_time() - start


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    images, labels = load_digits(return_X_y=True)
    data = torch.tensor(images[:512] / 16).float(), torch.tensor(labels[:512])
    print(f"{machine()}; torch {torch.__version__}\n")
    line(["perceptron", "weights", "layers", "gradients", "unit vectors", "apart"])
    print("|" + "---|" * 6)
    for sizes in SHAPES:
        curvature = Curvature(perceptron(sizes), nn.CrossEntropyLoss(), data, of="gauss_newton")
        n = curvature.shape[0]
        E = torch.eye(n, PRODUCTS)
        found, layers = timed(lambda curvature=curvature: hessian_trace(curvature).value)
        with patch("flatmin.nn.operators.output_trace._layer_traces", lambda *arguments: None):
            other, gradients = timed(lambda curvature=curvature: hessian_trace(curvature).value)
        _, products = timed(lambda curvature=curvature, E=E: curvature @ E)
        cells = (f"{t:.2g}" for t in (layers, gradients, products * n / PRODUCTS))
        line(["-".join(map(str, sizes)), str(n), *cells, f"{abs(found / other - 1):.0e}"])


if __name__ == "__main__":
    main()

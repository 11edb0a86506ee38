"""Hutchinson's estimator: its definition, its variance, and products in pieces."""

import numpy as np
import pytest
import torch

from flatmin.nn.estimators import TraceRequest, hutchinson
from flatmin.nn.estimators.base import sphere
from tests.nn.estimators.test_every_estimator import H, N


def test_it_is_the_mean_of_quadratic_forms():
    found = hutchinson(TraceRequest(H, torch.Generator().manual_seed(4), max_products=20))
    V = sphere(H, 20, torch.Generator().manual_seed(4))
    assert found.value == pytest.approx(((V * (H @ V)).sum(0)).mean().item(), rel=1e-12)


def test_the_standard_error_is_that_of_the_formula():
    found = [
        hutchinson(TraceRequest(H, torch.Generator().manual_seed(s), max_products=50)).std_error for s in range(50)
    ]
    variance = 2 * N / (N + 2) * (H.norm() ** 2 - H.trace() ** 2 / N).item() / 50
    assert np.mean(np.square(found)) == pytest.approx(variance, rel=0.1)


def test_many_products_are_drawn_in_pieces():
    widths = []

    class Recorded:
        shape, dtype, device = H.shape, H.dtype, H.device

        def __matmul__(self, V):
            widths.append(V.shape[1])
            return H @ V

    assert hutchinson(TraceRequest(Recorded(), torch.Generator().manual_seed(0), max_products=70)).n_products == 70
    assert widths == [32, 32, 6]

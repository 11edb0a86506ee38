"""Requests and results of trace estimators: probe vectors, the spending of products, packing, and coverage."""

import numpy as np
import pytest
import torch

from flatmin.errors import InputError
from flatmin.nn.estimators.base import TraceEstimate, TraceRequest, dimension, packed, sphere


def test_probes_are_on_the_sphere_and_the_same_in_every_precision():
    double, single = (
        sphere(torch.zeros(30, 30, dtype=kind), 400, torch.Generator().manual_seed(2))
        for kind in (torch.float64, torch.float32)
    )
    assert torch.allclose(torch.linalg.vector_norm(double, dim=0), torch.full((400,), 30**0.5).double())
    assert torch.equal(double.float(), single)
    assert (double @ double.T / 400 - torch.eye(30)).abs().max() < 0.25


def spent(errors, least=8, max_products=None, target=1.0):
    """Return the totals at which an estimator with given standard errors is asked to look."""
    totals, left = [], iter(errors)

    def draw_up_to(total):
        totals.append(total)
        return next(left)

    TraceRequest(torch.eye(2), max_products=max_products, target_std_error=target).spend(draw_up_to, least)
    return totals


def test_products_are_spent_at_once_or_up_to_a_target():
    assert spent([9.0], target=None) == [100]
    assert spent([9.0], target=None, max_products=17) == [17]
    assert spent([0.9]) == [24]
    assert spent([0.9], least=40) == [40]
    assert spent([1.01, 1.0]) == [24, 29], "a fifth more at least"
    assert spent([9.0, 1.2, 0.8]) == [24, 48, 70], "at most twice as many, else what the error predicts"
    assert spent([9.0, 9.0, 9.0], max_products=60) == [24, 48, 60]
    assert spent([9.0], max_products=10) == [10]


def test_a_target_limits_the_degrees_of_freedom():
    free = [TraceRequest(torch.eye(2), target_std_error=target).max_freedom for target in (None, 0.1)]
    assert free == [None, 24]


def test_every_block_is_packed_and_numbers_are_finite():
    found = packed("mine", 5, {"a": slice(0, 2)}, lambda rows: (float(rows.stop or 9), 1.0, (0.0, 10.0)))
    assert (found.value, found.groups["a"].value, found.n_products, found.method) == (9.0, 2.0, 5, "mine")
    with pytest.raises(InputError, match="not finite"):
        packed("mine", 5, None, lambda rows: (np.nan, 1.0, (0.0, 1.0)))


@pytest.mark.parametrize("shape", [(3,), (3, 2), (0, 0), (2, 2, 2)])
def test_an_operator_is_square(shape):
    with pytest.raises(InputError, match="expected a square one"):
        dimension(torch.zeros(shape))


@pytest.mark.parametrize(
    ("trace", "covered"), [(1.0, True), (3.0, True), (3 + 1e-12, True), (3.1, False), (0.9, False)]
)
def test_an_interval_covers_its_ends_up_to_rounding(trace, covered):
    assert TraceEstimate(2.0, 0.5, (1.0, 3.0), 10, "hutchinson").covers(trace) is covered


def test_an_exact_estimate_covers_its_value():
    assert TraceEstimate(1e9, 0.0, (1e9, 1e9), 10, "exact").covers(1e9 * (1 + 1e-12))
    assert not TraceEstimate(1e9, 0.0, (1e9, 1e9), 10, "exact").covers(1e9 * (1 + 1e-6))

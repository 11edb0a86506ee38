"""Variances of quadratic forms, and the interval, against closed forms; plain Student intervals as a control."""

import numpy as np
import pytest
import torch
from scipy.special import stdtrit

from flatmin.nn.estimators.base import sphere
from flatmin.nn.estimators.sample import Sample, summary, swapped, variance

N, M = 12, 6


def matrices():
    generator = torch.Generator().manual_seed(0)
    B = torch.randn(N, N, generator=generator, dtype=torch.float64)
    rank_one = torch.outer(B[0], B[0])
    some = torch.zeros(N, 1).double()
    some[2:6] = 1
    return {"symmetric": (B + B.T, True), "rank one": (rank_one, True), "block": ((B + B.T) * some, False)}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["symmetric", "rank one", "block"])
def test_the_variance_is_unbiased_and_tells_more_than_the_spread(name):
    A, is_symmetric = matrices()[name]
    S = (A + A.T) / 2
    true = 2 * N / (N + 2) * (S.norm() ** 2 - A.trace() ** 2 / N).item()
    found, spreads = [], []
    for seed in range(4000):
        V = sphere(A, M, torch.Generator().manual_seed(seed))
        values, squares = (V * (A @ V)).sum(0), ((A @ V) ** 2).sum(0)
        found.append(variance(values, squares, N, None if is_symmetric else swapped(V.T @ A @ V)))
        spreads.append(values.var().item())
    for estimates in (found, spreads):
        assert abs(np.mean(estimates) - true) < 4 * np.std(estimates) / 4000**0.5 + 0.01 * true  # clipping at 0
    assert np.std(found) < 0.8 * np.std(spreads)


def test_without_pairs_a_form_that_is_not_symmetric_seems_worse_than_it_is():
    A, _ = matrices()["block"]
    V = sphere(A, 4000, torch.Generator().manual_seed(0))
    values, squares = (V * (A @ V)).sum(0), ((A @ V) ** 2).sum(0)
    assert variance(values, squares, N) > 1.15 * values.var().item()
    assert variance(values, squares, N, swapped(V.T @ A @ V)) == pytest.approx(values.var().item(), rel=0.1)


def test_multiples_of_the_identity_have_no_variance():
    V = sphere(torch.eye(N).double(), M, torch.Generator().manual_seed(0))
    values = (V * V).sum(0) * 3
    assert variance(values, 9 * (V * V).sum(0), N) == pytest.approx(0, abs=1e-10)
    assert variance(values, values, 0) == 0


@pytest.mark.sampled(5)
@pytest.mark.parametrize("m", [8, 16, 34, 100])
@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0], [3.0, 2.0, 1.0], [1.0] * 30, [1.0, -0.5]], ids=len)
def test_intervals_cover_whatever_the_eigenvalues(m, weights):
    """The law of large n: squares of normal numbers. The sample's own spread is the control that fails."""
    rng, trials = np.random.default_rng(m), 4000
    lam = np.array(weights)
    z = rng.standard_normal((trials, m, len(lam))) ** 2
    x, q = z @ lam, z @ lam**2
    covered = 0
    for values, squares in zip(x[:1000], q[:1000], strict=True):
        one = variance(torch.from_numpy(values), torch.from_numpy(squares), 10**9)
        low, high = summary(0.0, Sample(torch.from_numpy(values), one))[2]
        covered += low <= lam.sum() <= high
    error = np.abs(x.mean(1) - lam.sum())
    half = stdtrit(m, 0.975) * np.sqrt(2 * q.mean(1) / m)
    assert abs((error[:1000] <= half[:1000]).sum() - covered) <= 1
    assert 0.94 < (error <= half).mean() < 0.99
    if lam.size == 1 and m <= 34:
        assert (error <= stdtrit(m - 1, 0.975) * x.std(1, ddof=1) / m**0.5).mean() < 0.93


def test_the_mean_of_dependent_values_and_of_two_samples():
    a, b = Sample(torch.tensor([1.0, 3.0]), 4.0, 1.0), Sample(torch.tensor([5.0]), 9.0)
    assert a.variance_of_mean == (4 + 1) / 2
    assert Sample(a.values, 4.0, -1.0).variance_of_mean == 2
    value, error, (low, high) = summary(10.0, a, b)
    assert value == 13
    assert error == pytest.approx(((2 / 3) ** 2 * 2.5 + (1 / 3) ** 2 * 9) ** 0.5)
    assert (high - value) / error == pytest.approx(stdtrit(4 / 2.5 + 1, 0.975)) == pytest.approx((value - low) / error)
    assert summary(10.0, a, b, freedom=2)[2][1] - value == pytest.approx(error * stdtrit(2, 0.975))


def test_a_pair_is_needed():
    assert np.isnan(swapped(torch.ones(1, 1)))
    assert variance(torch.tensor([2.0]), torch.tensor([4.0]), 10**9, np.nan) == pytest.approx(8)

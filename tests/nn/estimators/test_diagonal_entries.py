"""Diagonals by regressions: exact cases, the deflation, coverage of the intervals, and interrupts."""

import numpy as np
import pytest
import torch
from scipy.special import stdtrit

from flatmin.errors import InputError
from flatmin.nn.estimators.diagonal_entries import exact_diagonal, regressed_diagonal


def operator(n=40, decay=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    signs = torch.randn(n, generator=generator, dtype=torch.float64).sign()
    return (Q * signs * torch.arange(1, n + 1).double() ** -decay) @ Q.T


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_exact_diagonal_takes_a_product_for_each_row():
    H = operator(90)
    assert exact_diagonal(H).tolist() == pytest.approx(H.diagonal().tolist(), abs=1e-15)


def test_diagonal_matrices_are_exact():
    H = torch.diag(torch.linspace(-2, 3, 30).double())
    found = regressed_diagonal(H, 20, 0, seeded())
    assert (found.values - H.diagonal()).abs().max() < 1e-12
    assert (found.freedom, found.n_products) == (19, 20)
    assert found.std_errors.max() < 1e-7


def test_deflation_finds_a_matrix_of_low_rank():
    F = torch.randn(50, 4, generator=seeded(), dtype=torch.float64)
    H = F @ F.T
    plain, deflated = (regressed_diagonal(H, 30, rank, seeded(1)) for rank in (0, 6))
    assert (deflated.values - H.diagonal()).abs().max() < 1e-10
    assert (plain.values - H.diagonal()).abs().max() > 0.1


@pytest.mark.parametrize("rank", [0, 8])
def test_the_mean_of_many_estimates_is_the_diagonal(rank):
    H = operator()
    found = torch.stack([regressed_diagonal(H, 30, rank, seeded(s)).values for s in range(300)])
    errors = (found.mean(0) - H.diagonal()) / (found.std(0) / 300**0.5)
    assert errors.abs().max() < 4.5
    assert errors.square().mean() < 1.8


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("n_products", "rank"), [(8, 0), (60, 0), (24, 8), (60, 20)])
@pytest.mark.parametrize("matrix", ["decay", "flat", "pairs"])
def test_intervals_cover_each_entry_as_stated(matrix, n_products, rank, dtype):
    """Pairs have one other entry in each row, where signs in place of normal vectors would give no valid interval."""
    pairs = torch.kron(torch.eye(20), torch.tensor([[1.0, 2.0], [2.0, -1.0]])).double()
    H = {"decay": operator(decay=1.5), "flat": operator(decay=0), "pairs": pairs}[matrix].to(dtype)
    hits = torch.zeros(len(H))
    for seed in range(2000):
        found = regressed_diagonal(H, n_products, rank, seeded(seed))
        hits += (found.values - H.diagonal()).abs() <= stdtrit(found.freedom, 0.95) * found.std_errors
    share = (hits / 2000).numpy()
    assert abs(share.mean() - 0.9) < 0.01
    assert np.abs(share - 0.9).max() < 5 * (0.09 / 2000) ** 0.5


class Interrupted:
    """A matrix whose product number ``last`` is interrupted."""

    def __init__(self, H, last):
        self.H, self.left = H, last
        self.shape, self.dtype, self.device = H.shape, H.dtype, H.device

    def __matmul__(self, V):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return self.H @ V


def test_an_interrupt_returns_the_products_so_far():
    H = operator()
    found = regressed_diagonal(Interrupted(H, 2), 90, 0, seeded())
    whole = regressed_diagonal(H, 32, 0, seeded())
    assert found.n_products == 32
    assert torch.equal(found.values, whole.values)
    assert torch.equal(found.std_errors, whole.std_errors)
    with pytest.raises(KeyboardInterrupt):
        regressed_diagonal(Interrupted(H, 1), 90, 0, seeded())


def test_memory_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 1e3)
    with pytest.raises(InputError, match="40 weights with 5 kept vectors"):
        regressed_diagonal(operator(), 20, 5, seeded())

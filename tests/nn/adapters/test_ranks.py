"""The noise tests of ranks: planted ranks are found, noise is not, and each number has its evidence."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flatmin.nn import LowRankAdapter, adapter_flatness
from flatmin.nn.adapters.ranks import DataParts


def problem(rank, n=512, noise=1.0, seed=0, d=8):
    """Return an adapter of a linear map, and data whose target has an update of some rank, and noise."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    adapter = LowRankAdapter(nn.Linear(d, d, bias=False), 5).double()
    x = draw(n, d)
    adapter.base_layer.weight.data = draw(d, d)
    with torch.no_grad():
        y = adapter.base_layer(x) + x @ (draw(d, rank) @ draw(rank, d)) + noise * draw(n, d)
    return adapter, x, y


@pytest.mark.parametrize("rank", [1, 3])
def test_the_gradient_of_an_untrained_adapter_has_the_planted_rank(rank):
    adapter, x, y = problem(rank, seed=1)
    found = adapter_flatness(adapter, nn.MSELoss(), (x, y))
    evidence = found.ranks["model"]
    assert (evidence.rank, evidence.of, evidence.n_parts) == (rank, "gradient", 32)
    assert found.rank_pattern == {"model": rank}
    values = torch.linalg.svdvals(2 * (adapter(x) - y).T @ x / x.shape[0] / 8).detach()
    assert torch.allclose(torch.tensor(evidence.values).double(), values, rtol=1e-6)
    loader = DataLoader(TensorDataset(x, y), batch_size=128)
    assert adapter_flatness(adapter, nn.MSELoss(), loader).ranks["model"].rank == rank


def test_noise_has_no_rank_and_peft_gets_one():
    ranks = []
    for seed in range(5):
        found = adapter_flatness(*(lambda a, x, y: (a, nn.MSELoss(), (x, y)))(*problem(1, n=64, seed=seed, noise=1e3)))
        ranks.append(found.ranks["model"].rank)
        assert found.rank_pattern == {"model": max(ranks[-1], 1)}
    assert sum(rank > 0 for rank in ranks) <= 1


def test_a_trained_update_is_cut_to_the_rank_that_the_loss_needs():
    adapter, x, y = problem(2)
    optimizer = torch.optim.LBFGS([adapter.A, adapter.B], max_iter=200, line_search_fn="strong_wolfe")
    nn.init.normal_(adapter.B, std=0.1, generator=torch.Generator().manual_seed(0))

    def closure():
        optimizer.zero_grad()
        value = nn.functional.mse_loss(adapter(x), y)
        value.backward()
        return value

    optimizer.step(closure)
    new = torch.randn(256, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():  # new data of the same law: components that fit noise do not help there
        truth = torch.linalg.lstsq(x, y - adapter.base_layer(x)).solution
        U, s, V = torch.linalg.svd(truth)
        update = U[:, :2] * s[:2] @ V[:2]
        noise = torch.randn(256, 8, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
        targets = adapter.base_layer(new) + new @ update + noise
    evidence = adapter_flatness(adapter, nn.MSELoss(), (new, targets)).ranks["model"]
    assert (evidence.rank, evidence.of) == (2, "update")
    assert [value > limit for value, limit in zip(evidence.values, evidence.thresholds, strict=True)][:2] == [True] * 2
    with torch.no_grad():
        plain = nn.functional.mse_loss(adapter.base_layer(new), targets) - nn.functional.mse_loss(adapter(new), targets)
    assert evidence.values[0] == pytest.approx(float(plain), rel=1e-9)


def test_too_few_samples_leave_the_rank():
    adapter, x, y = problem(1)
    for b in (0.0, 1.0):
        nn.init.constant_(adapter.B, b)
        evidence = adapter_flatness(adapter, nn.MSELoss(), (x[:5], y[:5])).ranks["model"]
        assert (evidence.rank, evidence.of, evidence.n_parts) == (5, "none", 5)


def test_parts_are_all_samples_once():
    x = torch.arange(70.0)
    parts = list(DataParts([(x, 2 * x)]))
    assert len(parts) == 24
    assert torch.equal(torch.cat([part[0] for part in parts]), x)
    assert torch.equal(torch.cat([part[1] for part in parts]), 2 * x)
    mapped = list(DataParts([{"ids": x[:40, None], "labels": x[:40]}]))
    assert torch.equal(torch.cat([part["labels"] for part in mapped]), x[:40])


def test_the_test_of_ranks_can_be_left_out():
    adapter, x, y = problem(1, n=64)
    found = adapter_flatness(adapter, nn.MSELoss(), (x, y), ranks=False)
    assert found.rank_pattern == {}

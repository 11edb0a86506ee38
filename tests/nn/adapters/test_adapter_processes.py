"""Two real processes with shares of the data find the flatness and the ranks of one process with all of it."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from flatmin.nn import adapter_flatness
from tests.nn.adapters.networks import FIELDS, LOSS, data, plain

SHARES = {None: slice(None), 0: slice(0, 30), 1: slice(30, 80)}


def measured(rank, zero):
    """Return the numbers of an adapter, untrained if ``zero``, for one share of the data; None is all of it."""
    model, adapter = plain()
    if zero:
        nn.init.zeros_(adapter.B)
    x, y = data(80)
    found = adapter_flatness(model, LOSS, (x[SHARES[rank]], y[SHARES[rank]]), distributed=rank is not None)
    evidence = found.ranks["2"]
    numbers = [getattr(found, field).value for field in FIELDS]
    return torch.tensor([*numbers, *evidence.values]), (evidence.rank, evidence.of, evidence.n_parts)


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    torch.save([measured(rank, zero) for zero in (False, True)], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for first, second, zero in zip(*found, (False, True), strict=True):
        numbers, (_, of, _) = measured(None, zero)
        assert first[1] == second[1]
        assert first[1][1:] == (of, 30 + 25)  # 30 samples apart, and 50 in pairs
        assert torch.equal(first[0], second[0])
        assert torch.allclose(first[0], numbers, rtol=1e-9, atol=1e-12)

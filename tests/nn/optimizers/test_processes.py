"""Two real processes, each with half of a batch, take the steps of one process with the whole."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.nn.optimizers.training import WRAPPERS, bits, close, data, mlp, train

TOGETHER = ("SAM", "NoiseInjection", "WeightDecay")


def trained(wrapper, rank=None):
    model, loss = mlp(), nn.MSELoss()
    called = model if rank is None else DistributedDataParallel(model)
    optimizer = WRAPPERS[wrapper](torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), called, loss)
    half = slice(None) if rank is None else slice(4 * rank, 4 * rank + 4)
    train(called, loss, optimizer, [(x[half], y[half]) for x, y in data(3)])
    return bits(model)


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    torch.save({wrapper: trained(wrapper, rank) for wrapper in TOGETHER}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        for wrapper in TOGETHER:
            assert close(found[wrapper], trained(wrapper)), (rank, wrapper)

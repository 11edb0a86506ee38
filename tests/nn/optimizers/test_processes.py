"""Two real processes, each with half of a batch, take the steps of one process with the whole; so do shards."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from flatmin.errors import InputError
from flatmin.nn import hessian_trace
from tests.nn.optimizers.training import WRAPPERS, bits, close, data, mlp, train

TOGETHER = ("SAM", "NoiseInjection", "WeightDecay")


def trained(wrapper, rank=None):
    model, loss = mlp(), nn.MSELoss()
    called = model if rank is None else DistributedDataParallel(model)
    optimizer = WRAPPERS[wrapper](torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), called, loss)
    half = slice(None) if rank is None else slice(4 * rank, 4 * rank + 4)
    train(called, loss, optimizer, [(x[half], y[half]) for x, y in data(3)])
    return bits(model)


def sharded_model():
    """Return a model whose weights are divided among the processes (FSDP2)."""
    model, mesh = mlp(), init_device_mesh("cpu", (2,))
    for layer in (model[0], model[4], model):
        fully_shard(layer, mesh=mesh)
    return model


def trained_in_shards(wrapper, rank):
    model, loss = sharded_model(), nn.MSELoss()
    optimizer = WRAPPERS[wrapper](torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), model, loss)
    half = slice(4 * rank, 4 * rank + 4)
    train(model, loss, optimizer, [(x[half], y[half]) for x, y in data(3)])
    return [p.full_tensor().detach() for p in model.parameters()]


def refusals():
    """Return the sentences with which shards are refused."""
    model, loss, said = sharded_model(), nn.MSELoss(), []
    for wrapper in ("PerExampleSAM", "TwoPoint"):
        with pytest.raises(InputError) as error:
            WRAPPERS[wrapper](torch.optim.SGD(model.parameters(), lr=0.05), model, loss)
        said.append(str(error.value))
    with pytest.raises(InputError) as error:
        hessian_trace(model, loss, data(1)[0])
    return [*said, str(error.value)]


def shard(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    found = {wrapper: trained_in_shards(wrapper, rank) for wrapper in TOGETHER}
    torch.save((found, refusals()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


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


@pytest.mark.slow
def test_shards_take_the_steps_of_one_process_or_are_refused(tmp_path):
    torch.multiprocessing.spawn(shard, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        found, said = torch.load(tmp_path / f"{rank}.pt")
        for wrapper in TOGETHER:
            assert close(found[wrapper], trained(wrapper)), (rank, wrapper)
        assert all("expected a model that is not distributed" in sentence for sentence in said[:2])
        assert "expected whole ones" in said[2]

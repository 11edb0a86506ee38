"""Two real processes, each with half of a batch, take the steps of one process with the whole; so do shards."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import flatmin as fm
from flatmin.errors import InputError
from flatmin.nn import FactoredModel, LabelNoise, ScaledGradient, hessian_trace
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


def noise(rank=None, loaded=False):
    """Return the noise of two steps: on real targets of the same size in both processes, and on labels."""
    model, found = mlp(), []
    called = model if rank is None else DistributedDataParallel(model)
    loss = nn.MSELoss()
    optimizer = LabelNoise(torch.optim.SGD(model.parameters(), lr=0.0), called, loss, noise=0.5, seed=3)
    if loaded:  # the state of the process that writes checkpoints
        state = [optimizer.state_dict()]
        dist.broadcast_object_list(state, src=0)
        optimizer.load_state_dict(state[0])
    outputs = torch.zeros(6, 5)
    for _ in range(2):
        found.append(optimizer.noisy(outputs, torch.zeros(6, 5), None))
    found.append(optimizer.noisy(torch.zeros(400, 5), torch.zeros(400, dtype=torch.long), None))
    return found


def scaled(rank=None):
    """Return the factors after three steps of scaled gradients on all measurements."""
    problem = fm.families.matrix_sensing.sample((5, 4), 1, 20).problem
    model, loss = FactoredModel(problem, 2, 0), nn.MSELoss()
    called = model if rank is None else DistributedDataParallel(model)
    optimizer = ScaledGradient(torch.optim.SGD(model.parameters(), lr=0.1), called, loss, damping=0.1)
    x, y = torch.arange(20), torch.from_numpy(problem.data)
    half = slice(None) if rank is None else slice(10 * rank, 10 * rank + 10)
    for _ in range(3):
        optimizer.zero_grad()
        loss(called(x[half]), y[half]).backward()
        optimizer.step()
    return bits(model)


def work_apart(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    torch.save((noise(rank), noise(rank, loaded=True), scaled(rank)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_draw_different_label_noise_and_scale_the_mean_gradient(tmp_path):
    torch.multiprocessing.spawn(work_apart, (str(tmp_path),), nprocs=2)
    (first, again, factors), (second, other, theirs) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for mine, yours in (*zip(first, second, strict=True), *zip(again, other, strict=True)):
        assert not torch.equal(mine, yours)
    correlation = torch.corrcoef(torch.stack([first[2], second[2]]).double())[0, 1]
    assert abs(float(correlation)) < 4 / 400**0.5
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], first[1])
    for found in (factors, theirs):
        assert close(found, scaled())


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

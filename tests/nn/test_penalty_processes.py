"""The trace penalty under DistributedDataParallel: two processes take the mean of two penalties."""

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from tests.nn.batches import BATCH, LABELS, make, mlp, seeded

HALVES = (slice(0, 3), slice(3, 6))
WAYS = {"objective": {}, "per batch": {"probe": "vjp"}, "hessian": {"of": "hessian"}, "added": {}}


def gradients(model, way, half):
    """Return the gradient of a penalised step on half of the batch, in the parameters' order."""
    penalty = make(model, seed=half.start, **WAYS[way])
    x, y = BATCH[half], LABELS[half]
    added = way == "added"
    (F.cross_entropy(model(x), y) + 0.5 * penalty(x, y) if added else penalty.objective(x, y, 0.5)).backward()
    return [p.grad.clone() for p in model.parameters()]


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    found = {way: gradients(DistributedDataParallel(seeded(mlp)), way, HALVES[rank]) for way in WAYS}
    torch.save(found, f"{folder}/{rank}")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="needs gloo")
def test_processes_share_a_step(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / str(rank)) for rank in (0, 1)]
    for way in WAYS:
        alone = [gradients(seeded(mlp), way, half) for half in HALVES]
        for one, other, *halves in zip(found[0][way], found[1][way], *alone, strict=True):
            assert torch.allclose(one, sum(halves) / 2, rtol=1e-12)
            assert torch.equal(one, other)

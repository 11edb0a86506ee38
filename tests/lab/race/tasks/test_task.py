"""What all tasks share: the curvature that step sizes are in units of, batches, and digests."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from flatmin.lab.race.tasks.task import digest, sharpness
from tests.lab.race.small_tasks import mlp, network, samples, task


def test_the_sharpness_is_the_largest_eigenvalue_of_the_dense_hessian():
    torch.manual_seed(0)
    model, (x, y) = mlp().double(), samples(24, 0)
    x = x.double()
    weights = dict(model.named_parameters())

    def loss(*values):
        outputs = torch.func.functional_call(model, dict(zip(weights, values, strict=True)), (x,))
        return nn.functional.cross_entropy(outputs, y)

    blocks = torch.autograd.functional.hessian(loss, tuple(weights.values()))
    sizes = [p.numel() for p in weights.values()]
    pairs = zip(blocks, sizes, strict=True)
    dense = torch.cat([torch.cat([b.reshape(n, m) for b, m in zip(row, sizes, strict=True)], 1) for row, n in pairs])
    largest = torch.linalg.eigvalsh(dense).abs().max().item()
    assert sharpness(model, nn.CrossEntropyLoss(), x, y) == pytest.approx(largest, rel=0.02)


def test_one_sample_sees_the_trace_and_all_samples_the_sharpness():
    what = task()
    sharpest, trace = what.curvature("large", None), what.trace(what.model(0, "large"))
    assert what.curvature("large", 1) == pytest.approx(trace)
    assert what.curvature("large", 4) == pytest.approx(sharpest + (trace - sharpest) / 4)
    assert what.curvature("small", None) == what.curvature("small", None) != sharpest


def test_shuffled_batches_hold_every_sample_once_and_repeat_with_their_seed():
    what = network()
    first, again, other = ([x for x, _ in itertools.islice(what.batches(8, s), 3)] for s in (0, 0, 1))
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert not torch.equal(torch.cat(first), torch.cat(other))
    assert sorted(torch.cat(first).tolist()) == sorted(what.inputs.tolist())


def test_a_digest_changes_with_values_shapes_and_types():
    a = np.arange(4.0)
    assert digest(a, 1, "x") == digest(a.copy(), 1, "x") == digest(torch.from_numpy(a), 1, "x")
    others = {
        digest(*facts) for facts in ((a + 1, 1, "x"), (a.reshape(2, 2), 1, "x"), (a.astype("f4"), 1, "x"), (a, 2, "x"))
    }
    assert len(others | {digest(a, 1, "x")}) == 5

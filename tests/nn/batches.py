"""A batch of six examples, small networks, and losses with their targets, for the trace penalty."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from flatmin.nn import HessianTracePenalty
from flatmin.testing.torch.penalties import exact_trace

torch.set_num_threads(1)

N, C = 6, 3
LABELS = torch.tensor([0, 2, 1, 1, 2, 0])


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(make, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().double()


def mlp(activation=nn.Tanh):
    return nn.Sequential(nn.Linear(4, 5), activation(), nn.Linear(5, 4), activation(), nn.Linear(4, C))


def conv(activation=nn.Tanh, norm=nn.Identity):
    layers = nn.Conv2d(1, 2, 3, padding=1), activation(), nn.Conv2d(2, 3, 2, stride=2), activation()
    return nn.Sequential(nn.Unflatten(1, (1, 2, 2)), *layers, nn.Flatten(), norm(), nn.Linear(3, C))


NETWORKS = {
    "mlp": mlp,
    "relu": partial(mlp, nn.ReLU),
    "conv": conv,
    "wide": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 20, 2), nn.Tanh(), nn.Flatten(), nn.Linear(20, C)
    ),
    "layer norm": partial(conv, norm=partial(nn.LayerNorm, 3)),
}
LOSSES = {
    "squared": (nn.MSELoss(), randn(N, C, seed=3)),
    "cross entropy": (nn.CrossEntropyLoss(), LABELS),
    "weights, smoothing": (partial(F.cross_entropy, weight=randn(C).exp(), label_smoothing=0.1), LABELS),
    "binary": (nn.BCEWithLogitsLoss(reduction="sum"), randn(N, C, seed=3).sigmoid()),
    "poisson": (F.poisson_nll_loss, randn(N, C, seed=3).exp()),
}

BATCH = randn(N, 4, seed=1)


def make(model=None, loss=F.cross_entropy, **options):
    return HessianTracePenalty(seeded(mlp) if model is None else model, loss, **{"seed": 3, **options})


def dense_trace(model, loss, x, y, of="gauss_newton"):
    """Return the trace with its graph, by the whole Jacobian; see `tests/testing/torch/test_penalties.py`."""
    return exact_trace(model, loss, x, y, [p for p in model.parameters() if p.requires_grad], of)

"""Small networks with adapters, plain and of PEFT, and their flatness from dense matrices."""

import pytest
import torch
from torch import nn

from flatmin.nn import Curvature, LowRankAdapter, adapter_flatness
from flatmin.nn.adapters.layers import find_adapters

LOSS = nn.CrossEntropyLoss()
FIELDS = ("trace", "weight_trace", "fibre_minimum", "excess")


def data(n=12, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (n,), generator=generator)


def plain(seed=0):
    torch.manual_seed(seed)
    adapter = LowRankAdapter(nn.Linear(6, 5), 3, scale=1.7)
    nn.init.normal_(adapter.B)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), adapter, nn.Tanh(), nn.Linear(5, 3)).double()
    for layer in (model[0], model[4]):
        layer.requires_grad_(False)
    return model, adapter


class Layers(nn.Module):
    """A linear layer, an embedding and a convolution in one model of tokens."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.mix = nn.Conv1d(4, 4, 3, padding=1)
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        if x.is_floating_point():
            return self.last(torch.tanh(self.first(x)))
        z = torch.tanh(self.mix(self.table(x).mT)).mean(2)
        return self.last(torch.tanh(self.first(z)))


def with_peft(targets, **options):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    settings = {"r": 2, "lora_alpha": 6, "target_modules": targets, "lora_dropout": 0.1, **options}
    model = peft.get_peft_model(Layers().double(), peft.LoraConfig(**settings))
    for name, p in model.named_parameters():
        if "lora" in name:
            nn.init.normal_(p, std=0.7)
    return model.double()


def dense(model, parameters, x, y):
    G = Curvature(model, LOSS, (x, y), of="gauss_newton", parameters=parameters)
    return G @ torch.eye(G.shape[0], dtype=torch.float64)


def root(M):
    values, vectors = torch.linalg.eigh(M)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def expected(model, adapter, x, y):
    """Return the numbers of one adapter of matrices from the dense curvature in W, by the formula with M_l and M_r."""
    B, A = adapter.B.detach().flatten(1), adapter.A.detach().flatten(1)
    H = dense(model, [adapter.weight], x, y)
    shape = (len(B), A.shape[1])
    H = H.reshape(*(shape[::-1] * 2)).permute(1, 0, 3, 2) if adapter.transposed else H.reshape(*shape, *shape)
    left, right = torch.einsum("ijkj->ik", H), torch.einsum("ijil->jl", H)
    trace = adapter.scale**2 * (torch.trace(B.T @ left @ B) + torch.trace(A @ right @ A.T))
    least = 2 * adapter.scale**2 * torch.linalg.svdvals(root(left) @ B @ A @ root(right)).sum()
    return trace, torch.trace(left), least, trace - least


def check(model, x, y):
    found = adapter_flatness(model, LOSS, (x, y))
    assert found.trace.method == "exact"
    adapters = find_adapters(model)
    for adapter in adapters:
        for field, wanted in zip(FIELDS, expected(model, adapter, x, y), strict=True):
            value = getattr(found, field).groups[adapter.name].value
            assert abs(value - float(wanted)) < 1e-9 * found.trace.value, (adapter.name, field)
    for field in FIELDS:
        whole = getattr(found, field)
        assert abs(sum(part.value for part in whole.groups.values()) - whole.value) < 1e-12 * found.trace.value
    whole = torch.trace(dense(model, [p for a in adapters for p in (a.A, a.B)], x, y))
    assert abs(found.trace.value / float(whole) - 1) < 1e-10
    return found

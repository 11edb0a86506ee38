"""Small networks, losses and data, the dense Hessian by PyTorch's own functional API, and what compares with it."""

import torch
from torch import nn
from torch.func import functional_call

from flatmin.nn import Curvature

torch.set_num_threads(1)


def mlp(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def batch_norm():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
    model(torch.randn(50, 4).double() * 2 + 1)
    return model


def conv():
    torch.manual_seed(2)
    layers = nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 2, padding=1), nn.BatchNorm2d(3), nn.SiLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(27, 3)).double()


def inputs(n=17, d=4):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def classes(n=17, c=3):
    return torch.randint(0, c, (n,), generator=torch.Generator().manual_seed(4))


def values(n=17, c=3):
    return torch.rand(n, c, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def dense(model, loss, x, y, train=False):
    """Return the Hessian of the loss at the trainable parameters."""
    free = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in free.values()]
    was = model.training

    def f(theta):
        parts = zip(free.items(), theta.split(sizes), strict=True)
        state = {name: part.reshape(p.shape) for (name, p), part in parts}
        state |= {name: b.clone() for name, b in model.named_buffers()}
        return loss(functional_call(model, state, (x,)), y)

    model.train(train)
    H = torch.autograd.functional.hessian(f, torch.cat([p.reshape(-1) for p in free.values()]))
    model.train(was)
    return H


def dense_gauss_newton(model, loss, x, y):
    """Return JᵀHJ with J and H by PyTorch's functional API."""
    free = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in free.values()]

    def f(theta):
        parts = zip(free.items(), theta.split(sizes), strict=True)
        return functional_call(model, {name: part.reshape(p.shape) for (name, p), part in parts}, (x,))

    theta = torch.cat([p.reshape(-1) for p in free.values()])
    J = torch.autograd.functional.jacobian(f, theta)
    out = f(theta)
    H = torch.autograd.functional.hessian(lambda o: loss(o, y), out).reshape(out.numel(), out.numel())
    J = J.reshape(out.numel(), -1)
    return J.T @ H @ J


def quartic(outputs, targets):
    return ((outputs - targets) ** 4).mean()


LOSSES = {
    "squared": (nn.MSELoss(), values()),
    "cross entropy": (nn.CrossEntropyLoss(), classes()),
    "smoothed": (nn.CrossEntropyLoss(label_smoothing=0.2), classes()),
    "weighted": (nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 5.0]).double()), classes()),
    "weighted, smoothed": (
        nn.CrossEntropyLoss(weight=torch.tensor([0.1, 1.0, 5.0]).double(), label_smoothing=0.2),
        classes(),
    ),
    "ignoring": (nn.CrossEntropyLoss(ignore_index=1), classes()),
    "soft targets": (nn.CrossEntropyLoss(), values().softmax(1)),
    "binary": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0).double()), values()),
    "likelihood": (lambda o, y: nn.NLLLoss()(o.log_softmax(1), y), classes()),
    "function": (quartic, values()),
}


def matrix(*args, **kwargs):
    C = Curvature(*args, **kwargs)
    return C @ torch.eye(C.shape[0], dtype=C.dtype)


def pieces(x, y, *sizes):
    return list(zip(x.split(sizes), y.split(sizes), strict=True))


def same(a, b, tol=1e-12):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= tol * b.abs().max()

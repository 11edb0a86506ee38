"""Two-layer ReLU networks on the parity of two bits: constructions that are flattest, and training for flatness.

The network is ``f(x) = Σ_j a_j (w_j·x + b_j)₊``. The inputs x are vertices of the cube {−1, 1}^d, the label is
y = x_1 x_2, and n vertices are for training. Let ``z_ij = (w_j·x_i + b_j)₊`` and c = d + 1 (without biases c = d). If
the loss is zero, the trace of the Hessian of the mean squared error is

    tr H = (2/n) Σ_i Σ_{j: z_ij > 0} (z_ij² + c a_j²) ≥ (2/n) Σ_i 2 √c |Σ_j a_j z_ij| = 4 √c,

with equality exactly if every neuron that is active at a point has ``z_ij = √c |a_j|`` and the sign of y_i. Equality
holds for a lookup table, with one neuron for each point that is active only there. Equality also holds for the rule,
four neurons that compute x_1 x_2, and for mixtures of both. Without biases a neuron cannot be active at a single one of
many points, as a linear programme shows. The four neurons of the rule then have z = 0, their kink, at half of the
points. After a small move they are active at half of these, each with a further ``c a_j²``, and the trace stays near
``4 √(2c)`` in training.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from flatmin._core.arrays import Array
from flatmin.lab.race.end_slices import end_slices
from flatmin.lab.runs.experiment import Metrics, as_lists
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = ["course", "measure"]

#: The names of the quantities that are measured of a network.
MEASURES = ("loss", "trace", "excess", "test_error", "wrong")
#: Strength of the penalty on the trace at the start of training.
PENALTY = 1e-2
#: Strength of the penalty on the trace at the end of training, divided by its strength at the start.
LAST = 1e-2
#: Size of the random disturbance of a lookup table before training, relative to the table's weights.
DISTURBANCE = 0.05
#: Number of points of a course, and distance in weights of slices of the loss.
POINTS, REACH = 20, 0.5


@dataclass(frozen=True)
class _Sample:
    """The vertices of a cube and their labels; ``seen`` is true for the training set."""

    x: Tensor
    y: Tensor
    seen: Tensor

    @classmethod
    def draw(cls, d: int, n: int, seed: int) -> _Sample:
        x = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=d)), dtype=torch.float64)
        seen = torch.zeros(len(x), dtype=torch.bool)
        seen[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:n]] = True
        return cls(x, x[:, 0] * x[:, 1], seen)


@dataclass(frozen=True)
class _Network:
    """A network: weights (width, d), biases (width,) or None, and output weights (width,)."""

    W: Tensor
    b: Tensor | None
    a: Tensor

    def module(self) -> nn.Sequential:
        width, d = self.W.shape
        first, last = nn.Linear(d, width, bias=self.b is not None), nn.Linear(width, 1, bias=False)
        first.weight.data, last.weight.data = self.W, self.a[None]
        if self.b is not None:
            first.bias.data = self.b
        return nn.Sequential(first, nn.ReLU(), last, nn.Flatten(0))

    def measure(self, sample: _Sample) -> dict[str, Any]:
        """Return loss, trace, the relative excess of the trace over its bound, and the errors on unseen vertices."""
        x, y, module = sample.x[sample.seen], sample.y[sample.seen], self.module()
        with torch.no_grad():
            seen, unseen = module(x), module(sample.x[~sample.seen])
        target = sample.y[~sample.seen]
        trace = hessian_trace(module, nn.MSELoss(), (x, y), of="gauss_newton", method="exact").value
        c = sample.x.shape[1] + (self.b is not None)
        return {
            "loss": float((seen - y).square().mean()),
            "trace": trace,
            "excess": trace / (4 * math.sqrt(c) * float(seen.abs().mean())) - 1,
            "test_error": float((unseen - target).square().mean()),
            "wrong": float((unseen * target <= 0).double().mean()),
        }


def _mixture(sample: _Sample, rule: float, *, bias: bool = True) -> _Network:
    """Return a flattest network that computes the share ``rule`` of the output by the rule, and the rest by a table."""
    d = sample.x.shape[1]
    root = math.sqrt(d + bias)
    x, y = sample.x[sample.seen], sample.y[sample.seen]
    height = math.sqrt((1 - rule) * root)  # z of a neuron that is active: √c |a|
    parts = [(x * height, torch.full((len(x),), -height * (d - 1), dtype=x.dtype), y * height / root)]
    pair = torch.zeros(4, d, dtype=x.dtype)
    pair[:, :2] = torch.tensor([[1, 1], [-1, -1], [1, -1], [-1, 1]])
    height = math.sqrt(rule * root)
    # With a bias the neuron becomes active at 1/2, between the points; without a bias some points are on its kink.
    slope, shift = (height, -height) if bias else (height / 2, 0.0)
    parts.append((pair * slope, torch.full((4,), shift, dtype=x.dtype), pair[:, 0] * pair[:, 1] * height / root))
    W, b, a = (torch.cat(part) for part in zip(*(parts if bias else parts[1:]), strict=True))
    return _Network(W, b if bias else None, a)


def _alone(sample: _Sample, *, bias: bool) -> float:
    """Return the share of training points that a neuron can single out: active there, inactive at all other points."""
    x = sample.x[sample.seen].numpy()
    rows = np.hstack([x, np.ones((len(x), int(bias)))])
    alone = 0
    for i, row in enumerate(rows):
        others: Array = np.delete(rows, i, axis=0)
        found = linprog(np.zeros(len(row)), others, np.zeros(len(others)), row[None], [1.0], bounds=(None, None))
        alone += found.status == 0
    return alone / len(rows)


class _Training:
    """Networks of one width, one for each sample, which are trained at the same time."""

    def __init__(self, samples: list[_Sample], starts: list[_Network]) -> None:
        self.samples = samples
        self.bias = torch.tensor([[float(start.b is not None)] for start in starts], dtype=torch.float64)
        biases = [torch.zeros_like(s.a) if s.b is None else s.b for s in starts]
        parts = ([s.W for s in starts], biases, [s.a for s in starts])
        self.W, self.b, self.a = (torch.stack(part).requires_grad_() for part in parts)
        self.x = torch.stack([s.x[s.seen] for s in samples])
        self.y = torch.stack([s.y[s.seen] for s in samples])
        self.other = torch.stack([s.x[~s.seen] for s in samples])

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.relu(x @ self.W.mT + (self.b * self.bias)[:, None])
        return z, (z @ self.a[:, :, None])[..., 0]

    def minimise(self, steps: int, *, zeros_elsewhere: bool = False, rate: float = 1e-2) -> list[_Network]:
        """Return the networks after Adam on loss and trace; ``zeros_elsewhere`` adds targets 0 on unseen vertices."""
        for _ in self.descent(steps, zeros_elsewhere=zeros_elsewhere, rate=rate):
            pass
        return self.networks()

    def networks(self) -> list[_Network]:
        """Return the networks as they are now."""
        every = zip(self.W.detach(), self.b.detach(), self.a.detach(), self.bias, strict=True)
        return [_Network(W.clone(), b.clone() if has else None, a.clone()) for W, b, a, has in every]

    def descent(self, steps: int, *, zeros_elsewhere: bool = False, rate: float = 1e-2) -> Iterator[int]:
        """Yield the number of each step before it is taken."""
        c = self.x.shape[2] + self.bias
        optimizer = torch.optim.Adam([self.W, self.b, self.a], lr=rate)
        for step in range(steps):
            yield step
            optimizer.param_groups[0]["lr"] = rate * (0.501 + 0.5 * math.cos(math.pi * step / steps))
            z, out = self._forward(self.x)
            trace = 2 * (z.square().sum(2) + c * ((z > 0) * self.a[:, None].square()).sum(2)).mean(1)
            value = (out - self.y).square().mean(1) + PENALTY * LAST ** (step / steps) * trace
            if zeros_elsewhere:
                value = value + self._forward(self.other)[1].square().mean(1)
            optimizer.zero_grad()
            value.sum().backward()
            optimizer.step()


def _random(d: int, width: int, seed: int, *, bias: bool) -> _Network:
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(width, d, generator=generator, dtype=torch.float64) / math.sqrt(d)
    a = 0.3 * torch.randn(width, generator=generator, dtype=torch.float64)
    return _Network(W, torch.zeros(width, dtype=torch.float64) if bias else None, a)


def _disturbed(network: _Network, seed: int) -> _Network:
    generator = torch.Generator().manual_seed(seed)
    assert network.b is not None
    moved = [
        p + DISTURBANCE * p.square().mean().sqrt() * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for p in (network.W, network.b, network.a)
    ]
    return _Network(*moved)


def _start(kind: str, bias: bool, width: int, sample: _Sample, seed: int) -> _Network:
    """Return a disturbed lookup table, if the kind is "table", or a random network."""
    if kind == "table":
        return _disturbed(_mixture(sample, 0.0), seed)
    return _random(sample.x.shape[1], width, seed, bias=bias)


def course(kind: str, bias: bool, d: int, n: int, width: int, steps: int, seed: int) -> tuple[Array, dict[str, Any]]:
    """Return excess and error along the training of one network, shape (k, 2), and slices of the loss at its end."""
    sample = _Sample.draw(d, n, seed)
    training = _Training([sample], [_start(kind, bias, width, sample, seed)])
    at, points = {round(step) for step in np.linspace(0, steps - 1, POINTS)}, []
    for step in training.descent(steps):
        if step in at:
            row = training.networks()[0].measure(sample)
            points.append((row["excess"], row["test_error"]))
    x, y = sample.x[sample.seen], sample.y[sample.seen]
    return np.array(points), end_slices(training.networks()[0].module(), lambda f: (f(x) - y).square().mean(), REACH)


def measure(kind: str, bias: bool, d: int, n: int, width: int, steps: int, draws: int, seed: int) -> Metrics:
    """Return the measurements of networks of one kind, as lists with an entry for each draw of the training set.

    The kind is "rule 25%" and the like for a built mixture of a lookup table and the rule; "trained" from a random
    start; "table" for a lookup table that is disturbed and trained; "zero elsewhere" for training to be zero on unseen
    points, followed by training without this (metrics ``released_…``). There are n training points in dimension d,
    ``width`` hidden neurons, and ``steps`` steps of Adam.
    """
    samples = [_Sample.draw(d, n, seed + s) for s in range(draws)]

    def row(networks: list[_Network]) -> Metrics:
        return as_lists([network.measure(sample) for network, sample in zip(networks, samples, strict=True)])

    absent: Metrics = dict.fromkeys(["alone", *(f"released_{name}" for name in MEASURES)])

    if kind.startswith("rule"):
        share = float(kind.removeprefix("rule ").rstrip("%")) / 100
        found = row([_mixture(sample, share, bias=bias) for sample in samples])
        return absent | found | ({"alone": [_alone(sample, bias=bias) for sample in samples]} if share == 1 else {})
    training = _Training(samples, [_start(kind, bias, width, each, seed + s) for s, each in enumerate(samples)])
    if kind != "zero elsewhere":
        return absent | row(training.minimise(steps))
    held = row(training.minimise(steps, zeros_elsewhere=True))
    return absent | held | {f"released_{name}": values for name, values in row(training.minimise(steps)).items()}

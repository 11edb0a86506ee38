"""Two-layer ReLU networks: with biases some of the flattest know the training set by heart, and nothing else.

The network is ``f(x) = Σ_j a_j (w_j·x + b_j)₊``, x a vertex of the cube {−1, 1}^d and y = x_1 x_2, n vertices seen.
Where the loss is zero, the trace of the Hessian of the mean squared error is, with ``z_ij = (w_j·x_i + b_j)₊`` and
c = d + 1 (without biases c = d),

    tr H = (2/n) Σ_i Σ_{j: z_ij > 0} (z_ij² + c a_j²) ≥ (2/n) Σ_i 2 √c |Σ_j a_j z_ij| = 4 √c,

with equality exactly if every neuron that is active at a point has ``z_ij = √c |a_j|`` and the sign of y_i. One neuron
for each point, active there and nowhere else, fulfils this, and so do four neurons that compute x_1 x_2, and every
mixture of the two. Without a bias a neuron cannot be alone with a point among many: that is a linear programme. There
the four neurons of the rule have z = 0 at half of the points, on their kink. Moved a little they are active at half of
those, each with a further ``c a_j²``: training hovers about a trace of ``4 √(2c)``.

The claim would be refuted by a trace of the lookup table above the bound, by a table without biases that is as flat, or
by flat networks without biases that err on vertices they have not seen.

Wen, Ma, Li, "Sharpness minimization algorithms do not only minimize sharpness to achieve better generalization", 2023,
arXiv 2307.11007.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim
from flatmin.lab.studies.base import Findings, Row, Study
from flatmin.nn.spectrum.trace import hessian_trace

__all__ = ["STUDY"]

#: How much of the output comes from the four neurons that know the rule; the rest is looked up.
MIXTURES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Strength of the penalty in training; it falls to this share of it.
PENALTY, LAST = 1e-2, 1e-2
#: Disturbance of a lookup table before it is trained on, relatively to its weights.
DISTURBANCE = 0.05


@dataclass(frozen=True)
class _Sample:
    """The vertices of a cube and their labels; ``seen`` are those of the training set."""

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
    """Weights (width, d), biases (width,) or None, output weights (width,)."""

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

    def measured(self, sample: _Sample) -> Row:
        """Return loss, trace, its excess over the bound for these outputs, and the errors on vertices not seen."""
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
    """Return a flattest network that computes a share of the output by the rule and looks the rest up."""
    d = sample.x.shape[1]
    root = math.sqrt(d + bias)
    x, y = sample.x[sample.seen], sample.y[sample.seen]
    height = math.sqrt((1 - rule) * root)  # z of a neuron that is active: √c |a|
    parts = [(x * height, torch.full((len(x),), -height * (d - 1), dtype=x.dtype), y * height / root)]
    pair = torch.zeros(4, d, dtype=x.dtype)
    pair[:, :2] = torch.tensor([[1, 1], [-1, -1], [1, -1], [-1, 1]])
    height = math.sqrt(rule * root)
    # With a bias the neuron is active from 1/2 on, away from the kink; without one it sits on it.
    slope, shift = (height, -height) if bias else (height / 2, 0.0)
    parts.append((pair * slope, torch.full((4,), shift, dtype=x.dtype), pair[:, 0] * pair[:, 1] * height / root))
    W, b, a = (torch.cat(part) for part in zip(*(parts if bias else parts[1:]), strict=True))
    return _Network(W, b if bias else None, a)


def _alone(sample: _Sample, *, bias: bool) -> float:
    """Return the share of points seen that a single neuron can be active at without being so at any other."""
    x = sample.x[sample.seen].numpy()
    rows = np.hstack([x, np.ones((len(x), int(bias)))])
    alone = 0
    for i, row in enumerate(rows):
        others: Array = np.delete(rows, i, axis=0)
        found = linprog(np.zeros(len(row)), others, np.zeros(len(others)), row[None], [1.0], bounds=(None, None))
        alone += found.status == 0
    return alone / len(rows)


class _Training:
    """Networks of one width, one for each sample, trained side by side."""

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
        """Return what Adam makes of loss and trace; with zeros elsewhere, zero is the target on vertices not seen."""
        c = self.x.shape[2] + self.bias
        optimizer = torch.optim.Adam([self.W, self.b, self.a], lr=rate)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate * (0.501 + 0.5 * math.cos(math.pi * step / steps))
            z, out = self._forward(self.x)
            trace = 2 * (z.square().sum(2) + c * ((z > 0) * self.a[:, None].square()).sum(2)).mean(1)
            value = (out - self.y).square().mean(1) + PENALTY * LAST ** (step / steps) * trace
            if zeros_elsewhere:
                value = value + self._forward(self.other)[1].square().mean(1)
            optimizer.zero_grad()
            value.sum().backward()
            optimizer.step()
        every = zip(self.W.detach(), self.b.detach(), self.a.detach(), self.bias, strict=True)
        return [_Network(W.clone(), b.clone() if has else None, a.clone()) for W, b, a, has in every]


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


def _run(*, quick: bool = False, seed: int = 0) -> Findings:
    d, n, width, steps, seeds = (6, 32, 40, 600, 3) if quick else (8, 60, 100, 2500, 6)
    samples = [_Sample.draw(d, n, seed + s) for s in range(seeds)]
    rows: list[Row] = []

    def note(name: str, bias: bool, networks: list[_Network]) -> None:
        for s, (sample, network) in enumerate(zip(samples, networks, strict=True)):
            rows.append({"network": name, "bias": bias, "seed": seed + s} | network.measured(sample))

    for share in MIXTURES:
        note(f"built, rule {share:.0%}", True, [_mixture(sample, share) for sample in samples])
    note("built, rule 100%", False, [_mixture(sample, 1.0, bias=False) for sample in samples])
    for row in [r for r in rows if r["network"] == "built, rule 100%"]:
        row["alone"] = _alone(samples[row["seed"] - seed], bias=row["bias"])
    starts = [_random(d, width, seed + s, bias=bias) for bias in (False, True) for s in range(seeds)]
    trained = _Training(2 * samples, starts).minimise(steps)
    note("trained", False, trained[:seeds])
    note("trained", True, trained[seeds:])
    tables = [_disturbed(_mixture(sample, 0.0), seed + s) for s, sample in enumerate(samples)]
    note("table, disturbed and trained", True, _Training(samples, tables).minimise(steps))
    if not quick:
        held = _Training(samples, starts[:seeds])
        note("trained to be zero elsewhere", False, held.minimise(steps, zeros_elsewhere=True))
        note("released from that", False, held.minimise(steps))
    return Findings(rows, _claims(rows, quick), by=("network", "bias"), draw=lambda figure: _draw(figure, rows))


def _values(rows: list[Row], name: str, bias: bool, key: str) -> list[float]:
    return [row[key] for row in rows if row["network"] == name and row["bias"] is bias]


def _claims(rows: list[Row], quick: bool) -> list[Claim]:
    def of(name: str, bias: bool, key: str) -> list[float]:
        return _values(rows, name, bias, key)

    built = [row["excess"] for row in rows if row["network"].startswith("built")]
    table, rule = "built, rule 0%", "built, rule 100%"
    claims = [
        Claim.exact("built networks, tables too: largest excess of the trace over the bound", max(built), below=1e-9),
        Claim.exact(
            "with biases, the table: smallest error on unseen points", min(of(table, True, "test_error")), above=0.999
        ),
        Claim.exact("with biases, the rule: largest error", max(of(rule, True, "test_error")), below=1e-9),
        Claim.exact("with biases: share of points a neuron can be alone with", min(of(rule, True, "alone")), above=1.0),
        Claim.exact("without biases: the same", max(of(rule, False, "alone")), below=0.0),
        Claim.of_mean("without biases, trained: error", of("trained", False, "test_error"), below=0.1),
        Claim.of_mean(
            "with biases, a table disturbed and trained: excess",
            of("table, disturbed and trained", True, "excess"),
            below=0.05,
        ),
        Claim.of_mean(
            "with biases, a table disturbed and trained: error",
            of("table, disturbed and trained", True, "test_error"),
            above=0.5,
        ),
    ]
    if not quick:
        claims += [
            Claim.of_mean(
                "with biases, trained from a random start: error", of("trained", True, "test_error"), below=0.1
            ),
            Claim.of_mean(
                "without biases, trained to be zero elsewhere: excess",
                of("trained to be zero elsewhere", False, "excess"),
                above=1.0,
            ),
            Claim.of_mean(
                "without biases, released from that: error", of("released from that", False, "test_error"), below=0.1
            ),
        ]
    return claims


def _draw(figure: Any, rows: list[Row]) -> None:
    axes = figure.subplots(1, 2, sharey=True)
    for ax, bias, title in zip(axes, (True, False), ("with biases", "without biases"), strict=True):
        names = list(dict.fromkeys(row["network"] for row in rows if row["bias"] is bias))
        built = [name for name in names if name.startswith("built")]
        for label, group, marker in [("built", built, "o")] + [
            (name, [name], mark) for name, mark in zip([x for x in names if x not in built], "s^vD", strict=False)
        ]:
            excess = [v for name in group for v in _values(rows, name, bias, "excess")]
            error = [v for name in group for v in _values(rows, name, bias, "test_error")]
            ax.plot(1 + np.array(excess), error, marker, alpha=0.7, label=label)
        ax.set(title=title, xlabel="trace / smallest trace")
        ax.legend(loc="center right", fontsize="small")
    axes[0].set_ylabel("mean squared error on unseen points")


STUDY = Study(
    name="relu-bias",
    question="Do the flattest two-layer ReLU networks generalize?",
    expectation="With biases not all of them: a lookup table attains the same smallest trace as the rule, and training "
    "for flatness does not leave it; from a random start training finds the rule, for which flatness is no reason. "
    "Without biases flat networks know the rule, and those that do not are far from flat.",
    run=_run,
)

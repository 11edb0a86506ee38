"""Memory and time of the curvature of a causal transformer with the shape of GPT-2 small, with random weights.

python -m benchmarks.nn.language_model                               sequences of 128 tokens, 2 of them
python -m benchmarks.nn.language_model --length 512 --batch 8        logits of 0.8 GB
python -m benchmarks.nn.language_model --measures trace "Hessian penalty" --steps 2     some of the measures

The measures are those of the Gauss-Newton part, and with "Hessian" in front those of the whole Hessian: one product,
the trace from 8 products, the largest eigenvalue and the spectral density from ``--steps`` products, and the penalty
with its gradient.

The model has 124 million parameters and a vocabulary of 50304 tokens; embedding and head share their weights. Each
measure runs in a process of its own, on one thread. ``peak`` is the largest resident memory of that process, with
PyTorch's libraries. ``copies`` is the growth of the peak, beyond that of the same measure of one sequence of 16 tokens,
in units of the logits: it counts everything that grows with the batch, also activations. ``seconds`` are those of a
product, or of a penalty with its gradient, and are compared with two gradients of the loss by processor time in the
same process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import flatmin.nn as fnn
from benchmarks.report import line, machine

VOCABULARY, WIDTH, HEADS, LAYERS, CONTEXT = 50304, 768, 12, 12, 1024
LIMIT = 12.0


class Block(nn.Module):
    """Attention to earlier tokens, and a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.before_attention, self.before_perceptron = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.projection = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.perceptron = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(approximate="tanh"), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = self.attention(self.before_attention(x)).split(WIDTH, -1)
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).flatten(2))
        return x + self.perceptron(self.before_perceptron(x))


class LanguageModel(nn.Module):
    """A causal transformer whose head is the transposed embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks, self.norm = nn.Sequential(*(Block() for _ in range(LAYERS))), nn.LayerNorm(WIDTH)
        for p in self.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.norm(self.blocks(x)) @ self.tokens.weight.T


Data = tuple[Tensor, Tensor]
LOSS = fnn.TokenCrossEntropy()
#: Number of products of a trace, the smallest that has an interval.
TRACE_PRODUCTS = 8


def product(of: str, steps: int, model: nn.Module, data: Data) -> tuple[str, int]:
    curvature = fnn.Curvature(model, LOSS, data, of=of)
    curvature @ torch.randn(curvature.shape[0], generator=torch.Generator().manual_seed(1))
    return "", 1


def trace(of: str, steps: int, model: nn.Module, data: Data) -> tuple[str, int]:
    found = fnn.hessian_trace(model, LOSS, data, of=of, max_products=TRACE_PRODUCTS)
    return f"{found.value:.4g} ± {found.std_error:.2g}", found.n_products


def eigenvalue(of: str, steps: int, model: nn.Module, data: Data) -> tuple[str, int]:
    found = fnn.largest_eigenvalue(model, LOSS, data, of=of, max_products=steps)
    return f"{found.lower:.4g} to {found.upper:.4g}", found.n_products


def density(of: str, steps: int, model: nn.Module, data: Data) -> tuple[str, int]:
    found = fnn.spectral_density(model, LOSS, data, of=of, probes=1, steps=steps)
    return f"mean {found.moments[0]:.3g}", found.n_products


def penalty(of: str, steps: int, model: nn.Module, data: Data) -> tuple[str, int]:
    value = fnn.HessianTracePenalty(model, LOSS, of=of, seed=0)(*data)
    value.backward()
    return f"{float(value.detach()):.4g}", 1


#: Each measure takes the number of steps, a model and data, and returns its result in words and its number of products.
MEASURES = {
    prefix + run.__name__: partial(run, of)
    for prefix, of in (("", "gauss_newton"), ("Hessian ", "hessian"))
    for run in (product, trace, eigenvalue, density, penalty)
}


def gradient(model: nn.Module, data: Data) -> float:
    """Return the seconds of a gradient of the loss, sequence by sequence, as training with little memory does."""
    start = time.process_time()
    for x, y in zip(*(part.split(1) for part in data), strict=True):
        (LOSS(model(x), y) / len(data[0])).backward()
    model.zero_grad()
    return time.process_time() - start


def peak() -> float:
    """Return the largest resident memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(name: str, length: int, batch: int, steps: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LanguageModel()
    tokens = torch.randint(VOCABULARY, (batch, length))
    run = partial(MEASURES[name], steps, model)
    run((tokens[:1, :16],) * 2)
    model.zero_grad()
    base, start = peak(), time.process_time()
    result, count = run((tokens, tokens))
    seconds, highest = (time.process_time() - start) / count, peak()
    model.zero_grad()
    two = 2 * gradient(model, (tokens, tokens))
    numbers = {"peak": highest, "base": base, "seconds": seconds, "gradients": two}
    print(json.dumps({**numbers, "result": result}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--measures", nargs="*", default=list(MEASURES), choices=list(MEASURES))
    parser.add_argument("--steps", type=int, default=5, help="products of the eigenvalue and the density")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        measure(options.measures[0], options.length, options.batch, options.steps)
        return
    logits = options.batch * options.length * VOCABULARY * 4 / 2**30
    print(machine())
    print(f"\n{options.batch} sequences of {options.length} tokens, logits of {logits:.2f} GiB\n")
    line(["measure", "result", "peak, GiB", "copies", "seconds", "two gradients, s", "ratio", f"≤ {LIMIT:g} GiB"])
    print("|" + "---|" * 8)
    for name in options.measures:
        command = [sys.executable, "-m", "benchmarks.nn.language_model", "--alone", "--measures", name]
        command += ["--length", str(options.length), "--batch", str(options.batch), "--steps", str(options.steps)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            line([name, f"failed: {done.stderr.strip().splitlines()[-1] if done.stderr else done.returncode}"])
            continue
        found = json.loads(done.stdout)
        numbers = [found["peak"], (found["peak"] - found["base"]) / logits, found["seconds"], found["gradients"]]
        cells = [f"{number:.1f}" for number in [*numbers, found["seconds"] / found["gradients"]]]
        line([name, found["result"], *cells, "yes" if found["peak"] <= LIMIT else "NO"])


if __name__ == "__main__":
    main()

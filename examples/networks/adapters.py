"""
Low-rank adapters and their flatness
====================================

A transformer with one layer reads the digits of scikit-learn as sequences of eight rows. It is trained on 400 digits,
and then fine-tuned with adapters of rank 4 on 200 transposed digits, in six ways: plainly; with an optimizer that is
reset every 20 steps; with factors that are rebalanced at each of these resets; with weight decay of the factors; and
with the trace in the factors (A, B), or that in the adapted weights W, as a penalty. Strengths are the better of two,
by the loss on 200 validation digits. All ways take the same number of steps of Adam from the same adapters.

Rebalancing at the end gives the trace in the factors its smallest value, and leaves outputs and the trace in W as they
are. What the ways do to the error is shown by paired differences over three seeds, with 95 % intervals. After 50 steps
no run has converged, so a difference may be one of speed. The guide shows the results of five seeds and 120 steps,
which take minutes: ``python examples/networks/adapters.py 5 120``.
"""

import copy
import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import t
from sklearn.datasets import load_digits
from torch import nn

import flatmin as fm

# %%
# Five ways to train are compared with the plain one.

SEEDS, STEPS = map(int, sys.argv[1:]) if len(sys.argv) == 3 else (3, 50)
WIDTH, RANK = 24, 4
LOSS = nn.CrossEntropyLoss()
STRENGTHS = {"decay": (1e-3, 1e-2), "(A, B)": (1e-4, 1e-3), "W": (1e-4, 1e-3)}
LABELS = {
    "plain": "plain",
    "reset": "optimizer\nreset",
    "rebalanced": "reset and\nrebalanced",
    "decay": "weight\ndecay",
    "(A, B)": "penalty\nin (A, B)",
    "W": "penalty\nin W",
}
NAMES = tuple(LABELS)

# %%
# The model: one layer, two heads, and rows of an image in place of words.


class Transformer(nn.Module):
    """A transformer with one layer and two heads that reads rows of an image."""

    def __init__(self):
        super().__init__()
        self.rows, self.places = nn.Linear(8, WIDTH), nn.Parameter(0.1 * torch.randn(8, WIDTH))
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.first, self.second, self.head = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, images):
        """Return logits, (n, 10), for images, (n, 8, 8)."""
        x = self.rows(images) + self.places
        y = self.first(x)
        q, k, v = (layer(y).unflatten(2, (2, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        seen = torch.softmax(q @ k.mT / (WIDTH / 2) ** 0.5, -1) @ v
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        x = x + self.down(torch.nn.functional.gelu(self.up(self.second(x))))
        return self.head(x.mean(1))


# %%
# It is trained on upright digits and adapted to transposed ones. `LowRankAdapter` adds a trainable product B A to the
# fixed weights of a layer.


def splits(seed):
    """Return digits to train on, and transposed digits to fine-tune on, to validate and to test."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images = torch.tensor(images[order] / 16).float().reshape(-1, 8, 8)
    labels = torch.tensor(labels[order])
    cuts = [slice(400), slice(600, 800), slice(800, 1000), slice(1000, None)]
    return [(images[cut].mT if i else images[cut], labels[cut]) for i, cut in enumerate(cuts)]


def pretrained(data, seed):
    """Return a transformer trained on upright digits."""
    torch.manual_seed(seed)
    model = Transformer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        LOSS(model(data[0]), data[1]).backward()
        optimizer.step()
    return model.requires_grad_(False)


def adapted(model, seed):
    """Return a copy with adapters in attention and in the two linear layers above it."""
    model = copy.deepcopy(model)
    for i, name in enumerate(("query", "value", "up", "down")):
        setattr(model, name, fm.nn.LowRankAdapter(getattr(model, name), RANK, seed=10 * seed + i))
    return model


# %%
# The penalties are estimates of the Gauss-Newton trace from one random vector a step. `loss_root` gives the vector
# whose backward pass has the trace as its expected squared length.


def factors(model):
    """Return the trained tensors A and B."""
    return [p for p in model.parameters() if p.requires_grad]


def probe(model, outputs, labels, parameters, generator):
    """Return an unbiased estimate of the Gauss-Newton trace in some parameters, which can be differentiated."""
    signs = torch.randint(0, 2, outputs.shape, generator=generator) * 2.0 - 1
    w = fm.nn.loss_root(LOSS, outputs, labels, signs)
    return sum(g.square().sum() for g in torch.autograd.grad(outputs, parameters, w, create_graph=True))


def tuned(model, data, way, strength, seed):
    """Return the model after fine-tuning in one of the ways."""
    model, (x, y), generator = adapted(model, seed), data, torch.Generator().manual_seed(seed)
    trained = factors(model)
    weights = [layer.base_layer.weight for layer in (model.query, model.value, model.up, model.down)]
    optimizer = torch.optim.Adam(trained, lr=0.01)
    for step in range(STEPS):
        for weight in weights:
            weight.requires_grad_(way == "W")  # the penalty differentiates in W, the optimizer does not move it
        outputs = model(x)
        value = LOSS(outputs, y)
        if way == "decay":
            value = value + strength * sum(p.square().sum() for p in trained)
        elif way in ("(A, B)", "W"):
            value = value + strength * probe(model, outputs, y, weights if way == "W" else trained, generator)
        for p, g in zip(trained, torch.autograd.grad(value, trained), strict=True):
            p.grad = g
        optimizer.step()
        if way in ("reset", "rebalanced") and step % 20 == 19:
            if way == "rebalanced":
                fm.nn.rebalance_(fm.nn.adapter_flatness(model, LOSS, (x, y), ranks=False))
            optimizer = torch.optim.Adam(trained, lr=0.01)  # momenta belong to the old factors
    for weight in weights:
        weight.requires_grad_(False)
    return model


# %%
# What is measured: `adapter_flatness` computes the trace in the factors, the smallest trace of the same function, and
# the trace in the whole weights. `rebalance_` replaces the factors by those that attain the smallest.


@torch.no_grad()
def scores(model, data):
    """Return loss and error in per cent."""
    outputs = model(data[0])
    return float(LOSS(outputs, data[1])), 100 * float((outputs.argmax(1) != data[1]).float().mean())


def measured(model, train, test):
    """Return what is compared: traces and their smallest value, before and after rebalancing, and scores."""
    before = fm.nn.adapter_flatness(model, LOSS, train, ranks=False)
    outputs = model(test[0]).detach()
    loss, error = scores(model, test)
    fm.nn.rebalance_(before)
    after = fm.nn.adapter_flatness(model, LOSS, train, ranks=False)
    moved = float((model(test[0]).detach() - outputs).abs().max() / outputs.abs().max())
    return {
        "trace": before.trace.value,
        "least": before.fibre_minimum.value,
        "rebalanced": after.trace.value,
        "trace in W": before.weight_trace.value,
        "W after": after.weight_trace.value,
        "moved": moved,
        "loss": loss,
        "error": error,
    }


# %%
# Differences between ways are taken within a seed, and Student's distribution gives their intervals.


def interval(values):
    """Return the mean and half of the 95 % interval of Student's distribution."""
    values = np.asarray(values)
    return values.mean(), t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5


def experiment():
    """Return the results of all ways, by name and seed."""
    found = {name: [] for name in NAMES}
    for seed in range(SEEDS):
        upright, train, validation, test = splits(seed)
        model = pretrained(upright, seed)
        for way in NAMES:
            runs = [tuned(model, train, way, strength, seed) for strength in STRENGTHS.get(way, (0.0,))]
            best = min(runs, key=lambda run: scores(run, validation)[0])
            found[way].append(measured(best, train, test))
    return found


# %%
# Rebalancing at the end leaves the outputs and the trace in W as they are. It changes only the trace in the factors.

torch.set_num_threads(1)
found = experiment()
print("means over seeds     trace   least  trace in W   test loss   test error %")
for name in NAMES:
    mean = {key: np.mean([run[key] for run in found[name]]) for key in found[name][0]}
    print(
        f"{name:18} {mean['trace']:8.2f} {mean['least']:7.2f} {mean['trace in W']:11.2f}"
        f" {mean['loss']:11.3f} {mean['error']:14.2f}"
    )
every = [run for runs in found.values() for run in runs]
print(f"rebalanced at the end: outputs move by at most {max(run['moved'] for run in every):.0e} of their size,")
print(f"  trace / smallest at most {max(run['rebalanced'] / run['least'] for run in every):.4f},", end=" ")
print(f"trace in W changes by at most {max(abs(run['W after'] / run['trace in W'] - 1) for run in every):.0e}")

# %%
# The paired differences from plain training; for the rebalanced way, from training with the same resets.

for name in NAMES[1:]:
    other = "reset" if name == "rebalanced" else "plain"
    pairs = list(zip(found[name], found[other], strict=True))
    mean, half = interval([a["error"] - b["error"] for a, b in pairs])
    ratio, spread = interval([np.log(a["trace in W"] / b["trace in W"]) for a, b in pairs])
    low, high = np.exp(ratio - spread), np.exp(ratio + spread)
    print(f"{name} against {other}: error {mean:+.1f} ± {half:.1f} points,", end=" ")
    print(f"trace in W {np.exp(ratio):.2f} times [{low:.2f}, {high:.2f}]")

# %%
# Points are means over seeds, bars their 95 % intervals.

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
places = np.arange(len(NAMES))
for axis, keys, title in zip(
    axes,
    (("trace", "least"), ("trace in W",), ("error",)),
    ("trace in the factors (A, B)", "trace in the weights W", "test error, per cent"),
    strict=True,
):
    for key, color, shift in zip(keys, ("#1b6ca8", "#edae49"), (-0.12, 0.12), strict=False):
        means, halves = zip(*(interval([run[key] for run in found[name]]) for name in NAMES), strict=True)
        label = {"trace": "as trained", "least": "smallest of the same function"}.get(key)
        axis.errorbar(
            places + (shift if len(keys) > 1 else 0),
            means,
            yerr=halves,
            fmt="o",
            capsize=4,
            color=color,
            label=label,
        )
    axis.set(title=title, xticks=places, ylim=(0, None))
    axis.set_xticklabels(LABELS.values(), fontsize=8)
axes[0].set_ylim(0, 1.3 * axes[0].get_ylim()[1])  # room for the legend
axes[0].legend(loc="upper right")
plt.show()

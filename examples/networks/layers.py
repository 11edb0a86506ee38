"""
Which part of a transformer is sharp?
=====================================

A transformer of one layer reads handwritten digits, each as a sequence of eight rows. `hessian_trace` splits the trace
of the Gauss-Newton matrix by modules, before and after training. So one sees whether attention, the feed-forward part
or the read-out is sensitive to small changes of its weights, and how sensitive the loss is to errors in the values that
pass through a layer, as rounding to few bits makes them.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import flatmin as fm

SAMPLES, STEPS, WIDTH = 400, 30, 24
GREY, BLUE = "#999999", "#1b6ca8"

# %%
# The model is written out, so that each part has a name.


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
# One call measures the trace of all parts. ``groups="module"`` names them by their modules; ``model`` is the embedding
# of the places of rows. With 4000 outputs in all, the numbers are exact.

images, labels = load_digits(return_X_y=True)
data = torch.tensor(images[:SAMPLES] / 16).float().reshape(-1, 8, 8), torch.tensor(labels[:SAMPLES])
torch.manual_seed(0)
torch.set_num_threads(1)
model, loss = Transformer(), nn.CrossEntropyLoss()


def measured():
    """Return the trace of the Gauss-Newton matrix of all weights, with its parts."""
    return fm.nn.hessian_trace(model, loss, data, of="gauss_newton", groups="module", seed=0)


before = measured()

# %%
# Training, and the same measurement again.

optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(STEPS):
    optimizer.zero_grad()
    value = loss(model(data[0]), data[1])
    value.backward()
    optimizer.step()
after = measured()
print(f"loss {value.item():.3f}; trace {before.value:.2f} before, {after.value:.2f} after training")
for name, part in sorted(after.groups.items(), key=lambda group: -group[1].value):
    print(f"  {name:6} {part.value:7.3f}, {part.value / after.value:4.0%} of the trace")

# %%
# `activation_trace` measures the outputs of a layer in place of its weights: half of it, times the variance of small
# independent errors of these outputs, is the expected increase of the loss.

layers = ("rows", "query", "key", "value", "out", "up", "down")
inside = {name: fm.nn.activation_trace(model, loss, data, layer=name, of="gauss_newton", seed=0) for name in layers}
for name, trace in inside.items():
    print(f"  outputs of {name:6} {trace.value:.3f}")

# %%
# Left: the trace in the weights, by part. Right: the trace in the outputs.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained", width_ratios=(1.5, 1))
names = list(after.groups)
places = np.arange(len(names))
for shift, trace, color, label in ((-0.2, before, GREY, "before training"), (0.2, after, BLUE, "after training")):
    values = [trace.groups[name].value for name in names]
    left.barh(places + shift, values, 0.4, color=color, label=label)
left.set_yticks(places, names)
left.invert_yaxis()
left.set(title="Trace in the weights of a part", xlabel="trace of the Gauss-Newton matrix")
left.legend()
right.barh(list(inside), [trace.value for trace in inside.values()], color=BLUE)
right.invert_yaxis()
right.set(title="Trace in the outputs of a layer, after training", xlabel="trace in the outputs")
plt.show()

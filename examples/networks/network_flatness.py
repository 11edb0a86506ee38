"""
How flat is a network?
======================

A small network learns handwritten digits. Before, during and after training the trace of the Hessian is computed
exactly, with a product for each of its 1210 parameters, and estimated from 30, 60 and 120 products, each time with an
interval that covers the truth in 95 of 100 cases. At the start the eigenvalues have both signs and are spread, and no
estimate is accurate. Soon a few directions carry most of the Hessian, and the error of Hutch++ is one or two per cent.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import flatmin as fm

# %%
# The network is small enough that the exact trace is affordable, and the estimates can be judged.

SAMPLES, STEPS, LOOKS = 400, 200, (0, 5, 20, 200)
PRODUCTS = (30, 60, 120)
COLORS = {"hutchinson": "#edae49", "hutch++": "#1b6ca8"}


def digits():
    """Return images and their labels."""
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images[:SAMPLES] / 16).float(), torch.tensor(labels[:SAMPLES])


# %%
# `hessian_trace` with ``method="exact"`` takes one product with the Hessian for each parameter. With a budget of
# products it chooses an estimator, and returns a value with a 95 % interval.


def look(model, loss, data):
    """Return the exact trace and the estimates."""
    exact = fm.nn.hessian_trace(model, loss, data, method="exact").value
    return exact, [fm.nn.hessian_trace(model, loss, data, max_products=m, seed=m) for m in PRODUCTS]


# %%
# The network is measured before training and after 5, 20 and 200 steps.

torch.manual_seed(0)
torch.set_num_threads(1)
data, loss = digits(), nn.CrossEntropyLoss()
model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
found = {}
print("steps   loss   exact trace    estimates from " + ", ".join(f"{m}" for m in PRODUCTS) + " products")
for step in range(STEPS + 1):
    value = loss(model(data[0]), data[1])
    if step in LOOKS:
        exact, estimates = found[step] = look(model, loss, data)
        shown = "   ".join(f"{e.value:6.2f} [{e.interval[0]:6.2f}, {e.interval[1]:6.2f}] {e.method}" for e in estimates)
        print(f"{step:5d} {value.item():6.3f} {exact:13.3f}    {shown}")
    optimizer.zero_grad()
    value.backward()
    optimizer.step()

# %%
# The Gauss-Newton part of the Hessian is exact after a few gradients, and can be split by layers.

parts = fm.nn.hessian_trace(model, loss, data, of="gauss_newton", groups="module")
shares = ", ".join(f"{part.value / parts.value:.0%} in layer {name}" for name, part in parts.groups.items())
print(f"Gauss-Newton part at the end: {parts.value:.3f}, exact after {parts.n_products} gradients; {shares}")

# %%
# Once training has begun, the intervals are narrow: a few directions carry most of the Hessian, and Hutch++ finds
# them.

figure, axes = plt.subplots(1, len(found), figsize=(12, 3.6), layout="constrained", sharey=False)
for axis, (step, (exact, estimates)) in zip(axes, found.items(), strict=True):
    axis.axhline(exact, color="#444444", label="exact")
    for m, e in zip(PRODUCTS, estimates, strict=True):
        reach = [[e.value - e.interval[0]], [e.interval[1] - e.value]]
        axis.errorbar([str(m)], [e.value], yerr=reach, fmt="o", capsize=5, color=COLORS[e.method], label=e.method)
    axis.set(title=f"after {step} steps", xlabel="products")
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axis.legend(list(unique.values()), list(unique))
axes[0].set_ylabel("trace of the Hessian")
plt.show()

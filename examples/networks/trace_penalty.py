"""
The trace of the Hessian as a penalty
=====================================

The teacher is a network with two neurons, ``y = ((u₁ᵀx)² − (u₂ᵀx)²)/2``, observed with noise. The student has sixteen,
eight of each sign, and is trained by Adam with one of three penalties, whose strengths are chosen by held-out examples.
Weight decay equals the trace if all inputs have the same scale. In bad units, where the important inputs are small
compared with the others, weight decay penalises the truth too much. The trace is not affected, because it multiplies
each weight by the size of its input. Weight decay on whitened inputs is not affected either: the gain of the trace here
is invariance to units, and whitening has the same effect.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import flatmin as fm

# %%
# Two kinds of units of the inputs, and three penalties with the strengths that are tried.

INPUTS, NEURONS, EXAMPLES, FRESH = 20, 16, 200, 1000
NOISE, STEPS, DRAWS = 0.3, 300, 3
UNITS = {"equal": np.ones(INPUTS), "from 1 to 10": np.geomspace(1, 10, INPUTS)}
#: The strengths that are tried for each penalty; Adam's learning rate is the same for all.
STRENGTHS = {
    "weight decay": np.geomspace(1e-2, 1, 5),
    "trace": np.geomspace(1e-5, 1e-3, 5),
    "whitened, decay": np.geomspace(1e-2, 1, 5),
}
COLORS = {"weight decay": "#edae49", "trace": "#1b6ca8", "whitened, decay": "#d1495b"}

# %%
# The student has more neurons than the teacher, and the data.


class Student(nn.Module):
    """A network ``Σ ± (u_jᵀ x)²``, half of the signs positive."""

    def __init__(self):
        super().__init__()
        self.neurons = nn.Linear(INPUTS, NEURONS, bias=False)
        nn.init.normal_(self.neurons.weight, std=0.02)
        self.register_buffer("signs", torch.tensor([1.0, -1.0]).repeat(NEURONS // 2))

    def forward(self, x):
        return self.neurons(x).square() @ self.signs


def draw(seed, units):
    """Return inputs in some units and outputs: training, validation, and new ones without noise."""
    rng = np.random.default_rng(seed)
    u = np.zeros((INPUTS, 2))
    u[: INPUTS // 3] = np.linalg.qr(rng.standard_normal((INPUTS // 3, 2)))[0]  # the inputs of small scale
    sets = []
    for count, noise in ((EXAMPLES, NOISE), (EXAMPLES, NOISE), (FRESH, 0)):
        x = rng.standard_normal((count, INPUTS))
        y = np.square(x @ u) @ [0.5, -0.5] + noise * rng.standard_normal(count)
        sets.append((x * units, y))
    return sets


def whitened(sets):
    """Return the same data in coordinates in which the training inputs have the identity as second moment."""
    x = sets[0][0]
    root = np.linalg.cholesky(np.linalg.inv(x.T @ x / len(x)))
    return [(x @ root, y) for x, y in sets]


# %%
# `HessianTracePenalty` is one more object in the training loop: its ``objective`` is the loss plus the trace, whose
# gradient costs two passes more than that of the loss.


def train(x, y, penalty, strength):
    """Return a student trained with a penalty of some strength."""
    torch.manual_seed(0)
    model, loss = Student(), nn.MSELoss()
    trace = fm.nn.HessianTracePenalty(model, loss, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        if penalty == "trace":
            total = trace.objective(x, y, strength)
        else:
            total = loss(model(x), y) + strength * model.neurons.weight.square().sum()
        total.backward()
        optimizer.step()
        schedule.step()
    return model


# %%
# The strength of each penalty is chosen by held-out examples.


def unexplained(model, x, y):
    """Return the share of the variance that predictions do not explain."""
    with torch.no_grad():
        return float((model(x) - y).square().sum() / (y - y.mean()).square().sum())


def errors(units, penalty):
    """Return validation and test errors, for each draw and strength, (DRAWS, strengths, 2)."""
    out = np.empty((DRAWS, len(STRENGTHS[penalty]), 2))
    for seed in range(DRAWS):
        sets = draw(seed, UNITS[units])
        sets = whitened(sets) if penalty.startswith("whitened") else sets
        tensors = [[torch.tensor(part, dtype=torch.float32) for part in pair] for pair in sets]
        for i, strength in enumerate(STRENGTHS[penalty]):
            model = train(*tensors[0], penalty, strength)
            out[seed, i] = [unexplained(model, *pair) for pair in tensors[1:]]
    return out


# %%
# In equal units weight decay and the trace do about equally well. In units from 1 to 10 the trace does as well as
# before, and weight decay does not.

torch.set_num_threads(1)
found = {(units, penalty): errors(units, penalty) for units in UNITS for penalty in STRENGTHS}
print(f"{INPUTS} inputs, {EXAMPLES} examples, noise {NOISE}; unexplained variance of new outputs, {DRAWS} draws")
print("scales of inputs" + "".join(f"{penalty:>18}" for penalty in STRENGTHS))
for units in UNITS:
    chosen = []
    for penalty in STRENGTHS:
        held, fresh = np.moveaxis(found[units, penalty], 2, 0)
        chosen.append(fresh[np.arange(DRAWS), held.argmin(1)].mean())
    print(f"{units:16}" + "".join(f"{error:18.3f}" for error in chosen))

# %%
# All strengths: thin lines are draws, thick ones their medians.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
for axis, units in zip(axes, UNITS, strict=True):
    for penalty, strengths in STRENGTHS.items():
        fresh = found[units, penalty][:, :, 1]
        for row in fresh:
            axis.loglog(strengths, row, color=COLORS[penalty], alpha=0.35)
        axis.loglog(strengths, np.median(fresh, 0), "o-", color=COLORS[penalty], label=penalty)
    axis.set(title=f"scales of the inputs: {units}", xlabel="strength of the penalty")
axes[0].set_ylabel("new examples: unexplained variance")
axes[0].legend(loc="upper right")
plt.show()

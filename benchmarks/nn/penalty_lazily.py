"""Test whether a trace penalty at every fourth step, four times larger, reaches the solution of one at every step.

python -m benchmarks.nn.penalty_lazily          two minutes
python -m benchmarks.nn.penalty_lazily --quick  twenty seconds

A ReLU network 64-32-10 learns 1200 of scikit-learn's digits, in batches of 128, by SGD with momentum and a step size
that falls to zero; the penalty uses one probe. Each seed draws weights, batches and probes; all variants start from the
same weights and get the same batches. Trace is the Gauss-Newton trace at the end, exact, objective the loss plus
strength times trace, both on the training data; error is on the other 597 digits. Below the means are the differences
from the penalty at every step, relative (error: in points), with a 95 % interval over seeds. ``never`` shows that the
penalty matters; ``fourth step, as strong`` is the control: without the factor four the solution is different.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.report import line, machine
from flatmin.nn import HessianTracePenalty, hessian_trace

BATCH, TRAIN = 128, 1200
LOSSES = {"cross entropy": (nn.CrossEntropyLoss(), 3e-3), "squared": (nn.MSELoss(), 3e-4)}
#: Variants: the interval between penalties in steps, and their mean strength.
WAYS = {"every step": (1, 1.0), "fourth step": (4, 1.0), "fourth step, as strong": (4, 0.25), "never": (1, 0.0)}
MEASURES = ("loss", "trace", "objective", "test error")


def digits() -> tuple[Tensor, Tensor]:
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return torch.tensor((X[order] - X.mean()) / X.std(), dtype=torch.float32), torch.tensor(y[order])


def trained(way: str, name: str, seed: int, epochs: int) -> list[float]:
    """Return loss, trace, objective and test error at the end of training."""
    (x, labels), (loss, strength) = digits(), LOSSES[name]
    y = labels if name == "cross entropy" else nn.functional.one_hot(labels, 10).float()
    every, share = WAYS[way]
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    penalty = HessianTracePenalty(model, loss, every=every, seed=seed)
    steps = epochs * (TRAIN // BATCH)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-3, steps)
    batches = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        index = torch.randint(TRAIN, (BATCH,), generator=batches)
        optimizer.zero_grad()
        total = penalty.objective(x[index], y[index], share * strength) if share else loss(model(x[index]), y[index])
        total.backward()
        optimizer.step()
        schedule.step()
    whole = x[:TRAIN], y[:TRAIN]
    with torch.no_grad():
        value = float(loss(model(whole[0]), whole[1]))
        error = float((model(x[TRAIN:]).argmax(1) != labels[TRAIN:]).float().mean())
    trace = hessian_trace(model, loss, whole, of="gauss_newton", method="exact").value
    return [value, trace, value + strength * trace, 100 * error]


def interval(differences: np.ndarray) -> str:
    """Return a mean with its 95 % interval by Student's t."""
    half = stats.t.ppf(0.975, len(differences) - 1) * differences.std(ddof=1) / len(differences) ** 0.5
    return f"{differences.mean():+.3f} ± {half:.3f}"


def main(arguments: list[str]) -> None:
    """Print the tables."""
    quick = "--quick" in arguments
    seeds, epochs = (3, 30) if quick else (8, 100)
    torch.set_num_threads(1)
    print(f"{machine()}; {seeds} seeds, {epochs} epochs\n")
    line(["loss function", "penalty", *MEASURES])
    print("|" + "---|" * (len(MEASURES) + 2))
    for name in LOSSES:
        ends = {way: np.array([trained(way, name, seed, epochs) for seed in range(seeds)]) for way in WAYS}
        base = ends["every step"]
        for way, rows in ends.items():
            line([name, way, *(f"{mean:.4g}" for mean in rows.mean(0))])
            if way != "every step":
                relative = np.hstack([rows[:, :3] / base[:, :3] - 1, rows[:, 3:] - base[:, 3:]])
                line(["", "difference", *(interval(column) for column in relative.T)])


if __name__ == "__main__":
    main(sys.argv[1:])

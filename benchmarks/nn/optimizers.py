"""Cost of a step of each flatness-seeking optimizer: seconds and memory, over a plain step.

python -m benchmarks.nn.optimizers          two minutes
python -m benchmarks.nn.optimizers --quick  half a minute

The networks learn scikit-learn's digits in batches of 128 with SGD: one so small that the overhead dominates, two in
which arithmetic dominates, and a convolutional one. All methods take turns, so that a ratio does not depend on other
load of the machine; numbers are medians of the ratios of processor times. ``memory`` is the largest allocation during a
step, beyond the memory before and after it, in units of the weights, gradients included.

``gradients`` is the number of gradients of the method, including the plain gradient that the loop computes.
`pytorch_optimizer.SAM` gets its second one by a closure in the loop; recording and repeating passes must not cost much
more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version

os.environ.setdefault("KINETO_LOG_LEVEL", "99")
import pytorch_optimizer
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import flatmin.nn as fnn
from benchmarks.nn.penalty_cost import BATCH, convolutional, data, interleaved
from benchmarks.report import line, machine, mark

#: Largest cost of a step of SAM over one of pytorch_optimizer's, in networks where arithmetic dominates.
WANTED = 1.25

#: Name, and the number of gradients of a batch in a step, including that of the loop.
WRAPPERS = {
    "WeightDecay": 1,
    "LabelNoise": 1,
    "SAM": 2,
    "PerExampleSAM": 3,
    "NoiseInjection": 3,
    "TwoPoint": 2,
}


def perceptron(width: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )


MODELS = {
    "64-32-32-10": perceptron(32),
    "64-256-256-10": perceptron(256),
    "64-1024-1024-10": perceptron(1024),
    "convolutional": convolutional,
}


def step(make: Callable[[], nn.Module], name: str, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Return a function that takes a step."""
    torch.manual_seed(0)
    model, loss = make(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    if name in WRAPPERS:
        optimizer = getattr(fnn, name)(optimizer, model, loss)

    def run() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return run


def their_step(make: Callable[[], nn.Module], x: Tensor, y: Tensor) -> Callable[[], None]:
    """Return a function that takes a step of pytorch_optimizer's SAM, as in its documentation."""
    torch.manual_seed(0)
    model, loss = make(), nn.CrossEntropyLoss()
    optimizer = pytorch_optimizer.SAM(model.parameters(), torch.optim.SGD, lr=1e-3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        return value

    def run() -> None:
        closure()
        optimizer.step(closure)

    return run


def peak(run: Callable[[], None]) -> int:
    """Return the largest number of bytes allocated at once, beyond those before."""
    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    held = most = 0
    for event in sorted(found.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def main(arguments: list[str]) -> None:
    """Print the table."""
    rounds = 7 if "--quick" in arguments else 40
    torch.set_num_threads(1)
    print(f"{machine()}; pytorch_optimizer {version('pytorch_optimizer')}, torch {torch.__version__}\n")
    everything = ["plain", *WRAPPERS, "pytorch_optimizer's SAM"]
    line(["network", *everything[1:], f"SAM over theirs ≤ {WANTED}"])
    print("|" + "---|" * (len(everything) + 1))
    line(["gradients", *map(str, WRAPPERS.values()), "2", ""])
    x, y = (t[:BATCH] for t in data("cross entropy"))
    memory = {}
    for title, make in MODELS.items():
        runs = {name: step(make, name, x, y) for name in everything[:-1]}
        runs[everything[-1]] = their_step(make, x, y)
        cost = interleaved(runs, rounds, "plain")
        over = cost["SAM"] / cost[everything[-1]]
        judged = f"{over:.2f}" + ("" if title == "64-32-32-10" else f" {mark(over <= WANTED)}")
        line([title, *(f"{cost[name]:.2f}" for name in everything[1:]), judged])
        weights = sum(p.nbytes for p in make().parameters())
        memory[title] = {name: peak(run) / weights for name, run in runs.items()}
    print("\nmemory, in units of the weights\n")
    line(["network", *everything])
    print("|" + "---|" * (len(everything) + 1))
    for title, found in memory.items():
        line([title, *(f"{found[name]:.2f}" for name in everything)])


if __name__ == "__main__":
    main(sys.argv[1:])

"""The referee: runs one competitor within its budget and observes the model at fixed gradient counts."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from flatmin._core.threads import one_thread
from flatmin.errors import InputError
from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.end_slices import end_slices
from flatmin.lab.race.gradient_counter import GradientCounter
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.result import CURVES
from flatmin.lab.race.tasks import Observation
from flatmin.lab.runs.executors import reason_of
from flatmin.nn.threads import one_torch_thread

__all__ = ["CompetitorError", "Run", "blame", "judged_run"]


class CompetitorError(RuntimeError):
    """An error in the code of a competitor, as opposed to a run that diverges, which is a result."""


@contextmanager
def blame(competitor: Competitor, during: str = "") -> Iterator[None]:
    """Turn errors inside the block into a `CompetitorError` that names the competitor and ``during``, the place."""
    try:
        yield
    except (InputError, CompetitorError):
        raise
    except Exception as error:
        raise CompetitorError(f"{competitor.name} failed{during}: {reason_of(error)}") from error


@dataclass(frozen=True)
class Run:
    """The outcome of one run: its row of the table, its curves, and the score by which step sizes are chosen.

    A smaller score is better. The score of a diverged run is infinite. ``slices`` are those of `end_slices`; tuning
    runs and diverged runs have none.
    """

    row: Mapping[str, Any]
    trajectory: Mapping[str, list[float]]
    score: float
    slices: Mapping[str, list[float]] = field(default_factory=dict)


def judged_run(competitor: Competitor, entry: Entry, protocol: Protocol, budget: int) -> Run:
    """Run a competitor until its next step would exceed the budget, or until it has diverged.

    An error in the competitor's code raises `CompetitorError`. If its weights are not finite, the error counts as
    divergence instead.
    """
    task = entry.task
    setting = f" with seed {entry.seed} and step size {entry.step_size:.3g}"
    with _reproducibly(entry.seed), blame(competitor, setting):
        cost = _cost_of_a_step(competitor, entry)
        model, step = competitor.start(entry)
        counter, spent, seconds, diverged = GradientCounter(model), 0.0, 0.0, False
        seen: list[tuple[float, Observation]] = []
        for target in protocol.grid(budget):
            start = time.perf_counter()
            while spent + cost <= target:
                before = counter.gradients
                if not _succeeded(model, step, spent / budget):
                    diverged = True
                    break
                last = counter.gradients - before
                cost, spent = max(cost, last), spent + last
            seconds += time.perf_counter() - start
            with counter.paused():
                observation = task.observe(model)
            seen.append((float(target), observation))
            if diverged or not observation.loss <= protocol.blow_up * max(seen[0][1].loss, task.zero_loss):
                diverged = True
                break
        counter.close()
        rank, balance, score, slices = None, None, math.inf, {}
        if not diverged:
            rank, balance = task.rank_and_balance(model)
            score = task.tuning_score(model)
            slices = {} if entry.seed == protocol.tuning_seed else end_slices(model, task.loss_of, task.reach)
    row = {
        "competitor": competitor.name,
        "seed": entry.seed,
        "diverged": diverged,
        **{name: _without_nan(getattr(seen[-1][1], name)) for name in CURVES[1:]},
        "rank": rank,
        "balance": _without_nan(balance),
        "gradients": spent,
        "seconds": seconds,
        "step_size": entry.step_size,
        "strength": entry.strength,
    }
    return Run(row, _curves(seen), score if math.isfinite(score) else math.inf, slices)


def _cost_of_a_step(competitor: Competitor, entry: Entry) -> float:
    """Return the gradients that one step costs, measured on another model, so that no run exceeds its budget."""
    model, step = competitor.start(entry)
    counter = GradientCounter(model)
    _succeeded(model, step, 0.0)
    if counter.gradients <= 0:
        raise CompetitorError(f"a step of {competitor.name} computed nothing, so its budget would never end")
    return counter.gradients


def _succeeded(model: nn.Module, step: Callable[[float], None], spent: float) -> bool:
    """Make a step; return False if the step failed because weights have become infinite or NaN."""
    try:
        step(spent)
    except Exception:
        if all(bool(torch.isfinite(p).all()) for p in model.parameters()):
            raise
        return False
    return True


def _curves(seen: list[tuple[float, Observation]]) -> dict[str, list[float]]:
    """Return the gradient counts, and a list for each quantity that the task knows."""
    curves: dict[str, list[float]] = {"gradients": [count for count, _ in seen]}
    for name in CURVES[1:]:
        values = [_without_nan(getattr(observation, name)) for _, observation in seen]
        if None not in values:
            curves[name] = [value for value in values if value is not None]
    return curves


def _without_nan(value: float | None) -> float | None:
    """Return infinity in place of NaN."""
    return math.inf if value is not None and math.isnan(value) else value


@contextmanager
def _reproducibly(seed: int) -> Iterator[None]:
    """Use one thread and seed torch's global generator inside the block; restore threads and generator afterwards."""
    with one_torch_thread(), one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield

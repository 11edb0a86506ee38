"""One run of one competitor, from its start to its last gradient."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from flatmin._core.threads import one_thread
from flatmin.errors import InputError
from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.result import CURVES
from flatmin.lab.race.tally import Tally
from flatmin.lab.race.task import Sight
from flatmin.nn.threads import one_torch_thread

__all__ = ["CompetitorError", "Run", "blamed", "run"]


class CompetitorError(RuntimeError):
    """Raised where a competitor fails by an error of its own, which is no result of a race; its cause is attached."""


@contextmanager
def blamed(competitor: Competitor) -> Iterator[None]:
    """Say who failed, where a competitor answers a question by an error of its own."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise CompetitorError(f"{competitor.name} failed: {error!r}") from error


@dataclass(frozen=True)
class Run:
    """What a run left behind.

    Attributes
    ----------
    row : dict
        The fields of the table.
    trajectory : dict of str to list of float
        The curves of the run.
    score : float
        What step sizes are chosen by, the smaller the better; infinite for a diverged run.
    samples : int
        How many samples went through backward passes.
    """

    row: Mapping[str, Any]
    trajectory: Mapping[str, list[float]]
    score: float
    samples: int


def run(competitor: Competitor, entry: Entry, protocol: Protocol, budget: int) -> Run:
    """Run a competitor until the next step would exceed the budget, or it has diverged.

    Raises
    ------
    CompetitorError
        If the competitor raises an error while its weights are finite. An error over weights that are not is a
        divergence.
    """
    task = entry.task
    with _quiet(entry.seed):
        price = _price(competitor, entry)
        model, step = competitor.start(entry)
        tally, spent, seconds, diverged = Tally(model), 0.0, 0.0, False
        sights: list[tuple[float, Sight]] = []
        for target in protocol.grid(budget):
            start = time.perf_counter()
            while spent + price <= target:
                before = tally.gradients
                if not _stepped(competitor, entry, model, step, spent / budget):
                    diverged = True
                    break
                cost = tally.gradients - before
                price, spent = max(price, cost), spent + cost
            seconds += time.perf_counter() - start
            with tally.paused():
                sight = task.look(model)
            sights.append((float(target), sight))
            if diverged or not sight.loss <= protocol.blow_up * max(sights[0][1].loss, task.height):
                diverged = True
                break
        tally.close()
        rank, balance, score = None, None, math.inf
        if not diverged:
            rank, balance = task.shape_of(model)
            score = task.tuning_score(model)
    row = {
        "competitor": competitor.name,
        "seed": entry.seed,
        "diverged": diverged,
        **{name: _bounded(getattr(sights[-1][1], name)) for name in CURVES[1:]},
        "rank": rank,
        "balance": _bounded(balance),
        "gradients": spent,
        "seconds": seconds,
        "step_size": entry.step_size,
        "strength": entry.strength,
    }
    return Run(row, _curves(sights), score if math.isfinite(score) else math.inf, tally.samples)


def _price(competitor: Competitor, entry: Entry) -> float:
    """Return what a first step costs, made once on a model that is thrown away, so that no budget is exceeded."""
    model, step = competitor.start(entry)
    tally = Tally(model)
    _stepped(competitor, entry, model, step, 0.0)
    price = tally.gradients
    if price <= 0:
        raise CompetitorError(f"a step of {competitor.name} computed nothing, so its budget would never end")
    return price


def _stepped(competitor: Competitor, entry: Entry, model: nn.Module, step: Any, spent: float) -> bool:
    """Make a step; return False if it failed because the weights had left the range of numbers."""
    try:
        step(spent)
    except Exception as error:
        if all(bool(torch.isfinite(p).all()) for p in model.parameters()):
            message = f"{competitor.name} failed with seed {entry.seed} and step size {entry.step_size:.3g}: {error}"
            raise CompetitorError(message) from error
        return False
    return True


def _curves(sights: list[tuple[float, Sight]]) -> dict[str, list[float]]:
    """Return one list a quantity, of those that have a meaning."""
    curves: dict[str, list[float]] = {"gradients": [count for count, _ in sights]}
    for name in CURVES[1:]:
        values = [_bounded(getattr(sight, name)) for _, sight in sights]
        if None not in values:
            curves[name] = [value for value in values if value is not None]
    return curves


def _bounded(value: float | None) -> float | None:
    """Return a number as it is, and what is no number as infinite."""
    return math.inf if value is not None and math.isnan(value) else value


@contextmanager
def _quiet(seed: int) -> Iterator[None]:
    """Run on one thread, with a global generator that is seeded for code that uses it, and restored behind."""
    with one_torch_thread(), one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield

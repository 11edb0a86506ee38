"""Small tasks and competitors that tests race."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar

import torch
from torch import nn

import flatmin as fm
from flatmin.lab.race import FactoredTask, NetworkTask, race
from flatmin.lab.race.competitor import Competitor

torch.set_num_threads(1)


@cache
def instance(seed=0):
    return fm.families.matrix_sensing.sample((5, 4), 1, 18, seed=seed)


@cache
def task(seed=0):
    return FactoredTask(instance(seed).problem, instance(seed).truth)


def mlp():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def samples(n, seed, *, classes=True):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator)
    scores = x @ torch.linspace(-1, 1, 12).reshape(4, 3)
    return x, scores.argmax(1) if classes else scores


def network(*, classes=True, make=mlp):
    loss = nn.CrossEntropyLoss() if classes else nn.MSELoss()
    parts = [samples(n, seed, classes=classes) for n, seed in ((24, 0), (20, 1), (30, 2))]
    return NetworkTask(make, loss, *parts)


def batch_norm():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))


def dropout():
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))


@dataclass(frozen=True, kw_only=True)
class Plain(Competitor):
    """Gradient descent that notes its steps; settings differ from test to test."""

    name: str = "plain"
    title: str = "Plain"
    claims: str = "nothing"
    source: str = "nobody"

    starts: ClassVar[list] = []
    count: ClassVar[int] = 0

    def start(self, entry):
        model, step = super().start(entry)
        Plain.starts, Plain.count = [*Plain.starts, entry], 0

        def counted(spent):
            Plain.count += 1
            step(spent)

        return model, counted


@dataclass(frozen=True, kw_only=True)
class Greedy(Plain):
    """Takes more gradients than it needs, in a way that its caller does not see."""

    name: str = "greedy"
    way: Callable

    def objective(self, model, loss, entry):
        return partial(self.way, model, loss)


def finished(file):
    """When each run of a store was finished, by what identifies it; a store in use may be read."""
    if not file.exists():
        return {}
    with closing(sqlite3.connect(file)) as database, suppress(sqlite3.OperationalError):
        query = "SELECT version, parameters, finished FROM trials WHERE status = 'done'"
        return {(version, parameters): when for version, parameters, when in database.execute(query)}
    return {}


def without_seconds(result):
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in [*result.table, *result.tuning]]
    return rows, {key: {name: c.tolist() for name, c in curves.items()} for key, curves in result.trajectories.items()}


SOME = ["gradient-descent-small", "sam", "label-noise"]


def small(what=None, who=SOME, **settings):
    settings = {"budget": 60, "seeds": 2, "trials": 2} | settings
    return race(task() if what is None else what, who, **settings)


def greedy_grad(model, loss, x, y, spent):
    for _ in range(3):
        torch.autograd.grad(loss(model(x), y), list(model.parameters()))
    return loss(model(x), y)


def modest(model, loss, x, y, spent):
    return loss(model(x), y)


METHOD = '''
from flatmin.lab.race.competitor import Competitor

__all__ = ["COMPETITORS", "HalfStep"]


class HalfStep(Competitor):
    """Gradient descent with half of a step."""

    def objective(self, model, loss, entry):
        return lambda x, y, spent: loss(model(x), y) / 2


COMPETITORS = [HalfStep(name="half-step", title="Half a step", claims="nothing", source="a test")]
'''

"""Steps and runs of single competitors."""

import itertools

import torch

from flatmin.lab.race import Protocol, competitors
from flatmin.lab.race.competitor import Entry
from flatmin.lab.race.referee import judged_run

KNOWN = {name: competitors.find(name) for name in competitors.names()}


def raced(name, what, budget, step=1.0, strength=None, seed=0):
    who = KNOWN[name]
    entry = Entry(what, seed, step * who.unit(what), who.strength if strength is None else strength)
    return judged_run(who, entry, Protocol(budget, (0,), points=12), budget)


def stepped(who, what, steps=3):
    """Return the weights after steps of a competitor."""
    model, step = who.start(Entry(what, 5, 0.1 * who.unit(what), who.strength))
    for _ in range(steps):
        step(0.0)
    return [p.detach() for p in model.parameters()]


def wrapped(make, who, what, steps=3):
    """Return the weights after the same steps of a wrapper in a training loop."""
    model, loss = what.model(5, who.size), what.loss
    optimizer = make(torch.optim.SGD(model.parameters(), lr=0.1 * who.unit(what)), model, loss)
    for x, y in itertools.islice(what.batches(who.batch, 5), steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    return [p.detach() for p in model.parameters()]

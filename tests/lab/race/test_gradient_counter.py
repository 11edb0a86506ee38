"""What passes through a model cost, however they are made."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from flatmin.lab.race.gradient_counter import GradientCounter
from flatmin.nn import HessianTracePenalty
from tests.lab.race.small_tasks import mlp, samples, task

X, Y = samples(8, 0)
LOSS = nn.CrossEntropyLoss()


def plain(model):
    LOSS(model(X), Y).backward()


def evaluated(model):
    with torch.no_grad():
        model(X)


def hidden(model):
    torch.autograd.grad(LOSS(model(X), Y), list(model.parameters()))


def twice_through_one_graph(model):
    value = LOSS(model(X), Y)
    value.backward(retain_graph=True)
    value.backward()


def two_terms(model):
    (LOSS(model(X), Y) + LOSS(model(-X), Y)).backward()


def functional(model):
    weights = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    LOSS(functional_call(model, weights, (X,)), Y).backward()


def copied(model):
    plain(copy.deepcopy(model))


def penalised(model):
    """The first call of a penalty evaluates the model once more."""
    HessianTracePenalty(model, LOSS, probe="vjp", seed=0).objective(X, Y).backward()


@pytest.mark.parametrize(
    ("way", "cost"),
    [
        (plain, 1),
        (evaluated, 0.5),
        (hidden, 1),
        (twice_through_one_graph, 2),
        (two_terms, 2),
        (functional, 1),
        (copied, 1),
        (penalised, 3.5),
    ],
)
def test_costs(way, cost):
    model = mlp()
    counter = GradientCounter(model)
    way(model)
    assert counter.gradients == cost
    way(model)
    assert counter.gradients == 2 * cost


@pytest.mark.parametrize("inside", ["vmap", "grad", "both"])
def test_passes_inside_function_transforms_cost_at_least_one(inside):
    model = mlp()
    counter, weights = GradientCounter(model), {name: p.detach() for name, p in model.named_parameters()}

    def value(w, x, y):
        return LOSS(functional_call(model, w, (x[None],)), y[None])

    if inside == "vmap":
        vmap(lambda x: model(x[None])[0])(X)
    elif inside == "grad":
        grad(value)(weights, X[0], Y[0])
    else:
        vmap(grad(value), (None, 0, 0))(weights, X, Y)
    assert counter.gradients >= 1


def test_nothing_is_counted_while_the_referee_looks_or_after_the_end():
    model = mlp()
    counter = GradientCounter(model)
    with counter.paused():
        plain(model)
    counter.close()
    plain(model)
    assert counter.gradients == 0


def test_factored_models_are_counted_with_and_without_an_index():
    model = task().model(0)
    counter = GradientCounter(model)
    model().sum().backward()
    model(torch.arange(3)).sum().backward()
    assert counter.gradients == 2

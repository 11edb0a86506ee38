"""Each training algorithm is what it says."""

import itertools

import numpy as np
import pytest
import torch

from flatmin import nn as flat
from flatmin.errors import InputError
from flatmin.lab.race import Protocol, competitors, race
from flatmin.lab.race.competitor import Entry
from flatmin.lab.race.referee import judged_run
from tests.lab.race.small_tasks import batch_norm, dropout, instance, network, task

KNOWN = {name: competitors.find(name) for name in competitors.names()}
everyone = pytest.mark.parametrize("name", KNOWN)


def raced(name, what, budget, step=1.0, strength=None, seed=0):
    who = KNOWN[name]
    entry = Entry(what, seed, step * who.unit(what), who.strength if strength is None else strength)
    return judged_run(who, entry, Protocol(budget, (0,), points=12), budget)


def test_all_that_are_asked_for_are_there():
    asked = (
        "gradient-descent-small gradient-descent-medium gradient-descent-large large-step sgd minibatch label-noise sam"
    )
    asked += " sam-batch-one per-example-sam two-point noise-injection weight-decay adam orthogonalized scaled-gradient"
    assert {*asked.split(), "trace-penalty", "trace-penalty-decaying"} == set(KNOWN)
    for who in KNOWN.values():
        assert all(vars(who.description).values())


@everyone
def test_learns_on_factors(name):
    found = raced(name, task(), 250, step=0.5)
    assert found.trajectory["loss"][-1] < 0.5 * found.trajectory["loss"][0]


@pytest.mark.sampled(14)
@everyone
@pytest.mark.parametrize("make", [None, batch_norm], ids=["tanh", "batch norm"])
def test_learns_on_networks_or_says_why_not(name, make):
    what = network() if make is None else network(make=make)
    if KNOWN[name].objection(what) is not None:
        assert name == "scaled-gradient" or (make is batch_norm and name in ("per-example-sam", "sgd", "sam-batch-one"))
        return
    found = raced(name, what, 60, step=0.5, strength=0.01 if KNOWN[name].strength else None)
    assert found.trajectory["loss"][-1] < found.trajectory["loss"][0]


def convolutions():
    """Batch normalization that has several numbers a channel even of one sample."""
    layers = [torch.nn.Unflatten(1, (1, 4)), torch.nn.Conv1d(1, 4, 3), torch.nn.BatchNorm1d(4), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(8, 3))


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("make", "objecting"),
    [
        (batch_norm, {"per-example-sam", "sam-batch-one", "sgd"}),
        (dropout, {"per-example-sam"}),
        (convolutions, {"per-example-sam"}),
    ],
)
def test_who_needs_single_samples_is_left_out_where_the_network_mixes_them(make, objecting):
    what = network(make=make)
    before = torch.get_rng_state()
    result = race(what, budget=12, seeds=1, trials=1)
    assert set(result.left_out) == objecting | {"scaled-gradient"}
    assert torch.equal(torch.get_rng_state(), before)


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


@pytest.mark.parametrize("what", [task, network], ids=["factors", "network"])
@pytest.mark.parametrize("name", ["noise-injection", "two-point", "per-example-sam"])
def test_steps_are_those_of_the_wrapper(what, name):
    """These three have an objective of their own, which saves a gradient that the wrapper's loop throws away."""
    who, what = KNOWN[name], what()
    make = {
        "noise-injection": lambda *a: flat.NoiseInjection(*a, sigma=who.strength * what.weight_scale, seed=5),
        "two-point": lambda *a: flat.TwoPoint(*a, sigma=who.strength * what.weight_scale, seed=5),
        "per-example-sam": lambda *a: flat.PerExampleSAM(*a, rho=who.strength * what.weight_norm),
    }[name]
    precision = torch.finfo(what.model(0).state_dict().popitem()[1].dtype).eps
    start = [p.detach() for p in what.model(5).parameters()]
    for ours, theirs, before in zip(stepped(who, what), wrapped(make, who, what), start, strict=True):
        assert (ours - theirs).norm() <= 1e5 * precision * (theirs - before).norm()
        assert (ours - before).norm() > 0


@pytest.mark.slow
def test_penalties_end_flat_and_plain_training_does_not():
    flat_ones = {name: raced(name, task(), 6000, step=2.0).row for name in ("trace-penalty-decaying", "trace-penalty")}
    plain = raced("gradient-descent-large", task(), 2000, step=0.5).row
    assert flat_ones["trace-penalty-decaying"]["flatness_gap"] < 0.01
    assert flat_ones["trace-penalty"]["flatness_gap"] < 0.3
    assert plain["flatness_gap"] > 1
    # A constant penalty is a compromise: it never fits exactly.
    assert flat_ones["trace-penalty"]["loss"] > 1e-3 * task().zero_loss


@pytest.mark.slow
def test_small_weights_end_flatter_than_medium_ones_and_those_than_large_ones():
    gaps = [
        raced(f"gradient-descent-{size}", task(), 1500).row["flatness_gap"] for size in ("small", "medium", "large")
    ]
    assert gaps[0] < 0.1 < gaps[1] < gaps[2]


def test_scaled_gradient_is_for_products_of_two_factors():
    assert "not a product" in KNOWN["scaled-gradient"].objection(network())
    assert KNOWN["scaled-gradient"].objection(task()) is None


def test_orthogonalized_steps_have_equal_singular_values():
    model = task().model(0)
    optimizer = KNOWN["orthogonalized"].optimizer(model, task().loss, Entry(task(), 0, 0.1, None))
    before = [p.detach().clone() for p in model.parameters()]
    model.loss().backward()
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        assert np.allclose(torch.linalg.svdvals(p.detach() - old), 0.1 * max(p.shape) ** 0.5)


def test_settings_make_a_variant():
    strong = competitors.find("label-noise").variant(name="strong-noise", strength=2.0)
    assert (strong.name, strong.strength, KNOWN["label-noise"].strength) == ("strong-noise", 2.0, 0.7)
    assert strong.facts != KNOWN["label-noise"].facts
    with pytest.raises(InputError, match="no setting"):
        KNOWN["label-noise"].variant(power=2)


def test_batches_are_for_losses_that_are_means():
    import flatmin as fm
    from flatmin.lab.race import FactoredTask

    made = fm.families.robust_pca.sample((6, 5), 1)
    assert "no batches" in KNOWN["sgd"].objection(FactoredTask(made.problem, made.truth))
    assert instance() is not None


@pytest.mark.parametrize("batch", [0, -1, 2.5, True])
def test_a_batch_is_a_positive_number(batch):
    with pytest.raises(InputError, match="batch is"):
        KNOWN["label-noise"].variant(batch=batch)

"""Each training algorithm is what it says."""

import pytest
import torch

from flatmin.lab.race import race
from tests.lab.race.competitors.steps import KNOWN, raced
from tests.lab.race.small_tasks import batch_norm, dropout, network, task

everyone = pytest.mark.parametrize("name", KNOWN)


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

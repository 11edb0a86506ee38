"""The competitors whose objective saves a gradient make the steps of the wrappers of `flatmin.nn`."""

import pytest
import torch

from flatmin import nn as flat
from tests.lab.race.competitors.steps import KNOWN, stepped, wrapped
from tests.lab.race.small_tasks import network, task


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

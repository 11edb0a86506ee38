"""Seekers with random numbers: the same numbers on every device and in every precision, and their saved state."""

import pytest
import torch

import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import mlp


def seeker(seed=0):
    model = mlp()
    return fnn.NoiseInjection(torch.optim.SGD(model.parameters(), lr=0.1), model, torch.nn.MSELoss(), seed=seed)


def test_numbers_depend_on_the_seed_alone():
    seekers = seeker(3), seeker(3), seeker(4)
    state = torch.get_rng_state()
    kinds = torch.float32, torch.bfloat16, torch.float32
    single, half, other = (s.normal(torch.zeros(4, 5, dtype=kind)) for s, kind in zip(seekers, kinds, strict=True))
    assert torch.equal(single.bfloat16(), half)
    assert not torch.equal(single, other)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not used"


def test_the_state_of_the_generator_is_saved_and_that_of_a_plain_optimizer_accepted():
    first, second = seeker(1), seeker(2)
    first.normal(torch.zeros(7))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.normal(torch.zeros(3)), second.normal(torch.zeros(3)))
    third = seeker(5)
    third.load_state_dict(first.base.state_dict())
    assert torch.equal(third.normal(torch.zeros(3)), seeker(5).normal(torch.zeros(3)))


@pytest.mark.parametrize("seed", [-1, 1.5, None, True])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError, match=r"seed is .*expected a whole number of at least 0"):
        seeker(seed)

"""A model as a function of its weights: chosen parameters, evaluation without changes, modes, and random numbers."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from flatmin.errors import InputError
from flatmin.nn.operators.state import ModelWeights, fixed_randomness, in_mode, unwrapped
from tests.nn.networks import batch_norm, inputs, mlp


def test_parameters_are_chosen_by_name_or_as_tensors_and_tied_ones_count_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    assert ModelWeights(model).names == ["0.weight", "0.bias", "1.bias"]
    chosen = ModelWeights(model, ["1.bias", model[0].weight, "1.weight"])
    assert (chosen.names, chosen.numbers, chosen.size) == (["1.bias", "0.weight"], [2, 4], 6)
    for wrong in ("2.bias", nn.Parameter(torch.ones(2)), 3):
        with pytest.raises(InputError, match="expected parameters of the model or their names"):
            ModelWeights(model, [wrong])


def test_functions_see_copies_and_their_gradients_are_those_of_the_leaves():
    model = batch_norm()
    before = {name: t.clone() for name, t in model.state_dict().items()}

    model.train()
    weights = ModelWeights(model)
    found = weights.evaluate(lambda model, leaves: torch.autograd.grad(model(inputs()).square().sum(), leaves))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items()), "running statistics too"
    wanted = torch.autograd.grad(model(inputs()).square().sum(), list(model.parameters()))
    assert all(torch.allclose(a, b) for a, b in zip(found, wanted, strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_vectors_have_the_shapes_of_the_parameters():
    weights = ModelWeights(mlp())
    parts = weights.vectors(torch.arange(2 * weights.size).reshape(2, -1))
    assert [tuple(part.shape) for part in parts] == [(2, 5, 4), (2, 5), (2, 3, 5), (2, 3)]
    assert torch.cat([part.reshape(2, -1) for part in parts], 1).flatten().equal(torch.arange(2 * weights.size))


MODES = {"train": [True] * 3, "eval": [False] * 3, "as_is": [True, False, True]}


@pytest.mark.parametrize("mode", MODES)
def test_modes_are_set_and_restored(mode):
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    model[0].eval()
    for error in (None, ValueError):
        try:
            with in_mode(model, mode):
                assert [m.training for m in model.modules()] == MODES[mode]
                if error:
                    raise error
        except ValueError:
            pass
        assert [m.training for m in model.modules()] == [True, False, True]


def test_random_numbers_are_repeated_and_the_state_is_restored():
    state = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with fixed_randomness(5, torch.device("cpu")):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), state)


def test_wrappers_are_taken_off():
    plain = mlp()
    for wrapped in (plain, nn.DataParallel(plain), torch.compile(plain), nn.DataParallel(torch.compile(plain))):
        assert unwrapped(wrapped) is plain
    assert issubclass(DistributedDataParallel, nn.Module)

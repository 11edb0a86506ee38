"""The tape of forward passes: which passes it records, and what a replay restores and repeats."""

import gc
import weakref

import pytest
import torch
from torch import nn

from flatmin.errors import InputError
from flatmin.nn.optimizers._tape import Call, Tape, random_states, set_random_states
from tests.nn.optimizers.training import bits, close, data, gradient, mlp, same


class Owner:
    """Holds the hooks: they are removed when it is deleted."""


def watched(**options):
    model, loss, owner = mlp(**options), nn.MSELoss(), Owner()
    return model, loss, Tape(owner, model, loss), owner


def test_a_pass_is_recorded_when_its_gradient_reaches_the_weights():
    model, loss, tape, _owner = watched()
    (x, y), (x2, y2) = data(2)
    value = loss(model(x), y)
    torch.autograd.grad(loss(model(x2), y2), list(model.parameters()))
    with torch.no_grad():
        loss(model(x2), y2)
    assert not tape.terms
    (3 * value + loss(model(x2), y2)).backward()
    assert sorted(term.upstream.item() for term in tape.terms) == [1, 3]
    assert tape.value().item() == pytest.approx(3 * value.item() + loss(model(x2), y2).item())
    tape.clear()
    with pytest.raises(InputError, match="no pass was recorded"):
        tape.value()


def test_replays_follow_the_weights_and_leave_gradients_alone():
    model, loss, tape, _owner = watched()
    ((x, y),) = data(1)
    loss(model(x), y).backward()
    before = [p.grad.clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.5)
    found, value = tape.gradient(list(model.parameters()), factor=2.0)
    assert close(found, [2 * g for g in gradient(model, loss, x, y)])
    assert value.item() == pytest.approx(loss(model(x), y).item())
    assert same([p.grad for p in model.parameters()], before)


def test_masks_statistics_modes_and_random_states_are_those_of_the_recorded_pass():
    model, loss, tape, _owner = watched(dropout=0.5, norm=True)
    ((x, y),) = data(1)
    value = loss(model(x), y)
    value.backward()
    model.eval()
    before, state = bits(model), torch.get_rng_state()
    assert tape.value().item() == value.item()
    assert same(bits(model), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(m.training for m in model.modules())


def test_an_input_that_was_overwritten_is_refused():
    model, loss, tape, _owner = watched()
    ((x, y),) = data(1)
    loss(model(x), y).backward()
    x.zero_()
    with pytest.raises(InputError, match="an input of Sequential was overwritten"):
        tape.value()


def test_a_gradient_that_was_changed_is_refused():
    model, loss, tape, _owner = watched()
    ((x, y),) = data(1)
    loss(model(x), y).backward()
    tape.check_gradients(list(model.parameters()))
    model[0].weight.grad.mul_(0.5)
    with pytest.raises(InputError, match=r"\.grad was changed"):
        tape.check_gradients(list(model.parameters()))


def test_zeroed_gradients_begin_a_new_record():
    model, loss, tape, _owner = watched()
    for x, y in data(2):
        model.zero_grad()
        loss(model(x), y).backward()
        assert len(tape.terms) == 1


def test_a_record_of_a_pass_that_is_not_differentiated_is_deleted_with_its_loss():
    model, loss, tape, _owner = watched()
    ((x, y),) = data(1)
    value = loss(model(x), y)
    calls = [weakref.ref(call) for call in gc.get_objects() if type(call) is Call and call.module in (model, loss)]
    assert len(calls) == 2
    del value
    gc.collect()
    assert not any(call() for call in calls)
    assert not tape.terms
    assert not tape._started


def test_random_states_are_set_again():
    states = random_states([torch.device("cpu")])
    first = torch.rand(3)
    set_random_states(states)
    assert torch.equal(torch.rand(3), first)

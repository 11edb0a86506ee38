"""Weight decay against that of torch: coupled in SGD, decoupled in AdamW."""

import pytest
import torch
from torch import nn

import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import bits, close, data, mlp, train


def trained(kind, decay, wrapped=0.0, schedule=False, **options):
    model, loss = mlp(), nn.MSELoss()
    optimizer = kind(model.parameters(), lr=0.02, weight_decay=decay, **options)
    if wrapped:
        optimizer = fnn.WeightDecay(optimizer, model, loss, decay=wrapped)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8) if schedule else None
    return train(model, loss, optimizer, data(8), scheduler)


@pytest.mark.parametrize("schedule", [False, True])
def test_of_gradient_descent_both_forms_are_the_same(schedule):
    ours = trained(torch.optim.SGD, 0.0, 0.3, schedule)
    assert close(ours, trained(torch.optim.SGD, 0.3, schedule=schedule))
    assert not close(ours, trained(torch.optim.SGD, 0.0, schedule=schedule), rtol=1e-3)


@pytest.mark.parametrize("schedule", [False, True])
def test_of_adam_it_is_the_decoupled_form(schedule):
    ours = trained(torch.optim.Adam, 0.0, 0.3, schedule)
    assert close(ours, trained(torch.optim.AdamW, 0.3, schedule=schedule))
    assert not close(ours, trained(torch.optim.Adam, 0.3, schedule=schedule), rtol=1e-3)


def test_with_momentum_the_two_forms_differ():
    ours = trained(torch.optim.SGD, 0.0, 0.3, momentum=0.9)
    assert not close(ours, trained(torch.optim.SGD, 0.3, momentum=0.9), rtol=1e-3)


def test_vectors_and_what_has_no_gradient_may_stay():
    model, loss = mlp(), nn.MSELoss()
    optimizer = fnn.WeightDecay(torch.optim.SGD(model.parameters(), lr=0.5), model, loss, decay=0.2, vectors=False)
    x, _ = data(1)[0]
    before = bits(model)
    after = train(model, loss, optimizer, [(x, model(x).detach())])
    assert [torch.equal(a, b) for a, b in zip(after, before, strict=True)] == [False, True, False, True]
    assert torch.allclose(after[0], 0.9 * before[0])
    optimizer.zero_grad()
    optimizer.step()
    assert close(bits(model), after, rtol=0, atol=0)


def test_a_negative_decay_is_refused():
    model = mlp()
    with pytest.raises(InputError, match=r"decay is -0\.1"):
        fnn.WeightDecay(torch.optim.SGD(model.parameters(), lr=0.1), model, nn.MSELoss(), decay=-0.1)

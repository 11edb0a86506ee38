"""SAM: the gradient at the worst weights nearby; where pytorch_optimizer's agrees, and where it goes wrong."""

import pytest
import torch
from pytorch_optimizer import SAM as Theirs
from pytorch_optimizer.base.exception import NoClosureError
from torch import nn

import flatmin.nn as fnn
from tests.nn.optimizers.training import BASES, bits, close, data, gradient, mlp, norm, train


def trained_by_theirs(model, loss, optimizer, batches):
    for x, y in batches:

        def closure(x=x, y=y):
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            return value

        closure()
        optimizer.step(closure)
    return bits(model)


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_the_gradient_is_that_at_the_worst_weights_nearby(rho):
    model, loss = mlp(), nn.MSELoss()
    optimizer = fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, rho=rho)
    for x, y in data(3):
        plain = gradient(model, loss, x, y)
        expected = gradient(model, loss, x, y, [rho * g / norm(plain) for g in plain])
        train(model, loss, optimizer, [(x, y)])
        assert close([p.grad for p in model.parameters()], expected)
        assert close(plain, expected) is (rho == 0)


def test_of_a_parabola_it_is_known():
    model, loss = nn.Linear(1, 1, bias=False).double(), nn.MSELoss()
    model.weight.data.fill_(3.0)
    optimizer = fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, rho=0.5)
    train(model, loss, optimizer, [(torch.ones(1, 1).double(), torch.zeros(1, 1).double())])
    assert model.weight.item() == pytest.approx(3.0 - 0.1 * 2 * 3.5, rel=1e-14)


def test_where_the_gradient_vanishes_it_does_not_move():
    model, loss = mlp(), nn.MSELoss()
    optimizer = fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, rho=0.5)
    x, _ = data(1)[0]
    before = bits(model)
    assert close(before, train(model, loss, optimizer, [(x, model(x).detach())]), rtol=0, atol=0)


def test_the_radius_may_change_as_it_trains():
    found = []
    for rho in (0.1, 0.4):
        model, loss = mlp(), nn.MSELoss()
        optimizer = fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, rho=0.1)
        optimizer.rho = rho
        train(model, loss, optimizer, data(1))
        fresh = mlp()
        other = fnn.SAM(torch.optim.SGD(fresh.parameters(), lr=0.1), fresh, loss, rho=rho)
        assert close(bits(model), train(fresh, loss, other, data(1)), rtol=0, atol=0)
        found.append(bits(model))
    assert not close(*found, rtol=1e-6)


@pytest.mark.parametrize("base", BASES)
def test_steps_are_those_of_pytorch_optimizer(base):
    batches = data(10)
    model, loss = mlp(), nn.MSELoss()
    ours = train(model, loss, fnn.SAM(BASES[base](model.parameters()), model, loss, rho=0.1), batches)
    other = mlp()
    plain = BASES[base](other.parameters())
    options = {name: plain.defaults[name] for name in ("lr", "momentum", "weight_decay") if name in plain.defaults}
    theirs = Theirs(other.parameters(), type(plain), rho=0.1, **options)
    # their norm of the gradient is in single precision, whatever the model's is
    assert close(ours, trained_by_theirs(other, loss, theirs, batches), rtol=1e-6, atol=1e-8)
    without = mlp()
    assert not close(ours, train(without, loss, BASES[base](without.parameters()), batches), rtol=1e-3)


def test_theirs_updates_running_statistics_twice_and_from_weights_that_are_not_the_models():
    batches = data(1)
    loss = nn.MSELoss()
    models = {kind: mlp(norm=True) for kind in ("plain", "ours", "theirs")}
    models["plain"](batches[0][0])
    ours = fnn.SAM(torch.optim.SGD(models["ours"].parameters(), lr=0.1), models["ours"], loss, rho=0.5)
    train(models["ours"], loss, ours, batches)
    theirs = Theirs(models["theirs"].parameters(), torch.optim.SGD, rho=0.5, lr=0.1)
    trained_by_theirs(models["theirs"], loss, theirs, batches)
    counts = {kind: int(model[1].num_batches_tracked) for kind, model in models.items()}
    assert counts == {"plain": 1, "ours": 1, "theirs": 2}
    means = {kind: model[1].running_mean for kind, model in models.items()}
    assert torch.equal(means["ours"], means["plain"])
    assert not torch.allclose(means["theirs"], means["plain"], rtol=1e-2)


def test_theirs_draws_another_dropout_mask_for_its_second_pass():
    class Noting(nn.Dropout):
        def forward(self, x):
            out = super().forward(x)
            masks.append(out.detach() == 0)
            return out

    loss, batches = nn.MSELoss(), data(1)
    for kind in ("ours", "theirs"):
        masks = []
        model = mlp()
        model[3] = Noting(0.5)
        if kind == "ours":
            optimizer = fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss)
            train(model, loss, optimizer, batches)
            assert all(torch.equal(mask, masks[0]) for mask in masks)
        else:
            trained_by_theirs(model, loss, Theirs(model.parameters(), torch.optim.SGD, lr=0.1), batches)
            assert not torch.equal(*masks)


def test_theirs_asks_for_a_closure_and_so_has_no_scaler():
    (x, y), *_ = data(1)
    model, loss = mlp(), nn.MSELoss()
    theirs = Theirs(model.parameters(), torch.optim.SGD, lr=0.1)
    loss(model(x), y).backward()
    with pytest.raises(NoClosureError):
        theirs.step()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(loss(model(x), y)).backward()
    with pytest.raises(RuntimeError, match="Closure use is not"):
        scaler.step(theirs, closure=lambda: None)

"""The training loop: what may stand in it, what each step costs, and what is noticed."""

import copy

import pytest
import torch
from torch import nn

import flatmin as fm
import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import (
    BASES,
    WRAPPERS,
    bases,
    bits,
    close,
    data,
    mlp,
    replaying,
    same,
    set_up,
    train,
    wrappers,
)


@wrappers
@bases
def test_it_trains_and_shares_what_schedulers_and_checkpoints_look_at(wrapper, base):
    model, loss, optimizer = set_up(wrapper, base)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups is optimizer.base.param_groups
    assert optimizer.state is optimizer.base.state
    assert optimizer.defaults is optimizer.base.defaults
    before = bits(model)
    after = train(model, loss, optimizer, data())
    assert all(torch.isfinite(t).all() for t in after)
    assert not same(before, after)
    assert same(after, train(*set_up(wrapper, base), data())), "the same seed, the same run"


@replaying
@bases
def test_micro_batches_make_the_step_of_one_big_batch(wrapper, base):
    # a difference of values rounds, and so does the square root of a tiny second moment
    rtol = 1e-6 if wrapper == "TwoPoint" or base != "SGD" else 1e-10
    (x, y), *_ = data(1, 12)
    results = []
    for parts in (1, 3):
        model, loss, optimizer = set_up(wrapper, base)
        for _ in range(2):
            optimizer.zero_grad()
            for xs, ys in zip(x.chunk(parts), y.chunk(parts), strict=True):
                (loss(model(xs), ys) / parts).backward()
            optimizer.step()
        results.append(bits(model))
    assert close(*results, rtol=rtol, atol=1e-9)


@wrappers
def test_zeroing_between_forward_and_backward_is_an_ordinary_loop(wrapper):
    (x, y), *_ = data(1)
    model, loss, optimizer = set_up(wrapper)
    for _ in range(2):
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert same(bits(model), train(*set_up(wrapper), [(x, y)] * 2))


@replaying
def test_passes_that_are_only_looked_at_change_nothing(wrapper):
    batches = data(3)
    model, loss, optimizer = set_up(wrapper, dropout=0.0)
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        loss(model(2 * x), y)  # recorded nowhere: its gradient never arrives
        model.eval()
        with torch.no_grad():
            loss(model(3 * x), y)
        model.train()
        optimizer.step()
    assert same(bits(model), train(*set_up(wrapper), batches))


@wrappers
def test_a_plain_function_is_called_through_the_optimizer(wrapper):
    model = mlp()
    optimizer = WRAPPERS[wrapper](BASES["SGD"](model.parameters()), model, nn.functional.mse_loss)
    assert same(train(model, optimizer.loss, optimizer, data()), train(*set_up(wrapper), data()))
    if wrapper != "WeightDecay":
        with pytest.raises(InputError, match=r"optimizer\.loss"):
            train(model, nn.functional.mse_loss, optimizer, data(1))


@wrappers
def test_a_closure_is_the_body_of_the_loop(wrapper):
    model, loss, optimizer = set_up(wrapper)
    for x, y in data():

        def closure(x=x, y=y):
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            return value

        assert optimizer.step(closure) > 0
    assert same(bits(model), train(*set_up(wrapper), data()))


@replaying
def test_what_does_not_go_through_model_and_loss_is_noticed(wrapper):
    (x, y), *_ = data(1)

    def attempt(backward, **options):
        model, loss, optimizer = set_up(wrapper, **options)
        backward(model, loss)
        optimizer.step()

    def penalised(model, loss):
        (loss(model(x), y) + model[0].weight.square().sum()).backward()

    def clipped(model, loss):
        loss(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)

    with pytest.raises(InputError, match=r"\.grad differs by .*% from"):
        attempt(penalised)
    with pytest.raises(InputError, match=r"\.grad was changed"):
        attempt(clipped)
    for between in (torch.tanh, lambda out: out.mul_(2.0)):
        with pytest.raises(InputError, match="no operation in between"):
            attempt(lambda model, loss, between=between: loss(between(model(x)), y).backward())
    with pytest.raises(InputError, match="no pass was recorded"):
        attempt(lambda model, loss: None)

    def overwritten(model, loss):
        inputs = x.clone()
        loss(model(inputs), y).backward()
        inputs.zero_()

    with pytest.raises(InputError, match="overwritten"):
        attempt(overwritten)


def test_inputs_by_name_several_outputs_and_a_trunk_before():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x, *, shift):
            return {"a": self.a(x), "rest": [self.b(x) + shift]}

    class Sum(nn.Module):
        def forward(self, found, *, target):
            return ((found["a"] - target) ** 2).mean() + (found["rest"][0] ** 2).mean()

    torch.manual_seed(0)
    trunk, model, loss = nn.Linear(3, 3), Two(), Sum()
    optimizer = fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, rho=0.2)
    x, y = torch.randn(5, 3), torch.randn(5, 2)
    inputs = trunk(x)
    loss(model(inputs, shift=1.0), target=y).backward()
    trunk_gradient = trunk.weight.grad.clone()
    gradients = [p.grad for p in model.parameters()]
    size = torch.stack([g.norm() for g in gradients]).norm()
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p, g in zip(other.parameters(), gradients, strict=True):
            p += 0.2 * g / size
    found = torch.autograd.grad(loss(other(inputs.detach(), shift=1.0), target=y), list(other.parameters()))
    optimizer.step()
    assert torch.equal(trunk.weight.grad, trunk_gradient)
    assert close([p.grad for p in model.parameters()], found, rtol=1e-5, atol=1e-7)


def test_parameters_of_others_are_left_alone():
    model, loss = mlp(), nn.MSELoss()
    optimizer = fnn.SAM(torch.optim.SGD(model[4].parameters(), lr=0.1), model, loss, rho=0.1)
    (x, y), *_ = data(1)
    loss(model(x), y).backward()
    others = [p.grad.clone() for p in model[0].parameters()]
    before = bits(model[0])
    optimizer.step()
    assert same(others, [p.grad for p in model[0].parameters()])
    assert same(before, bits(model[0]))


def test_costs_are_what_they_say():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls = mlp(), 0

        def forward(self, x):
            self.calls += 1
            return self.inner(x)

    used = {"SAM": 2, "NoiseInjection": 3, "TwoPoint": 3, "LabelNoise": 1, "WeightDecay": 1}
    for wrapper, passes in used.items():
        model, loss = Counted(), nn.MSELoss()
        optimizer = WRAPPERS[wrapper](BASES["SGD"](model.parameters()), model, loss)
        train(model, loss, optimizer, data(1))  # the first step makes one more, to compare
        model.calls = 0
        train(model, loss, optimizer, data(5))
        assert model.calls == 5 * passes
        assert optimizer.gradient_evaluations == {"SAM": 2, "NoiseInjection": 2}.get(wrapper, 1)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_factored_models(wrapper):
    problem = fm.families.matrix_sensing.sample((5, 4), 1, 30).problem
    model, loss = fnn.FactoredModel(problem, rank=2, scale=0.5), nn.MSELoss()
    optimizer = WRAPPERS[wrapper](torch.optim.SGD(model.parameters(), lr=0.01), model, loss)
    index, target = torch.arange(30), torch.from_numpy(problem.data)
    before = float(loss(model(index), target).detach())
    for _ in range(10):
        train(model, loss, optimizer, [(index, target)])
    model.eval()
    assert loss(model(index), target).detach() < before


LOOP = """
import torch
from torch import nn

torch.manual_seed(0)
model, loss = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)), nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
for x, y in batches:
    optimizer.zero_grad(set_to_none=set_to_none)
    loss(model(x), y).backward()
    optimizer.step()
    schedule.step()
weight = model[0].weight.detach()
"""


@wrappers
@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_loop_changes_by_one_line(wrapper, set_to_none):
    first, rest = LOOP.split("schedule =", 1)
    wrapped = f"{first}optimizer = wrap(optimizer, model, loss)\nschedule ={rest}"
    changed = [line for line in wrapped.splitlines() if line not in LOOP.splitlines()]
    assert len(changed) == 1
    found = []
    for text in (LOOP, wrapped):
        names = {"batches": data(4, dtype=torch.float32), "set_to_none": set_to_none, "wrap": WRAPPERS[wrapper]}
        exec(text, names)
        found.append(names["weight"])
    assert torch.isfinite(found[1]).all()
    assert not torch.allclose(*found)


@replaying
def test_one_sum_of_several_passes_is_one_loss(wrapper):
    (x, y), (u, v) = data(2)
    results = []
    for joint in (True, False):
        model, loss, optimizer = set_up(wrapper)
        for _ in range(2):
            optimizer.zero_grad()
            if joint:
                (0.25 * loss(model(x), y) + 0.75 * loss(model(u), v)).backward()
            else:
                (0.25 * loss(model(x), y)).backward()
                (0.75 * loss(model(u), v)).backward()
            optimizer.step()
        results.append(bits(model))
    assert close(*results, rtol=1e-6 if wrapper == "TwoPoint" else 1e-10)
    assert not close(results[0], train(*set_up(wrapper), [(x, y)] * 2), rtol=1e-3)


@replaying
def test_measuring_in_the_middle_of_a_step_changes_nothing(wrapper):
    batches = data(3)
    model, loss, optimizer = set_up(wrapper)
    for x, y in batches:
        optimizer.zero_grad()
        value = loss(model(x), y)
        torch.autograd.grad(value, list(model.parameters()), retain_graph=True)
        value.backward()
        fnn.hessian_trace(model, loss, (3 * x, y), method="exact")
        torch.autograd.grad(loss(model(2 * x), y), list(model.parameters()))
        weights = {name: p.detach() for name, p in model.named_parameters()}
        torch.func.grad(lambda w, x=x, y=y: loss(torch.func.functional_call(model, w, (2 * x,)), y))(weights)
        optimizer.step()
    assert same(bits(model), train(*set_up(wrapper), batches))


@replaying
def test_a_gradient_changed_later_on_is_noticed_as_in_the_first_step(wrapper):
    model, loss, optimizer = set_up(wrapper)
    train(model, loss, optimizer, data(2))
    (x, y), *_ = data(1)
    for change in (lambda p: p.grad.mul_(0.5), lambda p: setattr(p, "grad", p.grad / 2)):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        change(model[0].weight)
        with pytest.raises(InputError, match=r"\.grad was changed between backward\(\) and step\(\)"):
            optimizer.step()
    train(model, loss, optimizer, [(x, y)])


@replaying
@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_batch_that_is_skipped_leaves_nothing(wrapper, set_to_none):
    batches = data(4)
    model, loss, optimizer = set_up(wrapper)
    for i, (x, y) in enumerate(batches):
        model.zero_grad(set_to_none=set_to_none)  # not the optimizer's
        loss(model(x), y).backward()
        if i != 1:
            optimizer.step()
    assert same(bits(model), train(*set_up(wrapper), [batches[0], *batches[2:]]))


@replaying
def test_a_gradient_multiplied_by_one_is_not_changed(wrapper):
    model, loss, optimizer = set_up(wrapper)
    for x, y in data(2):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
        optimizer.step()
    assert same(bits(model), train(*set_up(wrapper), data(2)))
    loss(model(x), y).backward()
    model[0].weight.grad.neg_()
    with pytest.raises(InputError, match=r"\.grad was changed"):
        optimizer.step()

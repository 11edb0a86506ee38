"""Mixed precision: autocast, the GradScaler, and gradients that are clipped."""

import copy

import pytest
import torch
from torch import nn

import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import WRAPPERS, bases, bits, close, data, mlp, same, set_up, train, wrappers


@pytest.mark.sampled(12)
@wrappers
@bases
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_its_scaler(wrapper, base, dtype):
    def trained(scale, inside):
        model, loss, optimizer = set_up(wrapper, base, dtype=torch.float32)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        for x, y in data(3, dtype=torch.float32):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=dtype):
                value = loss(model(x), y)
                if inside:
                    scaler.scale(value).backward()
                    scaler.step(optimizer)
            if not inside:
                scaler.scale(value).backward()
                scaler.step(optimizer)
            scaler.update()
        return bits(model)

    kinds = []
    model, loss, optimizer = set_up(wrapper, base, dtype=torch.float32)
    model[0].register_forward_hook(lambda m, a, out: kinds.append(out.dtype))
    with torch.autocast("cpu", dtype=dtype):
        value = loss(model(data(1, dtype=torch.float32)[0][0]), data(1, dtype=torch.float32)[0][1])
    value.backward()
    optimizer.step()
    assert set(kinds) == {dtype}, "the passes beside the weights are in the precision of the loop's own"
    plain, scaled = trained(1.0, False), trained(1024.0, False)
    # Adam divides by its gradient's size, so that rounding of nearly vanishing gradients shows
    assert close(plain, scaled, rtol=1e-2, atol=2e-3 if base == "SGD" else 1e-2)
    assert same(scaled, trained(1024.0, True)), "stepping within autocast uses no cast weights of another pass"


@wrappers
def test_an_infinite_gradient_skips_the_step_and_what_it_recorded(wrapper):
    def step(optimizer, scaler, model, loss, x, y):
        for p in model.parameters():  # not the optimizer's own zero_grad: only its step clears what was recorded
            p.grad = None
        scaler.scale(loss(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()

    batches = data(2)
    model, loss, optimizer = set_up(wrapper)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    before, generator = bits(model), copy.deepcopy(optimizer.state_dict())
    step(optimizer, scaler, model, loss, batches[0][0], batches[0][1] * torch.inf)
    assert same(before, bits(model))
    assert scaler.get_scale() == 128.0
    if hasattr(optimizer, "generator"):
        optimizer.load_state_dict(generator)
    step(optimizer, scaler, model, loss, *batches[1])
    fresh, loss, optimizer = set_up(wrapper)
    step(optimizer, torch.amp.GradScaler("cpu", init_scale=128.0), fresh, loss, *batches[1])
    assert same(bits(model), bits(fresh))
    assert not same(before, bits(model))


class Overflowing(nn.Module):
    """Its gradient is infinite from its second backward pass on, unless it comes in below a limit."""

    def __init__(self, limit):
        super().__init__()
        self.weight, self.limit, self.passes = nn.Parameter(torch.ones(2)), limit, 0

    def forward(self, x):
        out = x * self.weight
        out.register_hook(self.arrived)
        return out

    def arrived(self, gradient):
        self.passes += 1
        return gradient * torch.inf if self.passes > 1 and gradient.abs().max() > self.limit else gradient


@pytest.mark.parametrize(("limit", "moves"), [(1e3, True), (0.0, False)])
def test_a_scale_too_large_beside_the_weights_is_made_smaller_there_or_the_step_left_out(limit, moves):
    model, loss = Overflowing(limit), nn.MSELoss()
    optimizer = fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**15)
    optimizer._checked = True
    scaler.scale(loss(model(torch.ones(3, 2)), torch.zeros(3, 2))).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.isfinite(model.weight).all()
    assert bool((model.weight != 1).all()) is moves
    if moves:
        torch.testing.assert_close(model.weight.detach(), torch.full((2,), 1 - 0.1 * (1 + 0.05 / 2**0.5)))


def test_unscaling_before_the_step_is_refused_with_advice_that_works():
    def clip(*_):
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        norms.append(float(torch.stack([p.grad.norm() for p in model.parameters()]).norm()))

    norms = []
    (x, y), *_ = data(1)
    model, loss, optimizer = set_up("SAM")
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    scaler.scale(loss(model(x), y)).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(InputError, match="register_step_pre_hook"):
        scaler.step(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    optimizer.base.register_step_pre_hook(clip)
    optimizer.zero_grad()
    scaler.scale(loss(model(x), y)).backward()
    scaler.step(optimizer)
    assert norms == pytest.approx([0.01], rel=1e-4)


@pytest.mark.parametrize("wrapper", ["SAM", "PerExampleSAM", "NoiseInjection", "TwoPoint"])
def test_clipping_in_a_hook_clips_the_gradient_that_is_used(wrapper):
    batches, most = data(3), 0.01
    model, loss, optimizer = set_up(wrapper)
    plain, norms, sizes = torch.optim.SGD(model.parameters(), lr=1.0), [], []
    optimizer = WRAPPERS[wrapper](plain, model, loss)
    plain.register_step_pre_hook(lambda *_: norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), most))))
    for batch in batches:
        before = bits(model)
        moved = train(model, loss, optimizer, [batch])
        sizes.append(float(torch.stack([(a - b).norm() for a, b in zip(moved, before, strict=True)]).norm()))
    assert min(norms) > most
    assert sizes == pytest.approx([most] * 3, rel=1e-3)


@pytest.mark.parametrize("wrapper", ["LabelNoise", "WeightDecay"])
def test_where_no_pass_runs_again_the_gradient_may_be_clipped_as_ever(wrapper):
    model, loss = mlp(), nn.MSELoss()
    optimizer = WRAPPERS[wrapper](torch.optim.SGD(model.parameters(), lr=1.0), model, loss)
    (x, y), *_ = data(1)
    loss(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    before = bits(model)
    if wrapper == "WeightDecay":
        optimizer.decay = 0.0
    optimizer.step()
    moved = torch.stack([(a - b).norm() for a, b in zip(bits(model), before, strict=True)]).norm()
    assert float(moved) == pytest.approx(1e-3, rel=1e-3)

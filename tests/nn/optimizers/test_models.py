"""What a model brings along: running statistics, masks, modes, compilation, memory, and errors within a step."""

import gc
import weakref

import pytest
import torch
from torch import nn

from flatmin.errors import InputError
from tests.nn.optimizers.training import (
    REPLAYING,
    WRAPPERS,
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
def test_running_statistics_are_those_of_the_loop_alone(wrapper):
    model, loss, optimizer = set_up(wrapper, norm=True)
    batches = data(1)
    if wrapper == "PerExampleSAM":
        with pytest.raises(InputError, match="batch norm in training mode"):
            train(model, loss, optimizer, batches)
        return
    plain = mlp(norm=True)
    plain(batches[0][0])
    train(model, loss, optimizer, batches)
    assert same(list(model.buffers()), list(plain.buffers()))
    assert int(model[1].num_batches_tracked) == 1
    frozen, loss, optimizer = set_up(wrapper, norm=True)
    frozen[1].eval()
    train(frozen, loss, optimizer, batches)
    assert int(frozen[1].num_batches_tracked) == 0
    assert not frozen[1].training


class Masks(nn.Module):
    """A dropout layer that notes its masks."""

    def __init__(self):
        super().__init__()
        self.dropout, self.masks = nn.Dropout(0.5), []

    def forward(self, x):
        mask = self.dropout(torch.ones_like(x))
        self.masks.append(mask)
        return x * mask


@pytest.mark.parametrize("wrapper", ["SAM", "NoiseInjection", "TwoPoint"])
def test_all_passes_of_a_step_draw_the_same_mask_and_the_next_draws_another(wrapper):
    model, loss, optimizer = set_up(wrapper)
    model[3] = masks = Masks()
    torch.manual_seed(5)
    train(model, loss, optimizer, data(1))
    first = list(masks.masks)
    state = torch.get_rng_state()
    assert len(first) >= 2
    assert all(torch.equal(first[0], mask) for mask in first)
    train(model, loss, optimizer, data(1))
    assert not torch.equal(first[0], masks.masks[-1])
    torch.manual_seed(5)
    model(data(1)[0][0])
    assert torch.equal(state, torch.get_rng_state()), "the random state is as after the loop's own pass"


def test_the_modes_of_a_pass_are_those_of_its_replay():
    (x, y), *_ = data(1)
    model, loss, optimizer = set_up("SAM", dropout=0.5)
    torch.manual_seed(1)
    loss(model(x), y).backward()
    model.eval()
    optimizer.step()
    assert not model.training
    other, loss, optimizer = set_up("SAM", dropout=0.5)
    torch.manual_seed(1)
    train(other, loss, optimizer, [(x, y)])
    assert same(bits(model), bits(other))


@replaying
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_everything_as_it_was(wrapper, error):
    class Breaking(nn.Module):
        calls, last = 0, 10**9

        def forward(self, x):
            self.calls += 1
            if self.calls > self.last:
                raise error
            return x

    model, loss, optimizer = set_up(wrapper, norm=wrapper != "PerExampleSAM", dropout=0.2)
    model.append(Breaking())
    (x, y), *_ = data(1)
    train(model, loss, optimizer, [(x, y)])
    for extra in range(1 if wrapper == "SAM" else 2):  # in the first pass of the step, or in its second
        optimizer.zero_grad()
        loss(model(x), y).backward()
        gradients = [p.grad for p in model.parameters()]
        copies = [g.clone() for g in gradients]
        before, state = bits(model), torch.get_rng_state()
        model[-1].last = model[-1].calls + extra
        with pytest.raises(error):
            optimizer.step()
        model[-1].last = 10**9
        assert same(before, bits(model))
        assert same(copies, gradients)
        assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
        assert torch.equal(state, torch.get_rng_state())
        assert all(m.training for m in model.modules())
    train(model, loss, optimizer, [(x, y)])
    assert not same(before, bits(model))


@pytest.mark.sampled(1)
@wrappers
def test_nothing_is_kept_longer_than_needed(wrapper):
    model, loss, optimizer = set_up(wrapper)
    (x, y), *_ = data(1)
    kept = []
    for _ in range(2):
        inputs = x.clone()
        train(model, loss, optimizer, [(inputs, y)])
        kept.append(weakref.ref(inputs.untyped_storage()))
        model(x)  # a pass without a loss, and one without a gradient
        loss(model(x), y)
        with torch.no_grad():
            loss(model(x), y)
        del inputs
        gc.collect()
        alive = [t for t in gc.get_objects() if type(t) is torch.Tensor and t.shape == x.shape]
        assert len(alive) <= 2, "x itself, and its detached alias at most"
    if wrapper in REPLAYING:
        assert not optimizer._tape.terms
    handles = len(model._forward_pre_hooks) + len(loss._forward_pre_hooks)
    assert handles == (2 if wrapper in REPLAYING else 1 if wrapper == "LabelNoise" else 0)
    del optimizer
    gc.collect()
    assert not model._forward_pre_hooks
    assert not model._forward_hooks
    assert not loss._forward_pre_hooks


def compiled_model(order, **options):
    """Return a network, and itself as it is called."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 2)).double()
    if order == "in place":
        model.compile(**options)
    return model, torch.compile(model, **options) if order == "returned" else model


def trained_compiled(wrapper, order, **options):
    torch.compiler.reset()  # else what other tests compiled counts towards a limit
    model, called = compiled_model(order, **options)
    loss = nn.MSELoss()
    optimizer = WRAPPERS[wrapper](torch.optim.SGD(model.parameters(), lr=0.05), called, loss)
    torch.manual_seed(1)
    return train(called, loss, optimizer, data(2))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("wrapper", ["SAM", "NoiseInjection", "TwoPoint", "LabelNoise", "WeightDecay"])
@pytest.mark.parametrize("order", ["returned", "in place"])
def test_compiled_models_train_as_their_originals(wrapper, order):
    assert close(trained_compiled(wrapper, order, backend="eager"), trained_compiled(wrapper, "not at all"))


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", ["SAM", "NoiseInjection", "TwoPoint"])
def test_inductor_draws_the_same_masks_in_both_passes(wrapper):
    # its masks are others than those of eager mode; that they are the same in a step is checked by the first step
    assert all(torch.isfinite(t).all() for t in trained_compiled(wrapper, "returned", fullgraph=True))

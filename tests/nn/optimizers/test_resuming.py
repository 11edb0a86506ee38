"""Checkpoints, copies and pickles: a run goes on as if it had not been interrupted."""

import copy
import pickle

import pytest
import torch
from torch import nn

from flatmin.errors import InputError
from tests.nn.optimizers.training import BASES, REPLAYING, bases, bits, data, mlp, same, set_up, train, wrappers


@pytest.mark.sampled(12)
@wrappers
@bases
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_resumed_run_is_the_uninterrupted_one_bit_by_bit(wrapper, base, dropout):
    batches = data(6)
    model, loss, optimizer = set_up(wrapper, base, dropout=dropout)
    torch.manual_seed(3)
    whole = train(model, loss, optimizer, batches)

    model, loss, optimizer = set_up(wrapper, base, dropout=dropout)
    torch.manual_seed(3)
    train(model, loss, optimizer, batches[:3])
    saved = pickle.loads(pickle.dumps((model.state_dict(), optimizer.state_dict(), torch.get_rng_state())))
    model, loss, optimizer = set_up(wrapper, base, dropout=dropout, seed=9)
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    torch.set_rng_state(saved[2])
    assert same(whole, train(model, loss, optimizer, batches[3:]))


@pytest.mark.parametrize("wrapper", ["LabelNoise", "NoiseInjection", "TwoPoint"])
def test_without_its_generator_a_resumed_run_is_another(wrapper):
    batches = data(6)
    whole = train(*set_up(wrapper), batches)
    model, loss, optimizer = set_up(wrapper)
    train(model, loss, optimizer, batches[:3])
    state = optimizer.state_dict()
    del state[f"{wrapper}.generator"]
    saved = copy.deepcopy(model.state_dict())
    model, loss, optimizer = set_up(wrapper)
    model.load_state_dict(saved)
    optimizer.load_state_dict(state)
    assert not same(whole, train(model, loss, optimizer, batches[3:]))


@wrappers
def test_the_checkpoint_of_a_plain_optimizer_can_be_taken_up(wrapper):
    model, loss = mlp(), nn.MSELoss()
    plain = BASES["Adam"](model.parameters())
    train(model, loss, plain, data())
    other, loss, optimizer = set_up(wrapper, "Adam")
    optimizer.load_state_dict(plain.state_dict())
    assert optimizer.state[next(other.parameters())]["step"] == 4


@pytest.mark.sampled(6)
@wrappers
@bases
def test_ten_steps_saved_and_ten_more_are_twenty(wrapper, base, tmp_path):
    batches = data(20)
    model, loss, optimizer = set_up(wrapper, base)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    whole = train(model, loss, optimizer, batches, schedule)

    model, loss, optimizer = set_up(wrapper, base)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    train(model, loss, optimizer, batches[:10], schedule)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    torch.save({name: part.state_dict() for name, part in parts.items()}, tmp_path / "checkpoint.pt")

    model, loss, optimizer = set_up(wrapper, base, seed=9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    for name, state in torch.load(tmp_path / "checkpoint.pt", weights_only=True).items():
        parts[name].load_state_dict(state)
    assert same(whole, train(model, loss, optimizer, batches[10:], schedule))


@pytest.mark.sampled(12)
@wrappers
@bases
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"])
def test_a_copy_goes_on_as_the_original_would_and_leaves_it_alone(wrapper, base, copied):
    batches = data(6)
    whole = train(*set_up(wrapper, base), batches)
    model, loss, optimizer = set_up(wrapper, base)
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)  # a scheduler replaces `step` of what it moves
    optimizer.register_step_pre_hook(lambda *_: None)
    train(model, loss, optimizer, batches[:3], schedule)
    before = bits(model)
    other, its_loss, its_optimizer = copied((model, loss, optimizer))
    assert its_optimizer.model is other
    assert same(whole, train(other, its_loss, its_optimizer, batches[3:]))
    assert same(before, bits(model))
    assert same(whole, train(model, loss, optimizer, batches[3:]))


@wrappers
def test_a_copied_optimizer_watches_its_own_model_alone(wrapper):
    model, loss, optimizer = set_up(wrapper)
    alone = copy.deepcopy(optimizer)
    assert alone.model is not model
    if wrapper in REPLAYING:
        loss(model(data(1)[0][0]), data(1)[0][1]).backward()
        with pytest.raises(InputError, match="no pass was recorded"):
            alone.step()
    train(alone.model, alone.loss, alone, data(2))


def test_hooks_on_checkpoints_are_those_of_the_wrapped_optimizer():
    *_, optimizer = set_up("LabelNoise")
    seen = []
    optimizer.register_state_dict_pre_hook(lambda *_: seen.append("before saving"))
    optimizer.register_state_dict_post_hook(lambda *_: seen.append("after saving"))
    optimizer.register_load_state_dict_pre_hook(lambda *_: seen.append("before loading"))
    optimizer.register_load_state_dict_post_hook(lambda *_: seen.append("after loading"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == ["before saving", "after saving", "before loading", "after loading"]

"""What holds for every wrapper around every optimizer: loops, precision, accumulation, norms, masks, resuming."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler, swa_utils

import flatmin as fm
import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import BASES, REPLAYING, WRAPPERS, bits, close, data, mlp, same, train

wrappers = pytest.mark.parametrize("wrapper", WRAPPERS)
replaying = pytest.mark.parametrize("wrapper", REPLAYING)
bases = pytest.mark.parametrize("base", BASES)


def made(wrapper, base="SGD", loss=None, **options):
    model, loss = mlp(**options), loss or nn.MSELoss()
    return model, loss, WRAPPERS[wrapper](BASES[base](model.parameters()), model, loss)


@wrappers
@bases
def test_it_trains_and_shares_what_schedulers_and_checkpoints_look_at(wrapper, base):
    model, loss, optimizer = made(wrapper, base)
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert optimizer.param_groups is optimizer.base.param_groups
    assert optimizer.state is optimizer.base.state
    assert optimizer.defaults is optimizer.base.defaults
    before = bits(model)
    after = train(model, loss, optimizer, data())
    assert all(torch.isfinite(t).all() for t in after)
    assert not same(before, after)
    assert same(after, train(*made(wrapper, base), data())), "the same seed, the same run"


@wrappers
@bases
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_resumed_run_is_the_uninterrupted_one_bit_by_bit(wrapper, base, dropout):
    batches = data(6)
    model, loss, optimizer = made(wrapper, base, dropout=dropout)
    torch.manual_seed(3)
    whole = train(model, loss, optimizer, batches)

    model, loss, optimizer = made(wrapper, base, dropout=dropout)
    torch.manual_seed(3)
    train(model, loss, optimizer, batches[:3])
    saved = pickle.loads(pickle.dumps((model.state_dict(), optimizer.state_dict(), torch.get_rng_state())))
    model, loss, optimizer = made(wrapper, base, dropout=dropout, seed=9)
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    torch.set_rng_state(saved[2])
    assert same(whole, train(model, loss, optimizer, batches[3:]))


@pytest.mark.parametrize("wrapper", ["LabelNoise", "NoiseInjection", "TwoPoint"])
def test_without_its_generator_a_resumed_run_is_another(wrapper):
    batches = data(6)
    whole = train(*made(wrapper), batches)
    model, loss, optimizer = made(wrapper)
    train(model, loss, optimizer, batches[:3])
    state = optimizer.state_dict()
    del state[f"{wrapper}.generator"]
    saved = copy.deepcopy(model.state_dict())
    model, loss, optimizer = made(wrapper)
    model.load_state_dict(saved)
    optimizer.load_state_dict(state)
    assert not same(whole, train(model, loss, optimizer, batches[3:]))


@wrappers
def test_the_checkpoint_of_a_plain_optimizer_can_be_taken_up(wrapper):
    model, loss = mlp(), nn.MSELoss()
    plain = BASES["Adam"](model.parameters())
    train(model, loss, plain, data())
    other, loss, optimizer = made(wrapper, "Adam")
    optimizer.load_state_dict(plain.state_dict())
    assert optimizer.state[next(other.parameters())]["step"] == 4


@replaying
@bases
def test_micro_batches_make_the_step_of_one_big_batch(wrapper, base):
    if wrapper == "TwoPoint" or base != "SGD":
        rtol = 1e-6  # rounding of a difference of values; square roots of tiny second moments
    else:
        rtol = 1e-10
    (x, y), *_ = data(1, 12)
    results = []
    for parts in (1, 3):
        model, loss, optimizer = made(wrapper, base)
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
    model, loss, optimizer = made(wrapper)
    for _ in range(2):
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert same(bits(model), train(*made(wrapper), [(x, y)] * 2))


@wrappers
def test_running_statistics_are_those_of_the_loop_alone(wrapper):
    model, loss, optimizer = made(wrapper, norm=True)
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
    frozen, loss, optimizer = made(wrapper, norm=True)
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
    model, loss, optimizer = made(wrapper)
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


@wrappers
@bases
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_its_scaler(wrapper, base, dtype):
    def trained(scale, inside):
        model, loss, optimizer = made(wrapper, base, dtype=torch.float32)
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
    model, loss, optimizer = made(wrapper, base, dtype=torch.float32)
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
    model, loss, optimizer = made(wrapper)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    before, generator = bits(model), copy.deepcopy(optimizer.state_dict())
    step(optimizer, scaler, model, loss, batches[0][0], batches[0][1] * torch.inf)
    assert same(before, bits(model))
    assert scaler.get_scale() == 128.0
    if hasattr(optimizer, "generator"):
        optimizer.load_state_dict(generator)
    step(optimizer, scaler, model, loss, *batches[1])
    fresh, loss, optimizer = made(wrapper)
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
    model, loss, optimizer = made("SAM")
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


SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [1, 3]),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 5),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 4),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda k: 1 / (1 + k)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda k: 0.9),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=2),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=9),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.5)], [2]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.StepLR(o, 2)]
    ),
    "SWALR": lambda o: swa_utils.SWALR(o, 0.01, anneal_epochs=3),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_moves_it_as_it_moves_the_optimizer_within(scheduler):
    rates = []
    for wrapped in (False, True):
        model, loss = mlp(), nn.MSELoss()
        optimizer = BASES["SGD"](model.parameters())
        if wrapped:
            optimizer = fnn.SAM(optimizer, model, loss)
        schedule, seen = SCHEDULERS[scheduler](optimizer), []
        for batch in data(5):
            train(model, loss, optimizer, [batch], schedule)
            seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        rates.append(seen)
    assert rates[0] == rates[1]
    assert len(set(rates[0])) > 1


def test_a_plateau_scheduler_too():
    model, loss, optimizer = made("SAM")
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    for value in (1.0, 1.0, 1.0):
        train(model, loss, optimizer, data(1))
        schedule.step(value)
    assert optimizer.base.param_groups[0]["lr"] == pytest.approx(0.05 * 0.01)


@wrappers
def test_averages_are_those_of_torch(wrapper):
    if wrapper == "PerExampleSAM":
        model, loss, optimizer = made(wrapper)
    else:
        model, loss, optimizer = made(wrapper, norm=True)
    average = swa_utils.AveragedModel(model)
    seen = []
    for batch in data(3):
        train(model, loss, optimizer, [batch])
        average.update_parameters(model)
        seen.append(model[0].weight.detach().clone())
    assert torch.allclose(average.module[0].weight, torch.stack(seen).mean(0))
    swa_utils.update_bn([x for x, _ in data(2)], average)
    loss(average(data(1)[0][0]), data(1)[0][1]).backward()  # the copy is watched by nobody
    if wrapper in REPLAYING:
        optimizer.zero_grad()
        with pytest.raises(InputError, match="no pass was recorded"):
            optimizer.step()


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

    model, loss, optimizer = made(wrapper, norm=wrapper != "PerExampleSAM", dropout=0.2)
    model.append(Breaking())
    (x, y), *_ = data(1)
    train(model, loss, optimizer, [(x, y)])
    for extra in (0, 1):
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


@wrappers
def test_nothing_is_kept_longer_than_needed(wrapper):
    model, loss, optimizer = made(wrapper)
    (x, y), *_ = data(1)
    kept = []
    for _ in range(3):
        inputs = x.clone()
        train(model, loss, optimizer, [(inputs, y)])
        kept.append(weakref.ref(inputs.untyped_storage()))
        model(x)  # a pass without a loss, and one without a gradient
        loss(model(x), y)
        with torch.no_grad():
            loss(model(x), y)
        del inputs
        gc.collect()
        alive = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and t.shape == x.shape]
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


@replaying
def test_passes_that_are_only_looked_at_change_nothing(wrapper):
    batches = data(3)
    model, loss, optimizer = made(wrapper, dropout=0.0)
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        loss(model(2 * x), y)  # recorded nowhere: its gradient never arrives
        model.eval()
        with torch.no_grad():
            loss(model(3 * x), y)
        model.train()
        optimizer.step()
    assert same(bits(model), train(*made(wrapper), batches))


def test_the_modes_of_a_pass_are_those_of_its_replay():
    (x, y), *_ = data(1)
    model, loss, optimizer = made("SAM", dropout=0.5)
    torch.manual_seed(1)
    loss(model(x), y).backward()
    model.eval()
    optimizer.step()
    assert not model.training
    other, loss, optimizer = made("SAM", dropout=0.5)
    torch.manual_seed(1)
    train(other, loss, optimizer, [(x, y)])
    assert same(bits(model), bits(other))


@wrappers
def test_a_plain_function_is_called_through_the_optimizer(wrapper):
    model = mlp()
    optimizer = WRAPPERS[wrapper](BASES["SGD"](model.parameters()), model, nn.functional.mse_loss)
    assert same(train(model, optimizer.loss, optimizer, data()), train(*made(wrapper), data()))
    if wrapper != "WeightDecay":
        with pytest.raises(InputError, match=r"optimizer\.loss"):
            train(model, nn.functional.mse_loss, optimizer, data(1))


@wrappers
def test_a_closure_is_the_body_of_the_loop(wrapper):
    model, loss, optimizer = made(wrapper)
    for x, y in data():

        def closure(x=x, y=y):
            optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            return value

        assert optimizer.step(closure) > 0
    assert same(bits(model), train(*made(wrapper), data()))


@replaying
def test_what_does_not_go_through_model_and_loss_is_noticed(wrapper):
    (x, y), *_ = data(1)

    def attempt(backward, **options):
        model, loss, optimizer = made(wrapper, **options)
        backward(model, loss)
        optimizer.step()

    def penalised(model, loss):
        (loss(model(x), y) + model[0].weight.square().sum()).backward()

    def clipped(model, loss):
        loss(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)

    for backward in (penalised, clipped):
        with pytest.raises(InputError, match=r"\.grad is .*% off"):
            attempt(backward)
    with pytest.raises(InputError, match="nothing between them"):
        attempt(lambda model, loss: loss(model(x).tanh(), y).backward())
    with pytest.raises(InputError, match="no pass was recorded"):
        attempt(lambda model, loss: None)

    def overwritten(model, loss):
        inputs = x.clone()
        loss(model(inputs), y).backward()
        inputs.zero_()

    with pytest.raises(InputError, match="overwritten"):
        attempt(overwritten)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda m, loss, o: (m, m, loss), "base of SAM is a Sequential"),
        (lambda m, loss, o: (o, loss, None), "loss of SAM is a NoneType"),
        (lambda m, loss, o: (o, o, loss), "model of SAM is a SGD"),
        (lambda m, loss, o: (o, mlp(), loss), "has no parameter of the model"),
        (lambda m, loss, o: (fnn.SAM(o, m, loss), m, loss), "other order"),
        (lambda m, loss, o: (o, m, loss, -1.0), "rho is -1.0, expected a finite number"),
        (lambda m, loss, o: (o, m, loss, float("nan")), "rho is nan"),
    ],
)
def test_wrong_arguments(arguments, message):
    model, loss = mlp(), nn.MSELoss()
    with pytest.raises(InputError, match=message):
        fnn.SAM(*arguments(model, loss, BASES["SGD"](model.parameters())))


def test_wrappers_around_wrappers():
    model, loss = mlp(), nn.MSELoss()
    inner = fnn.SAM(BASES["SGD"](model.parameters()), model, loss, rho=0.1)
    for outer in (fnn.WeightDecay, fnn.NoiseInjection, fnn.TwoPoint):
        with pytest.raises(InputError, match="around SAM"):
            outer(inner, model, loss)
    results = []
    for order in ("outside", "inside"):
        model, loss = mlp(), nn.MSELoss()
        optimizer = BASES["SGD"](model.parameters())
        if order == "inside":
            optimizer = fnn.LabelNoise(optimizer, model, loss, noise=0.3)
        optimizer = fnn.SAM(fnn.WeightDecay(optimizer, model, loss, decay=0.1), model, loss, rho=0.1)
        if order == "outside":
            optimizer = fnn.LabelNoise(optimizer, model, loss, noise=0.3)
        assert optimizer.gradient_evaluations == 2
        results.append(train(model, loss, optimizer, data()))
        state = optimizer.state_dict()
        assert "LabelNoise.generator" in state
        optimizer.load_state_dict(state)
    assert same(*results)
    model, loss = mlp(), nn.MSELoss()
    alone = fnn.SAM(BASES["SGD"](model.parameters()), model, loss, rho=0.1)
    assert not close(results[0], train(model, loss, alone, data()), rtol=1e-3)


def test_label_noise_around_sam_is_sam_on_the_noisy_labels_under_a_scaler_too():
    model, loss = mlp(), nn.MSELoss()
    (x, y), *_ = data(1)
    noise = 0.3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    expected = train(*(m := made("SAM"))[:2], m[2], [(x, y + noise)])
    for scale in (None, 512.0):
        model, loss = mlp(), nn.MSELoss()
        inner = fnn.SAM(BASES["SGD"](model.parameters()), model, loss, rho=0.1)
        optimizer = fnn.LabelNoise(inner, model, loss, noise=0.3, seed=4)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
        scaler.scale(loss(model(x), y)).backward()
        scaler.step(optimizer)
        assert close(bits(model), expected)


ALL = sorted(
    name
    for name in dir(torch.optim)
    if isinstance(getattr(torch.optim, name), type)
    and issubclass(getattr(torch.optim, name), torch.optim.Optimizer)
    and name not in ("Optimizer", "SparseAdam")
)


@pytest.mark.parametrize("name", ALL)
def test_any_optimizer_of_torch_can_be_wrapped(name):
    kind = getattr(torch.optim, name)
    for wrapper in ("SAM", "LabelNoise", "WeightDecay"):
        model, loss = mlp(dtype=torch.float32), nn.MSELoss()
        trained = [p for p in model.parameters() if p.ndim == 2] if name == "Muon" else model.parameters()
        optimizer = WRAPPERS[wrapper](kind(trained, lr=0.01), model, loss)
        before = bits(model)
        train(model, loss, optimizer, data(2, dtype=torch.float32))
        assert not same(before, bits(model))


def test_sparse_gradients():
    model, loss = nn.Embedding(7, 2, sparse=True), nn.MSELoss()
    before = model.weight.detach().clone()
    optimizer = fnn.SAM(torch.optim.SparseAdam(model.parameters()), model, loss)
    train(model, loss, optimizer, [(torch.tensor([1, 3]), torch.zeros(2, 2))])
    moved = (model.weight.detach() != before).any(1)
    assert moved.tolist() == [False, True, False, True, False, False, False]


def test_an_optimizer_that_asks_for_a_closure_is_given_one():
    x, y = data(1, 20)[0]
    model, loss = nn.Linear(3, 2).double(), nn.MSELoss()
    optimizer = fnn.WeightDecay(
        torch.optim.LBFGS(model.parameters(), max_iter=50, line_search_fn="strong_wolfe"), model, loss, decay=0.0
    )
    train(model, loss, optimizer, [(x, y)])
    design = torch.cat([x, torch.ones(20, 1, dtype=x.dtype)], 1)
    best = torch.linalg.lstsq(design, y).solution
    assert torch.allclose(torch.cat([model.weight, model.bias[:, None]], 1), best.T, atol=1e-6)
    with pytest.raises(InputError, match="other order"):
        fnn.SAM(optimizer, model, loss)


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


def test_groups_copies_and_names():
    model, loss, optimizer = made("SAM")
    extra = nn.Linear(6, 2).double()
    model.append(nn.Identity())
    optimizer.add_param_group({"params": [*extra.parameters()], "lr": 0.5})
    assert [group["lr"] for group in optimizer.base.param_groups] == [0.05, 0.5]
    assert "SAM" in repr(optimizer)
    with pytest.raises(InputError, match="state_dict"):
        copy.deepcopy(optimizer)
    other = pickle.loads(pickle.dumps(model))
    other(data(1)[0][0])
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    train(model, loss, optimizer, data(1))
    assert seen == ["before", "after"]


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


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_factored_models(wrapper):
    problem = fm.families.matrix_sensing.sample((5, 4), 1, 30).problem
    model, loss = fnn.FactoredModel(problem, rank=2, scale=0.5), nn.MSELoss()
    optimizer = WRAPPERS[wrapper](torch.optim.SGD(model.parameters(), lr=0.01), model, loss)
    index, target = torch.arange(30), torch.from_numpy(problem.data)
    before = float(loss(model(index), target))
    for _ in range(30):
        train(model, loss, optimizer, [(index, target)])
    model.eval()
    assert float(loss(model(index), target)) < before

"""The trace penalty in training loops: lazily, resumed, in mixed precision; what is left alone, what is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import flatmin as fm
from flatmin.errors import InputError
from flatmin.nn import HessianTracePenalty
from tests.nn.batches import BATCH, LABELS, C, N, dense_trace, make, mlp, randn, seeded


@pytest.mark.parametrize("options", [{}, {"probe": "per_example"}, {"of": "hessian"}, {"probes": 3}])
def test_the_objective_is_loss_plus_penalty(options):
    one, two = make(**options), make(**options)
    expected = F.cross_entropy(one.model(BATCH), LABELS) + 0.5 * one(BATCH, LABELS)
    assert torch.allclose(two.objective(BATCH, LABELS, 0.5), expected, rtol=1e-12)


def test_outputs_at_hand_are_used():
    one, two = make(), make()
    outputs = one.model(BATCH)
    value = one(BATCH, LABELS, outputs=outputs)
    assert torch.equal(value, two(None, LABELS, outputs=two.model(BATCH)))
    (F.cross_entropy(outputs, LABELS) + value).backward()


def test_lazily_it_is_multiplied_and_then_skipped():
    plain, lazy = make(), make(every=3)
    values = [lazy(BATCH, LABELS) for _ in range(7)]
    assert [v.item() == 0 for v in values] == [False, True, True, False, True, True, False]
    assert torch.allclose(
        torch.stack([values[i] for i in (0, 3, 6)]), 3 * torch.stack([plain(BATCH, LABELS) for _ in range(3)])
    )
    values[1].backward()  # it can be called as the others can
    assert all(p.grad is None for p in lazy.model.parameters())
    assert lazy.objective(BATCH, LABELS).item() == F.cross_entropy(lazy.model(BATCH), LABELS).item()


def test_it_resumes():
    whole, part = make(every=2), make(every=2)
    expected = [whole(BATCH, LABELS).item() for _ in range(6)]
    found = [part(BATCH, LABELS).item() for _ in range(3)]
    resumed = make(every=2, seed=77)
    resumed.load_state_dict(part.state_dict())
    assert found + [resumed(BATCH, LABELS).item() for _ in range(3)] == expected


def test_without_gradients_it_measures():
    penalty, same = make(every=4), make()
    with torch.no_grad():
        values = [penalty(BATCH, LABELS) for _ in range(3)]
    assert [v.item() for v in values] == pytest.approx([same(BATCH, LABELS).item() for _ in range(3)])
    assert not any(v.requires_grad for v in values)
    assert penalty.calls == 0


@pytest.mark.parametrize("probe", ["vjp", "per_example"])
def test_nothing_else_is_touched(probe):
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.Dropout(), nn.Linear(5, C)))
    if probe == "vjp":
        model.insert(1, nn.BatchNorm1d(5).double())
    penalty = make(model, probe=probe)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(0)
    before = torch.get_rng_state()
    penalty(BATCH, LABELS)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert all(not m._forward_hooks for m in model.modules())
    assert model.training


def test_the_mask_of_the_loss():
    """By `objective` dropout has one mask: a model whose every unit is dropped has no trace."""
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, C)))
    torch.manual_seed(4)
    value = make(model, probe="vjp").objective(BATCH, LABELS)
    torch.manual_seed(4)
    outputs = model(BATCH)
    again = F.cross_entropy(outputs, LABELS) + make(model, probe="vjp")(BATCH, LABELS, outputs=outputs)
    assert torch.equal(value, again)
    torch.manual_seed(5)
    assert not torch.equal(value, make(model, probe="vjp").objective(BATCH, LABELS))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("probe", ["vjp", "per_example"])
def test_frozen_and_unused_parameters_do_not_count(probe):
    model = seeded(mlp)
    model[0].weight.requires_grad_(False)
    exact = dense_trace(model, nn.MSELoss(), BATCH, randn(N, C))
    values = [make(model, nn.MSELoss(), probe=probe, seed=s)(BATCH, randn(N, C)).item() for s in range(400)]
    assert abs(np.mean(values) - exact.item()) < 4 * np.std(values) / 20
    model.spare = nn.Linear(2, 2).double()
    model.forward = lambda x: nn.Sequential.forward(model[:5], x)
    if probe == "vjp":
        assert make(model, nn.MSELoss(), seed=7)(BATCH, randn(N, C)).item() == pytest.approx(values[7])


@pytest.mark.parametrize("probe", ["vjp", "per_example"])
@pytest.mark.parametrize("kind", [nn.Linear, nn.Conv2d])
def test_mixed_precision(kind, probe):
    def build():
        first = nn.Linear(4, 16) if kind is nn.Linear else nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 4, 1))
        return nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(16, C))

    model, x = seeded(build).float(), BATCH.float()
    exact = make(model, probe=probe)(x, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        value = make(model, probe=probe).objective(x, LABELS) - F.cross_entropy(model(x), LABELS)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=0.05)
    value.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("probe", ["vjp", "per_example"])
def test_scaled_half_precision(probe):
    """A step with float16 and a scaler of gradients is the step without, to three digits of its length."""
    steps = []
    for half in (False, True):
        model = seeded(lambda: nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, C))).float()
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=half)
        with torch.autocast("cpu", torch.float16, enabled=half):
            total = make(model, probe=probe).objective(BATCH.float(), LABELS, 0.1)
        scaler.scale(total).backward()
        scaler.step(optimizer)
        scaler.update()
        steps.append(torch.cat([p.detach().flatten() for p in model.parameters()]) - before)
    assert (steps[1] - steps[0]).norm() < 5e-3 * steps[0].norm()


def test_accumulated_gradients_add_up():
    penalty, model = make(), seeded(mlp)
    for half in (slice(0, 3), slice(3, 6)):
        (penalty(BATCH[half], LABELS[half]) / 2).backward()
    again = make(model)
    total = sum(again(BATCH[half], LABELS[half]) for half in (slice(0, 3), slice(3, 6))) / 2
    for p, g in zip(
        penalty.model.parameters(), torch.autograd.grad(total, list(model.parameters()), allow_unused=True), strict=True
    ):
        assert (p.grad is None and g is None) or torch.allclose(p.grad, g)


def test_a_constant_trace_can_be_called_backward():
    model = seeded(lambda: nn.Linear(4, C))
    value = make(model, nn.MSELoss(), probe="per_example")(BATCH, randn(N, C))
    value.backward()
    assert value.item() == pytest.approx(2 / N * (BATCH.square().sum() + N).item())
    assert make(model, lambda z, y: z.sum(), of="hessian")(BATCH, LABELS).item() == 0


def test_a_loss_of_ones_own():
    def cosh(outputs, targets):
        return torch.cosh(outputs - targets).sum()

    with pytest.raises(InputError, match="the loss is cosh"):
        make(loss=cosh)(BATCH, randn(N, C))
    fm.nn.register_root(cosh)(lambda loss, z, y, v: torch.cosh(z - y).sqrt() * v)
    model, y = seeded(mlp), randn(N, C)
    values = [make(model, cosh, seed=s)(BATCH, y).item() for s in range(400)]
    exact = dense_trace(model, cosh, BATCH, y).item()
    assert abs(np.mean(values) - exact) < 4 * np.std(values) / 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": 3}, "model is a int, expected a torch.nn.Module"),
        ({"loss": "mse"}, "loss is 'mse', expected a function"),
        ({"of": "fisher"}, "of is 'fisher', expected one of gauss_newton, hessian"),
        ({"probe": "jvp"}, "probe is 'jvp', expected one of auto, vjp, per_example"),
        ({"of": "hessian", "probe": "per_example"}, "for the whole Hessian, expected 'auto' or 'vjp'"),
        ({"probes": 0}, "probes is 0, expected a whole number of at least 1"),
        ({"every": 1.5}, "every is 1.5"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(InputError, match=message):
        make(**options)


class Pair(nn.Module):
    """Returns, shares or reshapes in ways that are refused."""

    def __init__(self, way):
        super().__init__()
        self.layer, self.way = nn.Linear(4, 4).double(), way
        if way == "kept":
            self.other = nn.Linear(4, 4).double()

    def detached(self, x):
        with torch.no_grad():
            return self.layer(x)

    def forward(self, x):
        ways = {
            "tuple": lambda: (self.layer(x), x),
            "labels": lambda: self.layer(x).argmax(1),
            "twice": lambda: self.layer(self.layer(x)),
            "rows": lambda: self.layer(x.reshape(2 * N, 2).repeat(1, 2)).reshape(N, 8)[:, :3],
            "none": lambda: x,
            "kept": lambda: self.detached(x) + self.other(x),
            "single": lambda: self.layer(x[0]),
        }
        return ways[self.way]()


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("tuple", "the model returns a tuple, expected a tensor"),
        ("labels", "the model returns a tensor of torch.int64"),
        ("twice", "was called 2 times, expected once; use probe='vjp'"),
        ("rows", "has other rows than the outputs"),
        ("none", "depend on no parameter"),
        ("kept", "was called without gradients"),
        ("single", "the targets have shape"),
    ],
)
def test_models_that_cannot_be_penalised(way, message):
    with pytest.raises(InputError, match=message):
        make(Pair(way), probe="per_example")(BATCH, LABELS)


def test_other_refusals():
    with pytest.raises(InputError, match="depend on no parameter"):
        make(Pair("none"))(BATCH, LABELS)
    with pytest.raises(InputError, match="outputs were given with probe='per_example'"):
        make(probe="per_example")(BATCH, LABELS, outputs=randn(N, C))
    with pytest.raises(InputError, match=r"the loss has shape \(6, 3\), expected a single number"):
        make(loss=lambda z, y: z, of="hessian")(BATCH, LABELS)


class Attention(nn.Module):
    """On this device torch takes a fused kernel for it, whose backward pass has no derivative."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 12).double(), nn.Linear(4, C).double()

    def forward(self, x):
        q, k, v = self.first(x).chunk(3, -1)
        return self.last(F.scaled_dot_product_attention(q[None, None], k[None, None], v[None, None])[0, 0])


@pytest.mark.slow
def test_fused_attention():
    model = Attention()
    with pytest.raises(RuntimeError, match=r"derivative for .*flash.* is not implemented"):
        make(model)(BATCH, LABELS, outputs=model(BATCH)).backward()
    exact = dense_trace_without_fusion(model, BATCH)
    values = torch.stack([make(model, seed=s)(BATCH, LABELS) for s in range(400)])
    assert abs(values.mean() - exact) < 4 * values.std() / 20
    make(model).objective(BATCH, LABELS).backward()
    assert model.first.weight.grad.abs().max() > 0


def dense_trace_without_fusion(model, x):
    with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
        return dense_trace(model, F.cross_entropy, x, LABELS)


@pytest.mark.parametrize("in_place", [False, True])
def test_compiled_models_run_as_they_were_written(in_place):
    model = compiled = seeded(mlp)
    expected = make().objective(BATCH, LABELS)
    if in_place:
        model.compile(backend="aot_eager")
    else:
        compiled = torch.compile(model, backend="aot_eager")
    compiled(BATCH)
    value = make(compiled).objective(BATCH, LABELS)
    value.backward()
    assert value.item() == pytest.approx(expected.item())
    assert make(compiled)(BATCH, LABELS).item() == pytest.approx(make()(BATCH, LABELS).item())


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first, self.last, self.reentrant = nn.Linear(4, 5).double(), nn.Linear(5, C).double(), reentrant

    def forward(self, x):
        return self.last(checkpoint(lambda x: torch.tanh(self.first(x)), x, use_reentrant=self.reentrant))


def test_checkpoints():
    """Reentrant ones hide parameters from `torch.autograd.grad`, which would leave them out without a word."""
    model = Checkpointed(False)
    plain = nn.Sequential(model.first, nn.Tanh(), model.last)
    assert make(model)(BATCH, LABELS).item() == pytest.approx(make(plain)(BATCH, LABELS).item())
    model.reentrant = True
    with pytest.raises(InputError, match="the model has reentrant checkpoints, expected"):
        make(model)(BATCH.clone().requires_grad_(), LABELS)


def test_complex_parameters_are_refused():
    with pytest.raises(InputError, match="the model has complex parameters"):
        make(Modulus())(BATCH, LABELS)


class Modulus(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(4, C, dtype=torch.complex128))

    def forward(self, x):
        return (x.to(torch.complex128) @ self.matrix).abs()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("every", [1, 4])
def test_lazily_it_reaches_the_same_solution(every):
    """Training with estimates ends where training with the closed form does."""
    problem, strength = fm.families.matrix_sensing.sample((5, 4), 1, 24, seed=1).problem, 0.02
    x, y = torch.arange(24), torch.from_numpy(problem.data)
    ends = []
    for exact in (True, False):
        model = fm.nn.FactoredModel(problem, 2, seed=1, scale=0.5)
        penalty = HessianTracePenalty(model, nn.MSELoss(), probes=2, every=every, seed=0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 1000)
        for _ in range(1000):
            optimizer.zero_grad()
            objective(model, penalty, x, y, strength, exact).backward()
            optimizer.step()
            schedule.step()
        ends.append(objective(model, penalty, x, y, strength, True).item())
    assert ends[1] == pytest.approx(ends[0], rel=2e-3)


def objective(model, penalty, x, y, strength, exact):
    if not exact:
        return penalty.objective(x, y, strength)
    L, R = model.pair()
    D1, D2 = (torch.from_numpy(np.asarray(D.dense)) for D in model.problem.metric)
    trace = 2 * len(R) * (D1 @ L).square().sum() + 2 * len(L) * (D2 @ R).square().sum()
    return model.loss() + strength * trace

"""The trace penalty: value and gradient against dense oracles, closed forms and numbers."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import hadamard
from torch import nn

import flatmin as fm
from flatmin.nn import HessianTracePenalty
from tests.nn.batches import BATCH, LABELS, LOSSES, NETWORKS, C, N, conv, dense_trace, make, randn, seeded
from tests.nn.test_factored import MODELS


@pytest.fixture(params=["mlp", "relu", "conv"])
def model(request):
    return seeded(NETWORKS[request.param])


def gradient(value, model):
    gradients = torch.autograd.grad(value, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
    return torch.cat([g.flatten() for g in gradients if g is not None])


def mean_over_signs(penalty, x, y, size, monkeypatch):
    """Return the exact mean of value and gradient over all probes.

    The penalty is a quadratic form of v, whose mean depends on E[v vᵀ] = I alone: the rows of a Hadamard matrix have
    the same second moments as all 2^size vectors of signs.
    """
    rows = torch.from_numpy(hadamard(1 << (size - 1).bit_length())[:, :size].astype(float))
    values, gradients = [], []
    for row in rows:
        left = [row]

        def signs(like, left=left):
            taken, left[0] = left[0].split([like.numel(), left[0].numel() - like.numel()])
            return taken.reshape(like.shape)

        monkeypatch.setattr(penalty, "_signs", signs)
        values.append(penalty(x, y))
        gradients.append(gradient(values[-1], penalty.model))
    return torch.stack(values).mean(), torch.stack(gradients).mean(0)


@pytest.mark.sampled(10)
@pytest.mark.parametrize("probe", ["vjp", "per_example"])
@pytest.mark.parametrize("name", LOSSES)
def test_value_and_gradient_are_unbiased(model, name, probe, monkeypatch):
    (loss, y), x = LOSSES[name], randn(N, 4, seed=1)
    exact = dense_trace(model, loss, x, y)
    penalty = HessianTracePenalty(model, loss, probe=probe)
    value, slope = mean_over_signs(penalty, x, y, N * C, monkeypatch)
    assert value.item() == pytest.approx(exact.item(), rel=1e-12)
    assert slope.numpy() == pytest.approx(gradient(exact, model).numpy(), rel=1e-9, abs=1e-13)


def test_other_layers_by_the_general_probe(monkeypatch):
    model, x = seeded(partial(conv, norm=partial(nn.LayerNorm, 3))), randn(N, 4, seed=1)
    exact = dense_trace(model, F.cross_entropy, x, LABELS)
    value, slope = mean_over_signs(HessianTracePenalty(model, F.cross_entropy), x, LABELS, N * C, monkeypatch)
    assert value.item() == pytest.approx(exact.item(), rel=1e-12)
    assert slope.numpy() == pytest.approx(gradient(exact, model).numpy(), rel=1e-9, abs=1e-13)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["squared", "cross entropy"])
def test_the_whole_hessian_is_unbiased(model, name, monkeypatch):
    (loss, y), x = LOSSES[name], randn(N, 4, seed=1)
    size = sum(p.numel() for p in model.parameters())
    exact = dense_trace(model, loss, x, y, "hessian")
    value, slope = mean_over_signs(HessianTracePenalty(model, loss, of="hessian"), x, y, size, monkeypatch)
    assert value.item() == pytest.approx(exact.item(), rel=1e-11)
    assert slope.numpy() == pytest.approx(gradient(exact, model).numpy(), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("of", "probe"), [("gauss_newton", "vjp"), ("gauss_newton", "per_example"), ("hessian", "vjp")]
)
def test_the_gradient_is_that_of_the_value(of, probe):
    """Against finite differences, with one probe held fixed."""
    model, x = seeded(conv), randn(N, 4, seed=1)
    values = [p.detach().clone().requires_grad_() for p in model.parameters()]

    def value(*parameters):
        penalty = HessianTracePenalty(model, nn.CrossEntropyLoss(), of=of, probe=probe, probes=2, seed=3)
        with torch.no_grad():
            for p, q in zip(model.parameters(), parameters, strict=True):
                p.copy_(q)
        return penalty(x, LABELS)

    numbers = []
    for k, v in enumerate(values):
        for j in range(min(v.numel(), 3)):
            moved = [[u.detach().clone() for u in values] for _ in range(2)]
            for side, step in zip(moved, (1e-5, -1e-5), strict=True):
                side[k].view(-1)[j] += step
            numbers.append((value(*moved[0]).item() - value(*moved[1]).item()) / 2e-5)
    gradients = torch.autograd.grad(value(*values), list(model.parameters()), allow_unused=True)
    slopes = [
        0.0 if g is None else g.flatten()[j].item()
        for g, v in zip(gradients, values, strict=True)
        for j in range(min(v.numel(), 3))
    ]
    assert slopes == pytest.approx(numbers, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_closed_forms_of_factored_models(name, monkeypatch):
    """Every family: the mean is the core's Gauss-Newton trace, the gradient the core's by central differences."""
    problem = MODELS[name]
    model = fm.nn.FactoredModel(problem, 3, seed=1, scale=0.7)
    x, y = torch.arange(problem.measurement.size), torch.from_numpy(problem.data)
    penalty = HessianTracePenalty(model, nn.MSELoss())
    value, slope = mean_over_signs(penalty, x, y, len(x), monkeypatch)
    assert value.item() == pytest.approx(model.flatness().gauss_newton_trace, rel=1e-10)
    parameters = list(model.parameters())
    numbers = []
    for p in parameters:
        for j in range(p.numel()):
            sides = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    p.view(-1)[j] += step
                    sides.append(model.flatness().gauss_newton_trace)
                    p.view(-1)[j] -= step
            numbers.append((sides[0] - sides[1]) / 2e-5)
    assert slope.numpy() == pytest.approx(np.array(numbers), rel=1e-6, abs=1e-6)


def test_the_trace_of_the_function_of_the_batch(monkeypatch):
    """Batch normalization: the oracle sees the same coupled outputs; the objective moves statistics once."""
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, C)))
    exact = dense_trace(model, F.cross_entropy, BATCH, LABELS)
    penalty = make(model)
    value, slope = mean_over_signs(penalty, BATCH, LABELS, N * C, monkeypatch)
    assert value.item() == pytest.approx(exact.item(), rel=1e-12)
    assert slope.numpy() == pytest.approx(gradient(exact, model).numpy(), rel=1e-9, abs=1e-12)
    monkeypatch.undo()
    counted = int(model[1].num_batches_tracked)
    penalty.objective(BATCH, LABELS)
    assert int(model[1].num_batches_tracked) == counted + 1


def test_the_default_takes_the_cheaper_probe():
    x, y = torch.randn(6, 1, 5, 5), torch.randint(3, (6,))
    convolve = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3))
    connect = nn.Sequential(nn.Flatten(), nn.Linear(25, 4), nn.ReLU(), nn.Linear(4, 3))
    for model, cheaper, other in ((convolve, "vjp", "per_example"), (connect, "per_example", "vjp")):
        values = {
            probe: HessianTracePenalty(model, nn.CrossEntropyLoss(), probe=probe, seed=0)(x, y).item()
            for probe in ("auto", cheaper, other)
        }
        assert values["auto"] == pytest.approx(values[cheaper], rel=1e-5)
        assert values["auto"] != pytest.approx(values[other], rel=1e-2)


class Tied(nn.Module):
    """A network that uses the weight, bias or gain of a layer a second time, where no layer sees it."""

    def __init__(self, way):
        super().__init__()
        self.way, self.gate = way, 1.0
        self.first, self.norm, self.last = nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, C)
        nn.init.normal_(self.norm.weight)

    def forward(self, x):
        h = torch.tanh(self.norm(self.first(x)))
        second = {
            "transposed": lambda: h @ self.first.weight,
            "same": lambda: F.linear(h, self.first.weight, self.first.bias),
            "bias": lambda: h + self.first.bias,
            "gain": lambda: h * self.norm.weight,
        }[self.way]()
        return self.last(h + self.gate * second)


@pytest.mark.parametrize("probe", ["auto", "vjp"])
@pytest.mark.parametrize("n", [1, 2, N])
@pytest.mark.parametrize("way", ["transposed", "same", "bias", "gain"])
def test_tied_weights_are_unbiased_in_batches_of_every_size(way, n, probe, monkeypatch):
    """A batch of one example as well: the gradient of both uses together is squared."""
    model = seeded(lambda: Tied(way))
    x, y = randn(n, 4, seed=1), torch.arange(n) % C
    exact = dense_trace(model, nn.CrossEntropyLoss(), x, y)
    penalty = HessianTracePenalty(model, nn.CrossEntropyLoss(), probe=probe)
    value, slope = mean_over_signs(penalty, x, y, n * C, monkeypatch)
    assert value.item() == pytest.approx(exact.item(), rel=1e-12)
    assert slope.numpy() == pytest.approx(gradient(exact, model).numpy(), rel=1e-9, abs=1e-12)
    with pytest.raises(fm.InputError, match=r"a parameter is also used outside its layer.*use probe='vjp'"):
        HessianTracePenalty(model, nn.CrossEntropyLoss(), probe="per_example")(x, y)


def test_a_second_use_that_begins_later_is_noticed_at_once():
    model = seeded(lambda: Tied("transposed"))
    model.gate = 0.0
    x, y = randn(1, 4, seed=1), torch.zeros(1, dtype=torch.long)
    penalty, other = (HessianTracePenalty(model, nn.CrossEntropyLoss(), probe=p, seed=0) for p in ("auto", "vjp"))
    for gate in (0.0, 0.0, 0.0, 1.0):
        model.gate = gate
        assert torch.equal(penalty(x, y), other(x, y))


@pytest.mark.parametrize("n", [1, 3])
def test_a_hook_that_changes_a_layer_is_noticed(n):
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, C)))
    model[0].register_forward_hook(lambda layer, args, output: 3 * output * output.sum())
    x, y = randn(n, 4, seed=1), torch.arange(n) % C
    penalty, other = (HessianTracePenalty(model, nn.CrossEntropyLoss(), probe=p, seed=0) for p in ("auto", "vjp"))
    assert penalty(x, y).item() == pytest.approx(other(x, y).item(), rel=1e-12)


def test_bad_batches_are_one_sentence():
    model, x = seeded(NETWORKS["mlp"]), randn(N, 4, seed=1)
    penalty, nan = HessianTracePenalty(model, nn.CrossEntropyLoss(), seed=0), torch.full((N, 4), torch.nan).double()
    tokens, y, whole = {"x": x}, randn(N, C), HessianTracePenalty(model, nn.MSELoss(), of="hessian")
    for call, sentence in (
        (lambda: penalty(x), r"the targets are missing, expected a batch \(x, y\)"),
        (lambda: penalty([tokens]), "the targets are missing"),
        (lambda: penalty(tokens), "a batch has x, expected 'labels'"),
        (lambda: penalty(x[:0], LABELS[:0]), "the batch is empty, expected at least one sample"),
        (lambda: penalty(nan, LABELS), "the batch has NaN, expected numbers"),
        (lambda: penalty.objective(x, LABELS, torch.nan), "alpha is nan, expected a finite number"),
        (lambda: penalty.objective(x, LABELS, "a"), "alpha is 'a', expected a finite number"),
        (lambda: penalty.load_state_dict({}), "the state has no 'calls', expected one that"),
        (
            lambda: whole(x, y[:, :1], outputs=model(x)),
            r"the targets have shape \(6, 1\), expected that of the outputs",
        ),
        (lambda: HessianTracePenalty(model)(x, LABELS), "loss is missing, expected one, or batches that are mappings"),
    ):
        with pytest.raises(fm.InputError, match=sentence):
            call()
    half = HessianTracePenalty(seeded(NETWORKS["mlp"]).half(), nn.CrossEntropyLoss())
    with pytest.raises(fm.InputError, match=r"the parameters are float16, .* expected float32; use torch.autocast"):
        half(x.half(), LABELS)
    with torch.no_grad():
        model[0].bias.fill_(torch.nan)
    for call in (penalty, penalty.objective):
        with pytest.raises(fm.InputError, match=r"the parameter 0.bias is not finite, expected finite weights"):
            call(x, LABELS)

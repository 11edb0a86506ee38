"""Per-example SAM: each example at its own worst weights, by three routes; its bias to first order."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import close, data, gradient, mlp, norm, train


class Counting(nn.Module):
    """Refuses to be vectorized: it looks at a number."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv1d(1, 2, 2)

    def forward(self, x):
        scale = 1.0 if float(x.sum()) < 1e9 else 2.0
        return scale * self.inner(x.unsqueeze(1)).flatten(1)[:, :2]


class Tied(nn.Module):
    """Uses the weight of a layer outside of the layer too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(torch.tanh(self.layer(x) @ self.layer.weight))


class Outside(nn.Module):
    """Calls a layer once and uses its weight once more."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(3, 4), nn.Linear(3, 2)

    def forward(self, x):
        return self.last(torch.tanh(self.layer(x)) @ self.layer.weight)


def conv():
    return nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 2))


class Checkpointed(nn.Module):
    """Calls a layer again in its backward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(checkpoint(lambda x: self.first(x).tanh(), x, use_reentrant=False))


MODELS = {
    "checkpoint": Checkpointed,
    "linear": mlp,
    "conv": conv,
    "one by one": Counting,
    "tied": Tied,
    "outside": Outside,
}


def set_up(kind, rho=0.3, lr=0.0, **options):
    torch.manual_seed(0)
    model, loss = MODELS[kind]().double(), nn.MSELoss(**options)
    return model, loss, fnn.PerExampleSAM(torch.optim.SGD(model.parameters(), lr=lr), model, loss, rho, chunk=3)


def mean_over_examples(model, x, y, rho):
    """Return the mean gradient, each example's at its own worst weights, one after the other."""
    loss, found = nn.MSELoss(), []
    for i in range(len(x)):
        plain = gradient(model, loss, x[i : i + 1], y[i : i + 1])
        found.append(gradient(model, loss, x[i : i + 1], y[i : i + 1], [rho * g / norm(plain) for g in plain]))
    return [torch.stack(of_one).mean(0) for of_one in zip(*found, strict=True)]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("scale", [None, 64.0])
def test_it_is_the_mean_of_the_gradients_of_each_example_at_its_own_worst_weights(kind, scale):
    (x, y), *_ = data(1, 7)
    model, loss, optimizer = set_up(kind)
    expected = mean_over_examples(model, x, y, 0.3)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    for _ in range(2):  # the first step looks for the route
        optimizer.zero_grad()
        scaler.scale(loss(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()
        assert close([p.grad for p in model.parameters()], expected)
    assert optimizer._linear is (kind == "linear")
    assert optimizer._vectorizes is (kind not in ("one by one", "checkpoint"))
    assert not close([p.grad for p in model.parameters()], gradient(model, loss, x, y), rtol=1e-3)


def test_batch_of_one_is_sam_and_a_sum_is_so_many_means():
    (x, y), *_ = data(1)
    results = []
    for kind in (fnn.SAM, fnn.PerExampleSAM):
        model, loss = mlp(), nn.MSELoss()
        results.append(
            train(model, loss, kind(torch.optim.SGD(model.parameters(), lr=0.1), model, loss, 0.3), [(x[:1], y[:1])])
        )
    assert close(*results)
    model, loss, optimizer = set_up("linear", reduction="sum")
    train(model, loss, optimizer, [(x, y)])
    summed = [p.grad for p in model.parameters()]
    model, loss, optimizer = set_up("linear")
    train(model, loss, optimizer, [(x, y)])
    assert close(summed, [2 * len(x) * p.grad for p in model.parameters()])


@pytest.mark.parametrize("chosen", [["0.bias", "4.weight"], ["4.bias"]])
def test_weights_of_others_do_not_move(chosen):
    (x, y), *_ = data(1)
    found = []
    for linear in (None, False):
        model, loss = mlp(), nn.MSELoss()
        trained = [p for name, p in model.named_parameters() if name in chosen]
        optimizer = fnn.PerExampleSAM(torch.optim.SGD(trained, lr=0.1), model, loss, 0.3)
        optimizer._linear = linear
        train(model, loss, optimizer, [(x, y)])
        found.append([p.grad for p in trained])
    assert close(*found)


def test_the_dropout_mask_of_a_perceptron_is_that_of_the_loop():
    (x, y), *_ = data(1)
    model, loss = mlp(dropout=0.5), nn.MSELoss()
    optimizer = fnn.PerExampleSAM(torch.optim.SGD(model.parameters(), lr=0.0), model, loss, rho=0.0)
    loss(model(x), y).backward()
    plain = [p.grad.clone() for p in model.parameters()]
    optimizer.step()
    assert optimizer._linear
    assert close(plain, [p.grad for p in model.parameters()])


def test_to_first_order_it_descends_on_the_mean_length_of_gradients():
    """``E g_i(w + ρ g_i/|g_i|) = ∇f + ρ ∇ E|g_i| + O(ρ²)``, of which half is left when ρ is."""
    (x, y), *_ = data(1, 6)
    model, loss = mlp(), nn.MSELoss()
    plain = gradient(model, loss, x, y)
    lengths = []
    for i in range(len(x)):
        value = loss(model(x[i : i + 1]), y[i : i + 1])
        g = torch.autograd.grad(value, list(model.parameters()), create_graph=True)
        lengths.append(norm(g))
    bias = torch.autograd.grad(torch.stack(lengths).mean(), list(model.parameters()))
    errors = []
    for rho in (1e-2, 5e-3):
        optimizer = fnn.PerExampleSAM(torch.optim.SGD(model.parameters(), lr=0.0), model, loss, rho)
        train(model, loss, optimizer, [(x, y)])
        slope = [(p.grad - g) / rho for p, g in zip(model.parameters(), plain, strict=True)]
        errors.append(float(norm([s - b for s, b in zip(slope, bias, strict=True)]) / norm(bias)))
    assert errors[0] < 0.05
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.1)
    optimizer = fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.0), model, loss, 1e-2)
    train(model, loss, optimizer, [(x, y)])
    slope = [(p.grad - g) / 1e-2 for p, g in zip(model.parameters(), plain, strict=True)]
    assert norm([s - b for s, b in zip(slope, bias, strict=True)]) > 0.2 * norm(bias), "SAM of the batch has another"


def test_at_a_fit_it_drifts_down_the_trace_along_the_other_fits():
    """Of examples off by ±0 it is ``(ρ²/2) ∇ tr H`` (Wen, Ma, Li 2022) but for what leads off the set of fits."""
    (x, _), *_ = data(1, 3)
    torch.manual_seed(0)
    model, loss, rho = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1)).double(), nn.MSELoss(), 1e-3
    weights = list(model.parameters())
    target = model(x).detach()
    optimizer = fnn.PerExampleSAM(torch.optim.SGD(weights, lr=0.0), model, loss, rho)
    train(model, loss, optimizer, [(torch.cat([x, x]), torch.cat([target + 1e-9, target - 1e-9]))])
    drift = torch.cat([p.grad.ravel() for p in weights]) / rho**2

    rows = [torch.autograd.grad(out, weights, create_graph=True) for out in model(x).ravel()]
    J = torch.stack([torch.cat([g.ravel() for g in row]) for row in rows])
    trace = 2 * (J**2).sum(1).mean()
    slope = torch.autograd.grad(trace, weights, allow_unused=True, materialize_grads=True)
    expected = torch.cat([g.ravel() for g in slope]) / 2
    along = torch.eye(J.shape[1]).double() - torch.linalg.pinv(J.detach()) @ J.detach()
    assert (along @ expected).norm() > 0.1
    assert (along @ (drift - expected)).norm() < 1e-3 * (along @ expected).norm()


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 1.0])),
        nn.CrossEntropyLoss(ignore_index=0),
    ],
)
def test_losses_that_are_no_mean_of_examples_are_refused(loss):
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = fnn.PerExampleSAM(torch.optim.SGD(model.parameters(), lr=0.1), model, loss)
    with pytest.raises(InputError, match="without class weights"):
        train(model, loss, optimizer, [(torch.randn(9, 4), torch.arange(9) % 3)])


def test_what_else_is_refused():
    model = mlp()
    base = torch.optim.SGD([*model.parameters(), nn.Parameter(torch.ones(2))], lr=0.1)
    with pytest.raises(InputError, match="outside the model"):
        fnn.PerExampleSAM(base, model, nn.MSELoss())
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(InputError, match="reduction"):
        fnn.PerExampleSAM(base, model, nn.MSELoss(reduction="none"))
    with pytest.raises(InputError, match="chunk is 0"):
        fnn.PerExampleSAM(base, model, nn.MSELoss(), chunk=0)
    loss = nn.MSELoss()
    optimizer = fnn.PerExampleSAM(base, model, loss)
    x, _ = data(1)[0]
    loss(model(x), model(2 * x)).backward()
    with pytest.raises(InputError, match="not a scalar of one pass of the model"):
        optimizer.step()


class Guarded(nn.Module):
    """A model that raises an error for single examples, as vmap makes them."""

    def __init__(self, error):
        super().__init__()
        self.inner, self.error = conv(), error

    def forward(self, x):
        if torch._C._functorch.maybe_current_level() is not None:
            raise self.error("not under vmap")
        return self.inner(x)


@pytest.mark.parametrize("error", [NotImplementedError, AssertionError, ZeroDivisionError])
def test_only_what_vmap_refuses_is_taken_one_by_one(error, caplog):
    (x, y), *_ = data(1, 7)
    model, loss = Guarded(error).double(), nn.MSELoss()
    optimizer = fnn.PerExampleSAM(torch.optim.SGD(model.parameters(), lr=0.0), model, loss, 0.3)
    expected = mean_over_examples(model, x, y, 0.3)
    optimizer.zero_grad()
    loss(model(x), y).backward()
    if error is NotImplementedError:
        with caplog.at_level("INFO", "flatmin.nn"):
            optimizer.step()
        assert [record.getMessage().endswith("not under vmap") for record in caplog.records] == [True]
        assert close([p.grad for p in model.parameters()], expected)
    else:
        with pytest.raises(error, match="not under vmap"):
            optimizer.step()

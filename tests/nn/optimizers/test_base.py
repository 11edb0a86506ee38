"""What can be wrapped: every optimizer of torch, other wrappers, and what is refused."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

import flatmin.nn as fnn
from flatmin.errors import InputError
from tests.nn.optimizers.training import BASES, WRAPPERS, bits, close, data, mlp, same, set_up, train, wrappers


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
    expected = train(*(m := set_up("SAM"))[:2], m[2], [(x, y + noise)])
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


def test_groups_names_and_hooks():
    model, loss, optimizer = set_up("SAM")
    extra = nn.Linear(6, 2).double()
    model.append(nn.Identity())
    optimizer.add_param_group({"params": [*extra.parameters()], "lr": 0.5})
    assert [group["lr"] for group in optimizer.base.param_groups] == [0.05, 0.5]
    assert "SAM" in repr(optimizer)
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    train(model, loss, optimizer, data(1))
    assert seen == ["before", "after"]


@wrappers
def test_each_group_has_its_own_learning_rate(wrapper):
    model, loss = mlp(), nn.MSELoss()
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[4].parameters(), "lr": 0.1}]
    optimizer = WRAPPERS[wrapper](torch.optim.SGD(groups, lr=1.0), model, loss)
    before = bits(model)
    after = train(model, loss, optimizer, data(1))
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False, False]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("wrapper", sorted(WRAPPERS.keys() - {"TwoPoint"}))  # its directions are no gradient
def test_an_optimizer_that_asks_for_a_closure_works_within_every_wrapper(wrapper):
    model, loss = mlp(), nn.MSELoss()
    base = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=5)
    optimizer = WRAPPERS[wrapper](base, model, loss)
    (x, y), *_ = data(1)
    with torch.no_grad():
        first = loss(model(x), y)

    def closure():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        return value

    for _ in range(10):
        optimizer.step(closure)
    with torch.no_grad():
        assert loss(model(x), y) < 0.9 * first


@pytest.fixture
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_distributed_models_are_trained_or_refused(wrapper, one_process):
    model, loss = mlp(), nn.MSELoss()
    called = nn.parallel.DistributedDataParallel(model)
    base = torch.optim.SGD(model.parameters(), lr=0.1)
    if wrapper in ("PerExampleSAM", "TwoPoint"):
        with pytest.raises(InputError, match="the examples of one process"):
            WRAPPERS[wrapper](base, called, loss)
        return
    found = train(called, loss, WRAPPERS[wrapper](base, called, loss), data(2))
    other = mlp()
    plain = WRAPPERS[wrapper](torch.optim.SGD(other.parameters(), lr=0.1), other, loss)
    assert close(found, train(other, loss, plain, data(2)))


def test_what_is_wrapped_is_named():
    model, loss = mlp(), nn.MSELoss()
    with pytest.raises(InputError, match="base of SAM is a float, expected an optimizer of torch"):
        fnn.SAM(0.1, model, loss)
    with pytest.raises(InputError, match="model of SAM is a str, expected a torch"):
        fnn.SAM(torch.optim.SGD(model.parameters(), lr=0.1), "model", loss)

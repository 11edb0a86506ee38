"""Curvature: modes, dropout, shuffling and chosen parameters; unusable data, losses and models; all measurements."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatmin as fm
from flatmin.nn import Curvature
from tests.nn.networks import batch_norm, classes, conv, dense, inputs, matrix, mlp, pieces, same, values


@pytest.mark.parametrize("make", [batch_norm, conv])
def test_batch_norm_in_every_mode(make):
    model, loss, x, y = make(), nn.CrossEntropyLoss(), inputs(), classes()
    test, train = (dense(model, loss, x, y, train) for train in (False, True))
    assert (test - train).abs().max() > 0.1 * test.abs().max()
    for training in (False, True):
        model.train(training)
        same(matrix(model, loss, (x, y)), test)
        same(matrix(model, loss, (x, y), mode="train"), train, 1e-11)
        same(matrix(model, loss, (x, y), mode="as_is"), train if training else test, 1e-11)
    halves = sum(len(b) / 17 * dense(model, loss, a, b, True) for a, b in pieces(x, y, 9, 8))
    same(matrix(model, loss, pieces(x, y, 9, 8), mode="train"), halves, 1e-11)


def test_a_layer_that_stays_frozen_in_training_does():
    model, x, y = batch_norm(), inputs(), classes()
    model.train()
    model[1].eval()
    same(matrix(model, nn.CrossEntropyLoss(), (x, y), mode="as_is"), dense(batch_norm(), nn.CrossEntropyLoss(), x, y))
    assert model.training
    assert not model[1].training


def test_dropout_has_one_mask():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 1)).double()
    loader = DataLoader(TensorDataset(inputs(), values(c=1)), batch_size=5, shuffle=True)
    C = Curvature(model, nn.MSELoss(), loader, mode="train")
    H = C @ torch.eye(C.shape[0]).double()
    same(H, H.T, 1e-12)
    same(torch.stack([C @ e for e in torch.eye(C.shape[0]).double()], 1), H)
    without = matrix(model, nn.MSELoss(), loader)
    assert (H - without).abs().max() > 1e-2 * without.abs().max()


@pytest.mark.parametrize("generator", [None, 7])
def test_shuffling_does_not_matter(generator):
    drawn = generator and torch.Generator().manual_seed(generator)
    model, x, y = mlp(), inputs(), classes()
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True, generator=drawn)
    state = drawn and drawn.get_state()
    C = Curvature(model, nn.CrossEntropyLoss(), loader)
    v = torch.randn(C.shape[0], dtype=torch.float64)
    assert torch.equal(C @ v, C @ v)
    same(C @ v, dense(model, nn.CrossEntropyLoss(), x, y) @ v)
    assert C.products == 3
    if generator:
        assert torch.equal(state, drawn.get_state())


class Poisoned(nn.Module):
    """Fails after a while, in the middle of an evaluation."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = batch_norm(), 0
        self.drop = nn.Dropout()

    def forward(self, x):
        self.calls += 1
        if self.calls > 4:  # two to see whether it repeats itself, one for each batch
            raise RuntimeError("out of luck\nand lines")
        return self.drop(self.inner(x))


@pytest.mark.parametrize("mode", ["eval", "train", "as_is"])
@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
def test_nothing_is_touched(mode, of):
    model, x, y = Poisoned(), inputs(), classes()
    model.inner[1].eval()
    model.inner[0].bias.requires_grad_(False)
    nn.CrossEntropyLoss()(model(x), y).backward()
    model.calls = 0
    loader = DataLoader(TensorDataset(x, y), batch_size=9, shuffle=True)
    C = Curvature(model, nn.CrossEntropyLoss(), loader, of=of, mode=mode)

    def state():
        grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        flags = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
        return copy.deepcopy(model.state_dict()), grads, flags, torch.get_rng_state(), torch.is_grad_enabled()

    def unchanged(before, after):
        assert all(torch.equal(a, b) for a, b in zip(before[0].values(), after[0].values(), strict=True))
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(before[1], after[1], strict=True))
        assert before[2] == after[2]
        assert torch.equal(before[3], after[3])
        assert before[4] == after[4]

    before = state()
    V = torch.ones(C.shape[0], 2, dtype=torch.float64)
    with torch.no_grad():
        C @ V
    unchanged(before, state())
    with pytest.raises(fm.InputError, match=r"batch 0: the model or loss raised RuntimeError \(out of luck and l"):
        C @ V
    unchanged(before, state())


def test_frozen_tied_and_unused_parameters():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight
            self.unused, self.c = nn.Linear(2, 2), nn.Linear(4, 3)
            self.a.bias.requires_grad_(False)

        def forward(self, x):
            return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))

    model, x, y = Odd().double(), inputs(), classes()
    H = dense(model, nn.CrossEntropyLoss(), x, y)
    C = Curvature(model, nn.CrossEntropyLoss(), (x, y))
    assert C.weights.names == ["a.weight", "b.bias", "unused.weight", "unused.bias", "c.weight", "c.bias"]
    same(C @ torch.eye(C.shape[0]).double(), H)
    some = Curvature(model, nn.CrossEntropyLoss(), (x, y), parameters=["b.weight", model.c.bias])
    rows = torch.cat([torch.arange(16), torch.arange(len(H) - 3, len(H))])
    same(some @ torch.eye(19).double(), H[rows][:, rows])
    assert matrix(model, nn.MSELoss(), (x, values()), parameters=["unused.bias"], of="hessian").abs().max() == 0


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.complex64])
def test_types_without_enough_digits_are_refused(kind):
    with pytest.raises(fm.InputError, match=f"dtype {kind}.*expected"):
        Curvature(mlp(torch.float32).to(kind), nn.MSELoss(), (inputs(), values()))


def test_autocast_has_no_say():
    data = inputs().float(), classes()
    H = matrix(mlp(torch.float32), nn.CrossEntropyLoss(), data)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(matrix(mlp(torch.float32), nn.CrossEntropyLoss(), data), H)


class Noisy(nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.inner, self.generator = mlp(), generator

    def forward(self, x):
        return self.inner(x + torch.randn(x.shape, generator=self.generator, dtype=x.dtype))


def test_noise_is_repeated_or_refused():
    C = Curvature(Noisy(None), nn.MSELoss(), (inputs(), values()))
    v = torch.ones(C.shape[0], dtype=torch.float64)
    assert torch.equal(C @ v, C @ v)
    with pytest.raises(fm.InputError, match="batch 0: the model gives different outputs when it is called again"):
        Curvature(Noisy(torch.Generator()), nn.MSELoss(), (inputs(), values())) @ v


def test_other_arguments():
    data = (inputs(), values())
    frozen = mlp().requires_grad_(False)
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3).double())
    lazy = nn.LazyLinear(3)
    for model, message in ((abs, "expected a torch"), (frozen, "no trainable"), (mixed, "dtype"), (lazy, "no shape")):
        with pytest.raises(fm.InputError, match=message):
            Curvature(model, nn.MSELoss(), data)
    wrong = {"of": "fisher", "mode": "test", "distributed": True, "parameters": ["nothing"]}
    for key, value in wrong.items():
        with pytest.raises(fm.InputError, match=key):
            Curvature(mlp(), nn.MSELoss(), data, **{key: value})
    C = Curvature(mlp(), nn.MSELoss(), data)
    for V in (torch.ones(3), torch.ones(43, 1, 1), torch.ones(43, dtype=torch.cdouble), 1.0):
        with pytest.raises(fm.InputError, match="vectors are"):
            C @ V
    with pytest.raises(fm.InputError, match="not finite"):
        C @ torch.full((43,), torch.inf, dtype=torch.float64)


MEASUREMENTS = (
    (fm.nn.hessian_trace, {"groups": "module"}),
    (fm.nn.largest_eigenvalue, {}),
    (fm.nn.spectral_density, {"probes": 3, "steps": 6}),
    (fm.nn.relative_flatness, {}),
    (fm.nn.normalized_trace, {"per": "weight"}),
    (fm.nn.rescaling, {"alphas": [2.0]}),
)


def test_one_curvature_serves_every_measurement():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    loss, data = nn.CrossEntropyLoss(), (inputs(), classes())
    for of in ("hessian", "gauss_newton"):
        C = Curvature(model, loss, data, of=of)
        for measure, settings in MEASUREMENTS:
            assert repr(measure(C, **settings)) == repr(measure(model, loss, data, of=of, **settings))
    assert fm.nn.hessian_trace(C).of == "gauss_newton"


def test_a_curvature_of_some_parameters_is_measured_as_it_is():
    C = Curvature(mlp(), nn.CrossEntropyLoss(), (inputs(), classes()), parameters=["2.weight", "2.bias"])
    block = dense(mlp(), nn.CrossEntropyLoss(), inputs(), classes())[25:, 25:]
    trace = fm.nn.hessian_trace(C, groups="parameter")
    assert trace.value == pytest.approx(block.trace().item(), rel=1e-12)
    assert list(trace.groups) == ["2.weight", "2.bias"]
    assert list(fm.nn.relative_flatness(C).groups) == ["2.weight"]
    with pytest.raises(fm.InputError, match=r"layers has '0.weight', expected names among 2.weight, 2.bias"):
        fm.nn.normalized_trace(C, layers=["0.weight"])


@pytest.mark.parametrize("measure", [measure for measure, _ in MEASUREMENTS])
def test_a_curvature_takes_the_place_of_all_its_arguments(measure):
    model, loss, data = mlp(), nn.CrossEntropyLoss(), (inputs(), classes())
    C = Curvature(model, loss, data)
    for name, given in {"loss": {"loss": loss}, "data": {"data": data}, "mode": {"mode": "train"}}.items():
        with pytest.raises(fm.InputError, match=f"{name} was given with a Curvature"):
            measure(C, **given)
    with pytest.raises(fm.InputError, match="loss is missing"):
        measure(model)
    with pytest.raises(fm.InputError, match="data is missing"):
        measure(model, loss)
    with pytest.raises(fm.InputError, match="of is 'fisher'"):
        measure(model, loss, data, of="fisher")
    with pytest.raises(fm.InputError, match=f"{measure.__name__} has no option 'strength', expected one of model"):
        measure(model, loss, data, strength=1)


@pytest.mark.parametrize("error", [AssertionError, ZeroDivisionError, MemoryError])
def test_an_error_that_is_no_failure_to_evaluate_passes_through(error):
    class Broken(nn.Linear):
        def forward(self, x):
            raise error("a mistake in the model")

    with pytest.raises(error, match="a mistake in the model"):
        Curvature(Broken(4, 3), nn.MSELoss(), (inputs().float(), values().float())) @ torch.ones(15)


def test_a_dense_operator_has_eigenvalues_but_no_layers():
    A = torch.diag(torch.tensor([1.0, 2.0])).double()
    assert fm.nn.largest_eigenvalue(A).value == pytest.approx(2)
    assert (fm.nn.largest_eigenvalue(A).of, fm.nn.spectral_density(A).of) == (None, None)
    with pytest.raises(fm.InputError, match="loss was given with a Tensor"):
        fm.nn.largest_eigenvalue(A, nn.MSELoss())
    with pytest.raises(fm.InputError, match="first argument is a Tensor, expected a torch"):
        fm.nn.hessian_trace(A)
    with pytest.raises(fm.InputError, match=r"model is a str, expected a torch\.nn"):
        fm.nn.spectral_density("model", nn.MSELoss(), (inputs(), values()))


class Interrupting(nn.Linear):
    """A layer that ends some call of its forward pass with an interrupt or an error."""

    def __init__(self, calls, error):
        super().__init__(4, 3, dtype=torch.float64)
        self.calls, self.error = calls, error

    def forward(self, x):
        self.calls -= 1
        if not self.calls:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize("calls", [1, 3, 5])
@pytest.mark.parametrize("error", [KeyboardInterrupt, fm.InputError("no")], ids=["interrupt", "error"])
def test_an_interrupt_or_error_restores_model_and_random_state_at_once(calls, error):
    """Also while the traceback, which holds all frames, is kept, as in a notebook."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), Interrupting(calls, error)).double()
    loader = DataLoader(
        TensorDataset(inputs(), classes()), batch_size=6, shuffle=True, generator=torch.Generator().manual_seed(1)
    )
    state, order, weights = torch.get_rng_state(), loader.generator.get_state(), copy.deepcopy(model.state_dict())
    with pytest.raises((KeyboardInterrupt, fm.InputError)) as kept:
        Curvature(model, nn.CrossEntropyLoss(), loader) @ torch.ones(23, dtype=torch.float64)
    assert model.training
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(loader.generator.get_state(), order)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), weights.values(), strict=True))
    assert kept.tb is not None

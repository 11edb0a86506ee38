"""Dinh's rescaling on models of users: the same outputs, the predicted sharpness, and models that have none."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatmin as fm
from flatmin.errors import InputError
from flatmin.nn import rescaling
from tests.nn.networks import classes, inputs, mlp, values

CROSS, SQUARED = nn.CrossEntropyLoss(), nn.MSELoss()


class Square(nn.Module):
    """The quadratic activation."""

    def forward(self, x):
        return x**2


class Block(nn.Module):
    """A network that is no Sequential, and whose layers are defined in another order than they are used."""

    def __init__(self):
        super().__init__()
        self.last, self.first = nn.Linear(6, 3), nn.Linear(4, 6)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


def seeded(make):
    torch.manual_seed(0)
    return make().double()


def images():
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Sequential(nn.Conv2d(1, 5, 2, padding=1), nn.LeakyReLU(), nn.MaxPool2d(2, 1)),
        nn.Conv2d(5, 4, 2, bias=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def normed():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    model(inputs().float() + 1)
    return model


MODELS = {
    "relu": (lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), ("0", "2"), 1),
    "no biases": (lambda: nn.Sequential(nn.Linear(4, 6, False), nn.ReLU(), nn.Linear(6, 3, False)), ("0", "2"), 1),
    "linear": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), ("0", "1"), 1),
    "quadratic": (lambda: nn.Sequential(nn.Linear(4, 6), Square(), nn.Linear(6, 3)), ("0", "2"), 2),
    "convolutions": (images, ("1.0", "2"), 1),
    "prelu": (lambda: nn.Sequential(nn.Linear(4, 6), nn.PReLU(), nn.Dropout(), nn.Linear(6, 3)), ("0", "3"), 1),
    "tanh first": (
        lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)),
        ("2", "4"),
        1,
    ),
    "batch norm": (normed, ("1", "3"), 1),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("name", MODELS)
def test_sharpness_follows_the_formula_and_the_other_measures_stay(name, of):
    make, pair, degree = MODELS[name]
    model, data = seeded(make), (inputs(), classes())
    shown = rescaling(model, CROSS, data, of=of, alphas=[1, 4, 1 / 8], method="exact")
    assert (shown.pair, shown.degree, shown.of) == (pair, degree, of)
    groups = fm.nn.hessian_trace(model, CROSS, data, of=of, groups="parameter", method="exact").groups
    first = sum(g.value for n, g in groups.items() if n.rpartition(".")[0] == pair[0])
    second = groups[f"{pair[1]}.weight"].value
    rest = sum(g.value for g in groups.values()) - first - second
    for point in shown.points:
        assert point.function_change < 1e-14
        alpha = point.alpha
        assert point.trace.value == pytest.approx(first / alpha**2 + second * alpha ** (2 * degree) + rest, rel=1e-6)
        assert point.largest.lower <= point.largest.upper
        for measure in ("relative", "normalized"):
            assert getattr(point, measure).value == pytest.approx(getattr(shown.points[0], measure).value, rel=1e-6)
    assert max(shown.values("trace")) > 2 * min(shown.values("trace"))
    assert max(shown.values("largest")) > 2 * min(shown.values("largest"))


def test_batches_estimates_and_single_precision():
    model, x, y = seeded(MODELS["relu"][0]).float(), inputs(40).float(), classes(40)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    shown = rescaling(model, CROSS, loader, alphas=[1, 100], method="hutch++", max_products=20, of="gauss_newton")
    assert shown.points[0].function_change == 0
    assert 0 < shown.points[1].function_change < 1e-5
    one, two = shown.values("relative")
    assert two == pytest.approx(one, rel=1e-3)
    assert shown.points[1].trace.value > 50 * shown.points[0].trace.value
    assert " ± " in str(shown)
    assert shown.plot().containers[0].has_yerr


def test_layers_can_be_named_in_any_module_and_the_model_is_left_alone():
    model, data = seeded(Block), (inputs(), values())
    model.first.weight.requires_grad_(False)
    state, before = torch.get_rng_state(), copy.deepcopy(model.state_dict())
    with pytest.raises(InputError, match="no two consecutive layers in a Sequential"):
        rescaling(model, SQUARED, data)
    shown = rescaling(model, SQUARED, data, pair=("first", "last"))
    assert [point.function_change for point in shown.points] == [0] * 5
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not model.first.weight.requires_grad


def test_batch_norm_in_training_takes_any_scale_before_it():
    model, data = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh())), (inputs(), values(c=6))
    shown = rescaling(model, SQUARED, data, mode="train", alphas=[1, 8, 64], of="gauss_newton")
    assert (shown.pair, shown.degree) == (("0", "1"), 0)
    assert 0 < shown.points[1].function_change < 1e-4
    one, two, _ = shown.values("normalized")
    assert two == pytest.approx(one, rel=1e-3)
    assert shown.values("trace")[1] < shown.values("trace")[0]
    assert int(model[1].num_batches_tracked) == 0
    with pytest.raises(InputError, match=r"at alpha = 0\.001 the outputs change by"):
        rescaling(model, SQUARED, data, mode="train", alphas=[0.001])


@pytest.mark.parametrize("activation", [nn.Tanh, nn.SiLU, nn.Softplus, nn.GELU])
def test_other_activations_are_refused(activation):
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), activation(), nn.Linear(6, 3)))
    for pair in (None, ("0", "2")):
        with pytest.raises(InputError, match=r"doubling 0 changes the outputs by .* positively homogeneous"):
            rescaling(model, CROSS, (inputs(), classes()), pair=pair)


def test_batch_norm_with_stored_statistics_between_named_layers_is_refused():
    model = seeded(MODELS["batch norm"][0])
    with pytest.raises(InputError, match="positively homogeneous"):
        rescaling(model, CROSS, (inputs(), classes()), pair=("0", "3"))


def test_layers_that_are_used_twice_are_refused():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), layer).double()
    with pytest.raises(InputError, match="positively homogeneous"):
        rescaling(model, SQUARED, (inputs(), values(c=4)), pair=("0", "2"))


def test_table_and_picture():
    model, data = seeded(MODELS["relu"][0]), (inputs(), classes())
    shown = rescaling(model, CROSS, data, alphas=[4, 1, 2])
    lines = str(shown).splitlines()
    assert len(lines) == 5
    assert len(set(map(len, lines[1:]))) == 1
    ax = shown.plot()
    assert ax.get_yscale() == "log"
    alphas, trace = ax.containers[0].lines[0].get_data()
    assert list(alphas) == [1, 2, 4]
    assert trace[0] == 1
    assert trace[2] == pytest.approx(shown.points[0].trace.value / shown.points[1].trace.value)
    with pytest.raises(InputError, match="measure is 'sharpness'"):
        shown.values("sharpness")


def test_bad_arguments_are_one_sentence():
    model, data = mlp(), (inputs(), classes())
    with pytest.raises(InputError, match="pair has '1', expected modules with weights: 0, 2"):
        rescaling(model, CROSS, data, pair=("0", "1"))
    with pytest.raises(InputError, match="pair is '02', expected the names of two modules"):
        rescaling(model, CROSS, data, pair="02")
    with pytest.raises(InputError, match="alpha is 0, expected a positive finite number"):
        rescaling(model, CROSS, data, alphas=[0])
    with pytest.raises(InputError, match=r"alphas is 2\.0, expected several positive numbers"):
        rescaling(model, CROSS, data, alphas=2.0)
    with pytest.raises(InputError, match="alphas is empty"):
        rescaling(model, CROSS, data, alphas=[])
    with pytest.raises(InputError, match="tol is nan"):
        rescaling(model, CROSS, data, tol=math.nan)
    with pytest.raises(InputError, match="the outputs of the model are not finite"):
        rescaling(model, CROSS, (inputs() * math.nan, classes()))
    model.register_buffer("made", (model[0].weight * 2).sum())
    with pytest.raises(InputError, match="the model cannot be copied"):
        rescaling(model, CROSS, data)

"""Measures that rescaling leaves alone: closed forms, dense matrices, invariance, and scalings that do change them."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import flatmin as fm
from flatmin.errors import InputError
from flatmin.nn import normalized_trace, relative_flatness
from tests.nn.networks import classes, conv, dense, dense_gauss_newton, inputs, mlp, values

SQUARED, CROSS = nn.MSELoss(), nn.CrossEntropyLoss()


def relu(bias=True):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6, bias=bias), nn.ReLU(), nn.Linear(6, 3, bias=bias)).double()


def scaled(model, factors):
    """Return a copy whose parameters are multiplied by numbers or by tensors that broadcast."""
    out = copy.deepcopy(model)
    with torch.no_grad():
        for name, factor in factors.items():
            out.get_parameter(name).mul_(factor)
    return out


def by_definition(model, H, names):
    """Return κ of each layer of linear maps, term by term as in the definition."""
    found, start = {}, 0
    for name, p in model.named_parameters():
        d, m, stop = len(p), p[0].numel(), start + p.numel()
        if name in names:
            block, W = H[start:stop, start:stop].reshape(d, m, d, m), p.detach().reshape(d, m)
            terms = [W[s] @ W[r] * block[s, :, r, :].trace() for s in range(d) for r in range(d)]
            found[name] = float(sum(terms))
        start = stop
    return found


@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("make", [mlp, relu, conv])
def test_relative_flatness_is_its_definition(make, of):
    model, x, y = make().eval(), inputs(), classes()
    H = (dense if of == "hessian" else dense_gauss_newton)(model, CROSS, x, y)
    names = [name for name, p in model.named_parameters() if p.ndim > 1]
    wanted = by_definition(model, H, names)
    found = relative_flatness(model, CROSS, (x, y), of=of, method="exact")
    assert {name: g.value for name, g in found.groups.items()} == pytest.approx(wanted, rel=1e-9)
    assert found.value == pytest.approx(sum(wanted.values()))
    assert (found.of, found.groups[names[0]].of, found.method) == (of, of, "exact")


@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
def test_normalized_traces_are_their_definitions(of):
    model, x, y = mlp(), inputs(), classes()
    H = (dense if of == "hessian" else dense_gauss_newton)(model, CROSS, x, y).diagonal()
    start, layers, weights = 0, {}, {}
    for name, p in model.named_parameters():
        part = H[start : start + p.numel()]
        start += p.numel()
        layers[name] = float(p.detach().square().sum() * part.sum())
        weights[name] = float(p.detach().reshape(-1).square() @ part)
    for per, wanted in (("layer", layers), ("weight", weights)):
        found = normalized_trace(model, CROSS, (x, y), of=of, per=per, layers=list(wanted))
        assert {name: g.value for name, g in found.groups.items()} == pytest.approx(wanted)


def test_the_closed_form_of_a_linear_map():
    model, x, y = nn.Linear(4, 3).double(), inputs(), values()
    squares = float(model.weight.detach().square().sum() * x.square().sum()) * 2 / (3 * len(x))
    assert relative_flatness(model, SQUARED, (x, y)).value == pytest.approx(squares)
    assert normalized_trace(model, SQUARED, (x, y)).value == pytest.approx(3 * squares)
    entries = 2 / (3 * len(x)) * float(model.weight.detach().square().sum(0) @ x.square().sum(0))
    assert normalized_trace(model, SQUARED, (x, y), per="weight").value == pytest.approx(entries)


def test_the_closed_form_of_the_last_layer():
    model, x, y = relu(), inputs(), values()
    found = relative_flatness(model, SQUARED, (x, y), layers="2.weight").value
    hidden = torch.relu(model[0](x)).detach()
    assert found == pytest.approx(
        2 / y.numel() * float(model[2].weight.detach().square().sum() * hidden.square().sum())
    )


MEASURES = {
    "relative": relative_flatness,
    "layer": normalized_trace,
    "weight": lambda *a, **k: normalized_trace(*a, per="weight", **k),
}
#: Rescalings of a ReLU network that keep the function, and the measures that change with them.
NEURONS = torch.tensor([1.0, 2, 4, 8, 16, 32], dtype=torch.float64)
RESCALINGS = {
    "layers": ({"0.weight": 8, "0.bias": 8, "2.weight": 1 / 8}, set()),
    "neurons": ({"0.weight": NEURONS[:, None], "0.bias": NEURONS, "2.weight": 1 / NEURONS}, {"relative", "layer"}),
}


@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("name", RESCALINGS)
@pytest.mark.parametrize("measure", MEASURES)
def test_what_rescaling_changes_and_what_it_does_not(measure, name, of):
    factors, changing = RESCALINGS[name]
    model, data = relu(), (inputs(), classes())
    other = scaled(model, factors)
    torch.testing.assert_close(other(data[0]), model(data[0]))
    before, after = (fm.nn.hessian_trace(m, CROSS, data, of=of, method="exact").value for m in (model, other))
    assert abs(after / before - 1) > 0.5
    one, two = (MEASURES[measure](m, CROSS, data, of=of, method="exact") for m in (model, other))
    if measure in changing:
        assert abs(two.value / one.value - 1) > 1e-2
    else:
        assert {n: g.value for n, g in two.groups.items()} == pytest.approx({n: g.value for n, g in one.groups.items()})


@pytest.mark.parametrize("measure", MEASURES)
def test_the_same_scaling_of_a_tanh_network_changes_the_measures(measure):
    model, data = mlp(), (inputs(), classes())
    other = scaled(model, RESCALINGS["layers"][0])
    one, two = (MEASURES[measure](m, CROSS, data, of="gauss_newton", method="exact").value for m in (model, other))
    assert abs(two / one - 1) > 0.05


def test_the_scale_before_batch_norm_is_seen_by_neither_function_nor_measures():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, eps=1e-12), nn.ReLU(), nn.Linear(6, 3)).double()
    other, data = scaled(model, {"0.weight": 4, "0.bias": 4}), (inputs(), classes())
    settings = {"of": "gauss_newton", "mode": "train", "method": "exact"}
    traces = [fm.nn.hessian_trace(m, CROSS, data, groups="parameter", **settings) for m in (model, other)]
    assert traces[1].groups["0.weight"].value == pytest.approx(traces[0].groups["0.weight"].value / 16)
    for measure in MEASURES.values():
        one, two = (measure(m, CROSS, data, **settings).value for m in (model, other))
        assert two == pytest.approx(one)


def one_filter(groups):
    torch.manual_seed(1)
    return nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Conv1d(2, 4, 1, groups=groups), nn.Flatten()).double()


def test_groups_of_a_convolution_count_as_zeros_of_a_full_one():
    grouped, full = one_filter(2), one_filter(1)
    with torch.no_grad():
        full[1].weight.zero_()
        for g in range(2):
            full[1].weight[2 * g : 2 * g + 2, g : g + 1] = grouped[1].weight[2 * g : 2 * g + 2]
        full[1].bias.copy_(grouped[1].bias)
    x, y = inputs(), values(c=8)
    H = dense(full, SQUARED, x, y)[:8, :8].reshape(4, 2, 4, 2)
    W = full[1].weight.detach().reshape(4, 2)
    wanted = sum(float(W[s] @ W[r] * H[s, s // 2, r, r // 2]) for s in range(4) for r in range(4))
    assert relative_flatness(grouped, SQUARED, (x, y)).value == pytest.approx(wanted)


def test_transposed_convolutions_and_embeddings_are_the_linear_maps_they_are():
    torch.manual_seed(2)
    transposed = nn.Sequential(nn.Unflatten(1, (4, 1)), nn.ConvTranspose1d(4, 3, 1, bias=False), nn.Flatten()).double()
    linear = nn.Linear(4, 3, bias=False).double()
    linear.weight.data = transposed[1].weight.detach()[:, :, 0].T.clone()
    x, y = inputs(), values()
    assert torch.allclose(transposed(x), linear(x))
    one, two = (relative_flatness(m, CROSS, (x, y), method="exact").value for m in (transposed, linear))
    assert one == pytest.approx(two)
    embedding, tokens = nn.Embedding(5, 3).double(), torch.arange(17) % 5
    linear = nn.Linear(5, 3, bias=False).double()
    linear.weight.data = embedding.weight.detach().T.clone()
    one_hot = nn.functional.one_hot(tokens, 5).double()
    one = relative_flatness(embedding, CROSS, (tokens, classes()), method="exact").value
    assert one == pytest.approx(relative_flatness(linear, CROSS, (one_hot, classes()), method="exact").value)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace"])
def test_estimates_cover_and_rescaling_moves_not_even_them(measure, method):
    model, data = relu(), (inputs(), classes())
    exact = MEASURES[measure](model, CROSS, data, method="exact")
    other = scaled(model, RESCALINGS["layers"][0])
    covered = 0
    for seed in range(20):
        settings = {"method": method, "max_products": 30, "seed": seed}
        one, two = (MEASURES[measure](m, CROSS, data, **settings) for m in (model, other))
        assert two.value == pytest.approx(one.value)
        assert two.interval == pytest.approx(one.interval)
        covered += one.covers(exact.value)
    assert covered >= 16


def test_a_target_is_reached_and_single_precision_and_data_loaders_will_do():
    model, x, y = relu().float(), inputs().float(), classes()
    exact = relative_flatness(model, CROSS, (x, y), method="exact").value
    batches = [(x[:5], y[:5]), (x[5:], y[5:])]
    found = relative_flatness(model, CROSS, batches, method="hutch++", target_std_error=0.05 * exact)
    assert found.std_error <= 0.05 * exact
    assert found.value == pytest.approx(exact, rel=0.25)


def test_models_are_left_alone_and_zero_weights_are_flat():
    model, data = relu(), (inputs(), classes())
    before = copy.deepcopy(model.state_dict())
    for measure in MEASURES.values():
        measure(model, CROSS, data)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    zero = scaled(model, {"0.weight": 0, "2.weight": 0})
    for measure in MEASURES.values():
        assert measure(zero, CROSS, data, method="exact").value == 0


def test_bad_arguments_are_one_sentence():
    data = inputs(), classes()
    with pytest.raises(InputError, match=r"layers has 'x', expected names among 0\.weight"):
        relative_flatness(relu(), CROSS, data, layers=["x"])
    with pytest.raises(InputError, match="layers is a int, expected names of parameters"):
        relative_flatness(relu(), CROSS, data, layers=3)
    with pytest.raises(InputError, match="per is 'neuron', expected layer or weight"):
        normalized_trace(relu(), CROSS, data, per="neuron")
    with pytest.raises(InputError, match="method is 'guess'"):
        relative_flatness(relu(), CROSS, data, method="guess")
    with pytest.raises(InputError, match="no weights with two axes"):
        normalized_trace(nn.BatchNorm1d(4).double(), CROSS, data)
    assert np.isfinite(normalized_trace(nn.BatchNorm1d(4).double(), CROSS, data, layers="weight").value)

"""Traces against closed forms of factored models and dense Hessians; groups; the choice of a method; limits."""

import pydoc
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import flatmin as fm
from flatmin.nn import Curvature, hessian_trace
from tests.nn.networks import (
    LOSSES,
    batch_norm,
    classes,
    conv,
    dense,
    dense_gauss_newton,
    inputs,
    mlp,
    pieces,
    values,
)
from tests.nn.test_factored import MODELS

DATA = (inputs(), classes())
CROSS = nn.CrossEntropyLoss()


@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("name", MODELS)
def test_every_family_has_the_trace_of_its_closed_form(name, of):
    problem = MODELS[name]
    model = fm.nn.FactoredModel(problem, 3, seed=1, scale=0.7)
    index, b = torch.arange(len(problem.data)), torch.from_numpy(problem.data)
    closed = getattr(fm.flatness(problem, model.factors()), f"{'hessian' if of == 'hessian' else 'gauss_newton'}_trace")
    for data in ((index, b), list(zip(index.split(5), b.split(5), strict=True))):
        found = hessian_trace(model, nn.MSELoss(), data, of=of, method="exact")
        assert found.value == pytest.approx(closed, rel=1e-12)
        assert (found.method, found.of, found.std_error, found.interval) == ("exact", of, 0, (found.value, found.value))
        assert found.n_products <= sum(p.numel() for p in model.parameters())


@pytest.mark.sampled(7)
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("make", [mlp, conv])
def test_exact_traces_of_every_loss(name, make):
    model, (loss, y) = make().eval(), LOSSES[name]
    x = inputs()
    H, G = dense(model, loss, x, y), dense_gauss_newton(model, loss, x, y)
    for data in ((x, y), pieces(x, y, 5, 1, 11)):
        full = hessian_trace(model, loss, data, method="exact", groups="parameter")
        part = hessian_trace(model, loss, data, of="gauss_newton", groups="parameter")
        assert full.value == pytest.approx(H.trace().item(), rel=1e-12)
        assert part.value == pytest.approx(G.trace().item(), rel=1e-12)
        assert part.method == "exact"
        # The Hessian of cross entropy vanishes along constant outputs.
        assert part.n_products == (3 if name in ("squared", "binary", "function") else 2)
        start = 0
        for key, p in model.named_parameters():
            rows = slice(start, start + p.numel())
            start += p.numel()
            assert full.groups[key].value == pytest.approx(H[rows, rows].trace().item(), rel=1e-9, abs=1e-14)
            assert part.groups[key].value == pytest.approx(G[rows, rows].trace().item(), rel=1e-9, abs=1e-14)


def test_samples_that_see_each_other_cost_a_product_for_each_parameter():
    model, n = batch_norm(), 53
    one_by_one = hessian_trace(model, CROSS, DATA, of="gauss_newton", method="exact")
    assert one_by_one.n_products == 2
    coupled = hessian_trace(model, CROSS, DATA, of="gauss_newton", method="exact", mode="train")
    assert coupled.n_products == n
    G = Curvature(model, CROSS, DATA, of="gauss_newton", mode="train") @ torch.eye(n).double()
    assert coupled.value == pytest.approx(G.trace().item(), rel=1e-12)
    assert abs(coupled.value / one_by_one.value - 1) > 0.1

    def compares(outputs, targets):
        return F.mse_loss(outputs - outputs.mean(0), targets)

    found = hessian_trace(mlp(), compares, (inputs(), values()), of="gauss_newton", method="exact")
    assert found.n_products == 43
    assert found.value == pytest.approx(dense_gauss_newton(mlp(), compares, inputs(), values()).trace().item())


@pytest.mark.parametrize(
    "groups", ["parameter", "module", {"first": ["0.weight", "0.bias"], "last": ["2.bias", "2.weight"]}]
)
@pytest.mark.parametrize("method", ["exact", "hutchinson", "hutch++", "xtrace"])
def test_groups_add_up_and_cover_their_blocks(groups, method):
    H = dense(mlp(), CROSS, *DATA)
    found = hessian_trace(mlp(), CROSS, DATA, method=method, groups=groups, max_products=60)
    assert sum(g.value for g in found.groups.values()) == pytest.approx(found.value, rel=1e-12)
    for g in found.groups.values():
        assert (g.method, g.of, g.n_products) == (method, "hessian", found.n_products)
    first = found.groups["first" if isinstance(groups, dict) else "0" if groups == "module" else "0.weight"]
    rows = 20 if groups == "parameter" else 25
    truth = H[:rows, :rows].trace().item()
    assert abs(first.value - truth) <= max(4 * first.std_error, 1e-12)
    assert (first.std_error > 0) == (method != "exact")


def test_groups_may_leave_parameters_out():
    found = hessian_trace(mlp(), CROSS, DATA, groups={"bias": "0.bias"})
    assert found.groups["bias"].value == pytest.approx(dense(mlp(), CROSS, *DATA)[20:25, 20:25].trace().item())
    loose = fm.nn.FactoredModel(MODELS["product"], 2)
    index, b = torch.arange(9), torch.from_numpy(MODELS["product"].data)
    assert list(hessian_trace(loose, nn.MSELoss(), (index, b), groups="module").groups) == ["model"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace", "auto"])
def test_a_target_is_reached_and_a_seed_is_a_seed(method):
    model, data = conv().eval(), (inputs(), values())
    truth = dense(model, nn.MSELoss(), *data).trace().item()
    found, again, other, finer = (
        hessian_trace(model, nn.MSELoss(), data, method=method, target_std_error=share * truth, seed=seed)
        for share, seed in ((0.1, 0), (0.1, 0), (0.1, 1), (0.03, 0))
    )
    assert found.std_error <= 0.1 * truth
    assert abs(found.value - truth) < 0.5 * truth
    assert again == found
    assert other.value != found.value
    assert finer.n_products > found.n_products
    assert finer.std_error <= 0.03 * truth


def test_products_are_counted_and_limited(monkeypatch):
    spent = []
    monkeypatch.setattr(Curvature, "__matmul__", _counting(spent, Curvature.__matmul__))
    for method in ("hutchinson", "hutch++", "xtrace", "auto"):
        spent.clear()
        found = hessian_trace(conv().eval(), CROSS, DATA, method=method, max_products=40)
        assert sum(spent) == found.n_products <= 40


def _counting(spent, product):
    def multiply(self, V):
        spent.append(1 if V.ndim == 1 else V.shape[1])
        return product(self, V)

    return multiply


def test_auto_is_exact_where_that_costs_no_more():
    assert hessian_trace(mlp(), CROSS, DATA).method == "exact"
    assert hessian_trace(mlp(), CROSS, DATA, max_products=42).method != "exact"
    assert hessian_trace(mlp(), CROSS, DATA, of="gauss_newton", max_products=3).method == "exact"
    large = nn.Sequential(nn.Linear(4, 40), nn.Tanh(), nn.Linear(40, 3)).double()
    assert hessian_trace(large, CROSS, DATA).n_products <= 100


WRONG = {
    "method": "lanczos",
    "max_products": 3,
    "target_std_error": -1.0,
    "groups": "layers",
    "seed": -1,
    "of": "fisher",
    "mode": "test",
}


def test_a_seed_that_no_generator_takes():
    with pytest.raises(fm.InputError, match=r"seed is .*expected a whole number"):
        hessian_trace(mlp(), CROSS, DATA, seed=2**70)


@pytest.mark.parametrize("key", WRONG)
def test_wrong_arguments(key):
    with pytest.raises(fm.InputError, match=f"{key} is"):
        hessian_trace(mlp(), CROSS, DATA, **{"method": "hutchinson", key: WRONG[key]})


@pytest.mark.parametrize("groups", [{"a": ["nothing"]}, {"a": []}, ["0.weight"], {"a": "0"}, {"a": 3}])
def test_wrong_groups(groups):
    with pytest.raises(fm.InputError, match=r"group.*expected"):
        hessian_trace(mlp(), CROSS, DATA, groups=groups)


def test_exact_needs_its_products():
    with pytest.raises(fm.InputError, match="max_products is 42, expected at least 43"):
        hessian_trace(mlp(), CROSS, DATA, method="exact", max_products=42)
    assert np.isfinite(hessian_trace(mlp(), CROSS, DATA, method="exact", max_products=43).value)


@pytest.mark.parametrize(
    "name",
    ["hessian_trace", "largest_eigenvalue", "spectral_density", "normalized_trace", "relative_flatness", "rescaling"],
)
def test_help_tells_the_options_of_a_curvature_and_their_defaults(name):
    shown = pydoc.render_doc(getattr(fm.nn, name), renderer=pydoc.plaintext).split("\n", 2)[2]
    signature = shown[: shown.index(" -> ")]  # on one line, or from Python 3.14 on a line for each option
    assert "**" not in signature
    for option, default in {"of": "'hessian'", "parameters": "None", "mode": "'eval'", "distributed": "False"}.items():
        assert re.search(rf"\b{option}: [^=]+ = {default}", signature)
    assert re.search(r"seed: '?int'? = 0", signature)

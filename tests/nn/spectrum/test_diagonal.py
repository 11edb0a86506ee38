"""Diagonals of networks against dense Hessians and Gauss-Newton matrices; intervals, methods and refusals."""

import pytest
import torch
from torch import nn

from flatmin.errors import InputError
from flatmin.nn import Curvature, hessian_diagonal
from tests.nn.networks import LOSSES, batch_norm, classes, conv, dense, dense_gauss_newton, inputs, mlp, pieces

CROSS = nn.CrossEntropyLoss()
DATA = (inputs(), classes())


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors.values()])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("make", [mlp, conv])
def test_exact_diagonals_of_every_loss(name, make):
    model, (loss, y) = make().eval(), LOSSES[name]
    wanted = {"hessian": dense(model, loss, inputs(), y), "gauss_newton": dense_gauss_newton(model, loss, inputs(), y)}
    for of, matrix in wanted.items():
        found = hessian_diagonal(model, loss, pieces(inputs(), y, 5, 12), of=of, method="exact")
        assert flat(found.values).tolist() == pytest.approx(matrix.diagonal().tolist(), rel=1e-9, abs=1e-13)
        assert (found.method, found.of, found.freedom, flat(found.std_errors).any()) == ("exact", of, None, False)
        assert {n: v.shape for n, v in found.values.items()} == {n: p.shape for n, p in model.named_parameters()}
        assert found.n_products <= (3 if of == "gauss_newton" else matrix.shape[0])


def test_gradients_of_samples_are_divided_to_fit_in_memory(monkeypatch):
    whole = hessian_diagonal(mlp(), CROSS, DATA, of="gauss_newton")
    monkeypatch.setattr("flatmin.nn.operators.output_trace._MAX_NUMBERS", 200)
    parts = hessian_diagonal(mlp(), CROSS, DATA, of="gauss_newton")
    assert flat(parts.values).tolist() == pytest.approx(flat(whole.values).tolist(), rel=1e-12)


@pytest.mark.parametrize(("of", "method"), [("hessian", "bekas"), ("gauss_newton", "diag++")])
def test_estimates_and_the_choice_of_a_method(of, method):
    curvature = Curvature(batch_norm(), CROSS, DATA, of=of, mode="train")
    truth = flat(hessian_diagonal(curvature, method="exact").values)
    found = hessian_diagonal(curvature, max_products=50, seed=1)
    assert (found.method, found.n_products) == (method, 50)
    ends = [found.interval(name, 0.9) for name in found.values]
    low, high = (torch.cat([pair[i].flatten() for pair in ends]) for i in (0, 1))
    assert ((low <= truth + 1e-12) & (truth - 1e-12 <= high)).double().mean() > 0.75
    wide, narrow = found.interval("0.bias"), found.interval("0.bias", 0.5)
    assert bool((wide[1] >= narrow[1]).all())
    assert hessian_diagonal(curvature, max_products=12).method == "bekas"


def test_chosen_parameters():
    found = hessian_diagonal(mlp(), CROSS, DATA, parameters=["2.weight"], of="gauss_newton")
    whole = hessian_diagonal(mlp(), CROSS, DATA, of="gauss_newton")
    assert list(found.values) == ["2.weight"]
    assert torch.allclose(found.values["2.weight"], whole.values["2.weight"], rtol=1e-12)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="method is 'hutchinson', expected one of auto, exact, bekas"):
        hessian_diagonal(mlp(), CROSS, DATA, method="hutchinson")
    with pytest.raises(InputError, match="max_products is 20, expected at least 43"):
        hessian_diagonal(mlp(), CROSS, DATA, method="exact", max_products=20)
    with pytest.raises(InputError, match="max_products is 7, expected at least 8"):
        hessian_diagonal(mlp(), CROSS, DATA, max_products=7)
    with pytest.raises(InputError, match=r"name is 'weight', expected one of 0\.weight"):
        hessian_diagonal(mlp(), CROSS, DATA).interval("weight")

"""Traces of adapters against dense matrices, and the flattest factors of the same function."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flatmin.errors import InputError
from flatmin.nn import Curvature, adapter_flatness, rebalance_
from flatmin.nn.adapters.fibre import flattest_move, smallest_trace
from flatmin.nn.adapters.layers import find_adapters
from tests.nn.adapters.networks import FIELDS, LOSS, check, data, dense, plain


def test_the_numbers_are_those_of_dense_matrices():
    model, _ = plain()
    before = [t.clone() for t in model.state_dict().values()]
    found = check(model, *data())
    assert found.excess.value > 0.1 * found.trace.value
    assert "all adapters" in str(found)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))


def test_the_whole_hessian_has_the_same_form():
    """Its blocks of A and of B have no derivative of the product, so traces in (A, B) follow from the matrix in W."""
    model, adapter = plain()
    one = find_adapters(model)[0]
    x, y = data()
    H = Curvature(model, LOSS, (x, y), parameters=[one.weight]) @ torch.eye(30).double()
    H = H.reshape(5, 6, 5, 6)
    B, A = adapter.B.detach(), adapter.A.detach()
    wanted = torch.trace(B.T @ torch.einsum("ijkj->ik", H) @ B) + torch.trace(A @ torch.einsum("ijil->jl", H) @ A.T)
    whole = Curvature(model, LOSS, (x, y), parameters=[adapter.A, adapter.B]) @ torch.eye(33).double()
    assert abs(float(torch.trace(whole)) / float(1.7**2 * wanted) - 1) < 1e-10


def whole_traces(model, adapter, loss, x, y):
    """Return the partial traces of the whole Hessian in A and in B, and its trace in both."""
    H = Curvature(model, loss, (x, y), parameters=[adapter.A, adapter.B]) @ torch.eye(33).double()
    in_a, in_b = H[:18, :18].reshape(3, 6, 3, 6), H[18:, 18:].reshape(5, 3, 5, 3)
    return torch.einsum("risi->rs", in_a), torch.einsum("iris->rs", in_b), float(torch.trace(H))


def moved(adapter, G):
    """Replace the factors by others of the same product."""
    with torch.no_grad():
        adapter.A.copy_(torch.linalg.solve(G, adapter.A))
        adapter.B.copy_(adapter.B @ G)


def test_the_whole_hessian_is_flattest_at_the_move_of_its_own_partial_traces():
    """Near a fit the whole Hessian has semidefinite partial traces, which are not those of the Gauss-Newton matrix."""
    model, adapter = plain()
    x, _ = data()
    generator = torch.Generator().manual_seed(3)
    y = model(x).detach() + 0.05 * torch.randn(12, 3, generator=generator, dtype=torch.float64)
    loss = nn.MSELoss()
    P, Q, trace = whole_traces(model, adapter, loss, x, y)
    assert min(torch.linalg.eigvalsh(P)[0], torch.linalg.eigvalsh(Q)[0]) > 0
    least = float(smallest_trace(P, Q))
    assert abs(adapter_flatness(model, loss, (x, y)).fibre_minimum.value / least - 1) > 1e-3
    G, inverse = flattest_move(P, Q)
    moved(adapter, G)
    first, second, found = whole_traces(model, adapter, loss, x, y)
    assert found == pytest.approx(least, rel=1e-10)
    assert torch.allclose(first, second, atol=1e-10 * least)
    for _ in range(5):  # any other factors are sharper, as near ones show to second order
        step = torch.eye(3).double() + 0.1 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
        moved(adapter, step)
        assert whole_traces(model, adapter, loss, x, y)[2] > least
        moved(adapter, torch.linalg.inv(step))
    moved(adapter, inverse)
    assert whole_traces(model, adapter, loss, x, y)[2] == pytest.approx(trace, rel=1e-10)


def test_an_indefinite_hessian_has_no_flattest_factors():
    model, adapter = plain()
    x, y = data()
    loss = nn.MSELoss()
    y = 30 * nn.functional.one_hot(y, 3).double()
    P, Q, trace = whole_traces(model, adapter, loss, x, y)
    values, vectors = torch.linalg.eigh(P)
    if values[0] >= 0:
        values, vectors = torch.linalg.eigh(Q)
    assert values[0] < 0
    traces = []
    for size in (1.0, 10.0, 100.0):
        stretch = torch.eye(3).double() + (size - 1) * torch.outer(vectors[:, 0], vectors[:, 0])
        G = stretch if torch.linalg.eigvalsh(P)[0] < 0 else torch.linalg.inv(stretch)
        moved(adapter, G)
        traces.append(whole_traces(model, adapter, loss, x, y)[2])
        moved(adapter, torch.linalg.inv(G))
    assert traces[2] < -10 * abs(trace)
    assert traces[2] < traces[1] < traces[0]


def test_one_entry_is_enough_and_stale_numbers_are_refused():
    model, adapter = plain()
    x, y = data()
    found = adapter_flatness(model, LOSS, (x, y))
    product = adapter.B.detach() @ adapter.A.detach()
    rebalance_(found.adapters["2"])
    assert torch.allclose(adapter.B @ adapter.A, product, atol=1e-13)
    with pytest.raises(InputError, match="has changed since it was measured"):
        rebalance_(found)
    with pytest.raises(InputError, match="expected a model or a result"):
        rebalance_(1)


def test_without_data_the_new_factors_have_least_norm_and_zero_factors_stay():
    model, adapter = plain()
    product = adapter.B.detach() @ adapter.A.detach()
    rebalance_(model)
    assert torch.allclose(adapter.B @ adapter.A, product, atol=1e-13)
    assert torch.allclose(adapter.B.T @ adapter.B, adapter.A @ adapter.A.T, atol=1e-12)
    nuclear = torch.linalg.matrix_norm(product, "nuc")
    assert abs(float(adapter.B.detach().square().sum() / nuclear) - 1) < 1e-12
    nn.init.zeros_(adapter.B)
    before = adapter.A.detach().clone()
    rebalance_(adapter_flatness(model, LOSS, data()))
    assert torch.equal(adapter.A, before)
    assert not adapter.B.any()


def test_single_precision_keeps_the_function_to_rounding():
    model, _ = plain()
    model.float()
    x, y = data()
    with torch.no_grad():
        before = model(x.float())
        rebalance_(adapter_flatness(model, LOSS, (x.float(), y)))
        assert torch.allclose(model(x.float()), before, atol=1e-5)


def test_probes_cover_the_exact_numbers_and_batches_add_up():
    model, _ = plain()
    x, y = data(40)
    exact = adapter_flatness(model, LOSS, (x, y))
    loader = DataLoader(TensorDataset(x, y), batch_size=16)
    found = adapter_flatness(model, LOSS, loader, method="hutchinson", max_products=80, seed=1)
    again = adapter_flatness(model, LOSS, loader)
    for field in FIELDS:
        one, other, third = (getattr(result, field) for result in (exact, found, again))
        assert other.covers(one.value), field
        assert abs(other.value / one.value - 1) < 0.4
        assert abs(third.value / one.value - 1) < 1e-10
    before = found.fibre_minimum.value
    rebalance_(found)
    after = adapter_flatness(model, LOSS, (x, y))
    assert after.trace.value < 1.1 * exact.fibre_minimum.value < exact.trace.value
    assert before > 0


def test_other_measures_see_less_curvature_after_rebalancing():
    model, _ = plain()
    x, y = data()
    other = copy.deepcopy(model)
    rebalance_(adapter_flatness(other, LOSS, (x, y)))
    traces = [float(torch.trace(dense(m, [m[2].A, m[2].B], x, y))) for m in (model, other)]
    assert traces[1] < 0.9 * traces[0]


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_factors_that_are_not_finite_are_refused(number):
    adapter = plain()[1]
    adapter.A.data[0, 0] = number
    with pytest.raises(InputError, match="the factors of model have NaN or infinity, expected finite numbers"):
        rebalance_(adapter)


def test_bad_arguments_are_one_sentence():
    model, _ = plain()
    x, y = data()
    with pytest.raises(InputError, match="method is 'best', expected one of"):
        adapter_flatness(model, LOSS, (x, y), method="best")
    with pytest.raises(InputError, match="expected at least 16"):
        adapter_flatness(model, LOSS, (x, y), method="hutchinson", max_products=3)
    with pytest.raises(InputError, match="expected 'hutchinson'"):
        adapter_flatness(model, lambda out, y: (out.mean(0) ** 2).sum(), (x, y), method="exact")

"""XNysTrace against the formula of Epperly, Tropp and Webber with approximations that are formed anew."""

import pytest
import torch

from flatmin.nn.estimators._x_nys_trace import samples, x_nys_trace
from flatmin.nn.estimators._x_trace import x_trace
from flatmin.nn.estimators.base import TraceRequest, sphere
from flatmin.nn.estimators.nystrom import Nystrom
from flatmin.nn.estimators.sample import ALL
from tests.nn.estimators.test_nystrom import approximation, semidefinite

N = 1000
#: The spectra of section 4 of the reference.
SPECTRA = {
    "flat": 3 - 2 * torch.arange(N).double() / (N - 1),
    "poly": torch.arange(1, N + 1).double() ** -2,
    "exp": 0.7 ** torch.arange(N).double(),
    "step": torch.cat([torch.ones(50), torch.full((N - 50,), 1e-3)]).double(),
}


class Diagonal:
    def __init__(self, values):
        self.values, self.shape, self.dtype, self.device = values, (len(values),) * 2, values.dtype, values.device

    def __matmul__(self, vectors):
        return self.values[:, None] * vectors


def left_out(A, V, i, dropped, rows):
    """Return the estimate for vector i from the vectors that are not dropped, by its definition."""
    W = V[:, [j for j in range(V.shape[1]) if j not in dropped]]
    without = approximation(A, W)
    g = V[:, i] - W @ torch.linalg.lstsq(W, V[:, i]).solution
    g *= (len(A) - W.shape[1]) ** 0.5 / g.norm()
    return float(without.diagonal()[rows].sum() + g[rows] @ ((A - without) @ g)[rows])


@pytest.mark.parametrize("rows", [ALL, slice(3, 9)])
def test_samples_and_their_covariance_are_those_of_the_definition(rows):
    A, m = semidefinite(), 8
    V = sphere(A, m, torch.Generator().manual_seed(1))
    found = samples(Nystrom(A, V, A @ V), rows)
    x = [left_out(A, V, i, {i}, rows) for i in range(m)]
    assert found.values.tolist() == pytest.approx(x, rel=1e-8)
    pairs = [(i, j) for i in range(m) for j in range(m) if i != j]
    products = [(x[i] - left_out(A, V, i, {i, j}, rows)) * (x[j] - left_out(A, V, j, {i, j}, rows)) for i, j in pairs]
    assert found.covariance == pytest.approx(sum(products) / len(pairs), rel=1e-6)


def published(A, V, shift):
    """Return the estimates as the program of the reference computes them: by QR and Cholesky factors, not by ours."""
    n, m = V.shape
    Y = A @ V + shift * V
    Q, R = torch.linalg.qr(Y)
    H = V.T @ Y
    B = torch.linalg.solve_triangular(torch.linalg.cholesky((H + H.T) / 2), R.T, upper=False).T
    inverse = torch.linalg.inv(H)
    S = R @ inverse / inverse.diagonal().sqrt()
    own, upper = torch.linalg.qr(V)
    normal = torch.nn.functional.normalize(torch.linalg.inv(upper).T, dim=0)  # in the span, orthogonal to the others
    inside = own.T @ V
    outside = n - (inside**2).sum(0) + (normal * inside).sum(0) ** 2
    return (B**2).sum() - (S**2).sum(0) + (S * (Q.T @ V)).sum(0) ** 2 * (n - m + 1) / outside - shift * n


@pytest.mark.parametrize("name", SPECTRA)
def test_estimates_are_those_of_the_program_of_the_reference(name):
    values = SPECTRA[name]
    A, V = Diagonal(values), sphere(Diagonal(values), 30, torch.Generator().manual_seed(2))
    found = Nystrom(A, V, A @ V)
    wanted = published(A, V, found.shift)
    tolerance = 1e-10 * float(values.sum())
    assert torch.allclose(samples(found, ALL).values, wanted, rtol=0, atol=tolerance)
    request = TraceRequest(A, torch.Generator().manual_seed(2), max_products=30)
    theirs = torch.finfo(V.dtype).eps * torch.linalg.norm(A @ V) / N**0.5  # a quarter of our shift
    for shift in (found.shift, theirs):
        assert x_nys_trace(request).value == pytest.approx(float(published(A, V, shift).mean()), abs=tolerance)
        request.generator.manual_seed(2)


def error(estimator, values, products, trials=12):
    runs = (
        estimator(TraceRequest(Diagonal(values), torch.Generator().manual_seed(seed), max_products=products)).value
        for seed in range(trials)
    )
    return float(torch.tensor([(run / float(values.sum()) - 1) ** 2 for run in runs]).mean() ** 0.5)


def test_errors_are_below_those_of_x_trace_as_in_the_reference():
    for name, factor in (("flat", 1), ("exp", 100), ("step", 2)):
        assert error(x_nys_trace, SPECTRA[name], 60) * factor <= error(x_trace, SPECTRA[name], 60), name
    assert error(x_nys_trace, SPECTRA["poly"], 60) <= 2 * error(x_trace, SPECTRA["poly"], 60)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [x_nys_trace, x_trace])
@pytest.mark.parametrize("rank", [20, 28, 29, 30, 31, 32, 40])
@pytest.mark.parametrize("low", [0.0, 1e-3])
def test_intervals_cover_at_a_sharp_drop(estimator, rank, low):
    n, trials = 200, 400
    values = torch.cat([torch.ones(rank), torch.full((n - rank,), low)]).double()
    products = 30 if estimator is x_nys_trace else 60
    runs = (
        estimator(TraceRequest(Diagonal(values), torch.Generator().manual_seed(seed), max_products=products))
        for seed in range(trials)
    )
    assert sum(run.covers(float(values.sum())) for run in runs) >= 0.92 * trials  # 94 % up to its binomial error


def test_groups_add_up_and_a_target_is_reached():
    A = semidefinite()
    request = TraceRequest(
        A, torch.Generator().manual_seed(0), max_products=12, blocks={"a": slice(10), "b": slice(10, 30)}
    )
    found = x_nys_trace(request)
    assert sum(group.value for group in found.groups.values()) == pytest.approx(found.value, rel=1e-10)
    assert found.covers(float(A.trace()))
    target = 1e-3 * float(A.trace())
    stopped = x_nys_trace(TraceRequest(A, torch.Generator().manual_seed(0), target_std_error=target))
    assert stopped.std_error <= target
    assert stopped.n_products <= 30

"""The tridiagonal matrix of the Lanczos iteration, and the outer bound that it gives, against dense matrices."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from flatmin.errors import InputError
from flatmin.linalg.krylov import least_component
from flatmin.nn.spectrum.eigenvalue import largest_eigenvalue
from flatmin.nn.spectrum.lanczos import lanczos
from flatmin.nn.spectrum.trace import operator_trace


def symmetric(n, seed=0):
    G = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (G + G.T) / 2


def one(operator, start, steps):
    (krylov,) = lanczos(operator, start[:, None], steps)
    return krylov


def unit(n, seed=0):
    v = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return v / v.norm()


def test_the_quadrature_is_exact_for_polynomials():
    A, v, k = symmetric(30), unit(30, 1), 6
    krylov = one(A, v, k)
    for power in range(2 * k):
        exact = float(v @ torch.linalg.matrix_power(A, power) @ v)
        assert krylov.weights @ krylov.nodes**power == pytest.approx(exact, rel=1e-10, abs=1e-10)
    exact = float(v @ torch.linalg.matrix_power(A, 2 * k) @ v)
    assert krylov.weights @ krylov.nodes ** (2 * k) != pytest.approx(exact, rel=1e-6)


def test_an_eigenvalue_lies_within_each_residual():
    A = symmetric(30)
    krylov, eigenvalues = one(A, unit(30, 2), 8), torch.linalg.eigvalsh(A).numpy()
    distance = np.abs(krylov.nodes[:, None] - eigenvalues).min(1)
    assert (distance <= krylov.residuals + 1e-12).all()
    assert krylov.residuals.max() > 0.1


def test_the_outer_bound_is_the_best_of_all_polynomials():
    """At the true component of the start, the bound is what the definition says, and it is valid."""
    A, v, k = symmetric(12), unit(12, 3), 4
    eigenvalues, Q = torch.linalg.eigh(A)
    component = abs(float(Q[:, -1] @ v))
    bound = one(A, v, k).upper_bound(component)
    assert bound >= float(eigenvalues[-1])
    # The largest p(x)² over polynomials of degree k with ∫ p² dμ = 1 is xᵀ M⁻¹ x with the matrix of moments.
    moments = [float(v @ torch.linalg.matrix_power(A, p) @ v) for p in range(2 * k + 1)]
    M = np.array([[moments[i + j] for j in range(k + 1)] for i in range(k + 1)])
    powers = bound ** np.arange(k + 1)
    assert powers @ np.linalg.solve(M, powers) == pytest.approx(component**-2, rel=1e-2)


def test_more_steps_bound_better():
    A, v = symmetric(60), unit(60, 4)
    bounds = [one(A, v, k).upper_bound(1e-3) for k in (2, 4, 8, 16, 32)]
    assert all(b < a for a, b in pairwise(bounds))


def test_an_invariant_subspace_ends_the_iteration():
    A = torch.diag(torch.tensor([1.0, 1, 1, 5, 5, -2])).double()
    krylov = one(A, unit(6), 6)
    assert krylov.exhausted
    assert krylov.nodes == pytest.approx([-2, 1, 5])
    assert krylov.upper_bound(1e-3) == pytest.approx(5, abs=1e-9)
    zero = one(0 * A, unit(6), 6)
    assert zero.exhausted
    assert zero.upper_bound(1e-3) == pytest.approx(0, abs=1e-300)


def test_what_is_not_symmetric_or_not_finite_is_refused():
    G = torch.randn(9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(InputError, match="not symmetric"):
        one(G, unit(9), 9)
    with pytest.raises(InputError, match="not finite"):
        one(torch.full((3, 3), float("nan")), unit(3), 3)


def test_rounding_errors_are_seen():
    A = symmetric(40)
    single = one(A.float(), unit(40), 20)
    error = np.abs(single.nodes - one(A.float().double(), unit(40), 20).nodes).max()
    assert 0 < error <= single.rounding < 1e-3
    assert one(A, unit(40), 20).rounding < 1e-12


def test_several_starts_are_several_iterations():
    A = torch.diag(torch.tensor([0.0] * 10 + [1.0] * 10 + [2.0])).double()
    starts = torch.stack([unit(21, s) for s in range(3)], 1)
    starts[:10, 1] = 0
    starts[-1, 1] = 0
    together = lanczos(A, starts, 8)
    assert [k.steps for k in together] == [3, 1, 3]
    for krylov, start in zip(together, starts.unbind(1), strict=True):
        assert krylov.nodes == pytest.approx(one(A, start, 8).nodes)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("kept", [1, 3])
def test_bounds_hold_if_few_vectors_are_kept(dtype, kept, monkeypatch):
    """With 90 steps and outlying eigenvalues, the vectors of the recurrence alone are far from orthogonal."""
    n = 400
    values = torch.cat([torch.linspace(0, 1, n - 3, dtype=torch.float64), torch.tensor([3.0, 9.0, 30.0]).double()])
    monkeypatch.setattr("flatmin.nn.spectrum.lanczos._BASIS_MEMORY", 8 * n * kept)
    A, failures, component = torch.diag(values).to(dtype), 0, least_component(n, 0.1)
    for seed in range(20):
        krylov = one(A, unit(n, seed).to(dtype), 90)
        assert not krylov.orthonormal
        assert krylov.nodes[-1] - krylov.rounding <= 30
        failures += krylov.upper_bound(component) + krylov.rounding < 30
        mean = float((unit(n, seed) ** 2) @ torch.exp(-values))
        assert krylov.weights @ np.exp(-krylov.nodes) == pytest.approx(
            mean, abs=1e-5 if dtype == torch.float32 else 1e-9
        )
    assert krylov.upper_bound(component) + krylov.rounding < 30 + 1e-3
    assert failures <= 6


class Interrupted:
    """A diagonal operator whose products end with an interrupt after some calls."""

    def __init__(self, calls, n=60):
        self.values, self.calls = torch.linspace(0, 1, n, dtype=torch.float64), calls
        self.shape, self.dtype, self.device = (n, n), torch.float64, torch.device("cpu")

    def __matmul__(self, vectors):
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return self.values[:, None] * vectors


def test_an_interrupt_returns_the_bounds_so_far():
    found = largest_eigenvalue(Interrupted(7))
    assert found.n_products == 7
    assert found.lower <= 1 <= found.upper
    with pytest.raises(KeyboardInterrupt):
        largest_eigenvalue(Interrupted(0))


def test_an_interrupt_returns_the_trace_so_far():
    found = operator_trace(Interrupted(2), method="hutchinson", max_products=100, blocks={"half": slice(30)})
    assert found.n_products == 64
    assert found.covers(30)
    with pytest.raises(KeyboardInterrupt):
        operator_trace(Interrupted(0), method="hutchinson", max_products=100)

"""Bounds of the largest eigenvalue from random starts: as often wrong as they say, whatever the spectrum."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from flatmin.linalg.krylov import Krylov, largest_eigenvalue, least_component

N = 200
SPECTRA = {
    "a gap": np.concatenate([np.linspace(0, 0.5, N - 1), [1.0]]),
    "a dense edge": 1 - np.linspace(0, 1, N) ** 2,
    "just above a cluster": np.concatenate([0.99 + 1e-3 * np.arange(N - 1) / N, [1.0]]),
    "Chebyshev nodes": np.cos(np.pi * (np.arange(N) + 0.5) / N),
    "one of two values": np.concatenate([np.zeros(N - 1), [1.0]]),
    "negative": -1 - np.linspace(0, 1, N),
}


def bound(values, rng, steps=40, count=1, failure=0.05, field=float, enough=lambda *_: False, rounding=1e-14):
    starts = rng.standard_normal((len(values), count)).astype(field)
    if field is complex:
        starts += 1j * rng.standard_normal(starts.shape)
    return largest_eigenvalue(
        lambda X: values[:, None] * X,
        starts,
        dimension=len(values),
        failure=failure,
        rounding=rounding,
        steps=steps,
        enough=enough,
    )


@pytest.mark.sampled(4)
@pytest.mark.parametrize("field", [float, complex])
@pytest.mark.parametrize(("count", "name"), [(1 + 2 * (i % 2), name) for i, name in enumerate(SPECTRA)])
def test_bounds_fail_no_more_often_than_they_say(name, count, field):
    """The stopping rule is an adversary: it stops as soon as the bound is wrong."""
    values, rng, trials, failure = SPECTRA[name], np.random.default_rng(7), 120, 0.05
    top = values.max()
    wrong = sum(
        bound(values, rng, 12, count, failure, field, lambda _, upper: upper < top).upper < top for _ in range(trials)
    )
    assert wrong <= binom.ppf(1 - 1e-5, trials, failure)


def test_bounds_do_fail_where_they_are_sharp():
    """A control of the test above: with a gap the bound of a converged iteration fails as often as it says."""
    values, rng, trials = SPECTRA["one of two values"], np.random.default_rng(3), 400
    # the bound of two steps is exact in the component, so it fails when that is smaller than its quantile
    wrong = sum(bound(values, rng, 1, rounding=0.0).upper < 1 for _ in range(trials))
    assert binom.ppf(1e-4, trials, 0.05) <= wrong <= binom.ppf(1 - 1e-4, trials, 0.05)


def test_bounds_are_near():
    rng = np.random.default_rng(0)
    for name, values in SPECTRA.items():
        found = bound(values, rng, steps=60, count=8, failure=1e-11)
        spread = values.max() - values.min()
        assert values.max() - 0.01 * spread <= found.reached <= values.max() + 1e-12
        assert values.max() <= found.upper <= values.max() + 0.02 * spread, name


def test_the_end_of_the_spectrum_is_not_overlooked():
    """An eigenvector that starts hardly see is still there: a bare Ritz value would miss it, the bound does not."""
    values = np.concatenate([np.linspace(0, 0.9, 4999), [1.0]])
    found = bound(values, np.random.default_rng(1), steps=6, count=8, failure=1e-11)
    assert found.reached < 1 < found.upper


def test_rounding_is_counted():
    values, rng = SPECTRA["a gap"], np.random.default_rng(5)
    bounds = [bound(values, rng, rounding=size, count=4, failure=1e-11).upper for size in (1e-15, 1e-8, 1e-4)]
    assert 1 <= bounds[0] < bounds[1] < bounds[2]
    noisy = np.random.default_rng(6)

    def apply(X):
        error = noisy.standard_normal(X.shape)
        return values[:, None] * X + 1e-6 * error / np.linalg.norm(error, axis=0)

    options = {"dimension": N, "failure": 1e-11, "rounding": 1e-6, "steps": 60, "enough": lambda *_: False}
    for seed in range(20):
        starts = np.random.default_rng(seed).standard_normal((N, 4))
        assert largest_eigenvalue(apply, starts, **options).upper >= 1


@pytest.mark.parametrize("values", [np.zeros(9), np.ones(9), np.array([2.0]), np.array([-3.0, 5.0])])
def test_degenerate_operators(values):
    found = bound(values, np.random.default_rng(0), count=4, failure=1e-11, rounding=1e-16)
    assert values.max() <= found.upper <= values.max() + 1e-6
    assert found.reached == pytest.approx(values.max(), abs=1e-9)


@pytest.mark.parametrize("field", [float, complex])
@pytest.mark.parametrize("n", [2, 3, 50])
def test_least_component(n, field):
    rng = np.random.default_rng(0)
    g = rng.standard_normal((20_000, n)) + (1j * rng.standard_normal((20_000, n)) if field is complex else 0)
    sizes = np.abs(g[:, 0]) / np.linalg.norm(g, axis=1)
    for failure in (0.01, 0.3):
        share = np.mean(sizes < least_component(n, failure, field))
        assert share == pytest.approx(failure, abs=4.5 * np.sqrt(failure / len(g)))
    assert least_component(1, 0.3, field) == 1


def test_without_orthogonality_the_largest_polynomial_bounds():
    """The last orthonormal polynomial bounds less than the sum of all squares, and both hold."""
    values, rng = SPECTRA["a dense edge"], np.random.default_rng(2)
    v = rng.standard_normal(N)
    v /= np.linalg.norm(v)
    basis, diagonal, off_diagonal, before = [v], [], [], np.zeros(N)
    for _ in range(8):
        w = values * basis[-1] - (off_diagonal[-1] if off_diagonal else 0) * before
        diagonal.append(float(w @ basis[-1]))
        w -= diagonal[-1] * basis[-1]
        off_diagonal.append(float(np.linalg.norm(w)))
        before, w = basis[-1], w / off_diagonal[-1]
        basis.append(w)
    krylov = Krylov(np.array(diagonal), np.array(off_diagonal), 0.0, False)
    component = abs(v[0])
    assert 1 <= krylov.upper_bound(component) <= replace(krylov, orthonormal=False).upper_bound(component)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("after", [0, 7])
def test_products_that_are_not_finite_bound_nothing(wrong, after):
    calls = []

    def apply(X):
        calls.append(0)
        return X * (np.linspace(0, 1, N)[:, None] if len(calls) <= after else wrong)

    starts = np.random.default_rng(0).standard_normal((N, 3))
    options = {"dimension": N, "failure": 1e-10, "rounding": 1e-15, "steps": 60, "enough": lambda *_: False}
    with np.errstate(invalid="ignore"):
        found = largest_eigenvalue(apply, starts, **options)
    assert (found.upper, found.steps) == (np.inf, after + 1)


def test_iterations_that_are_not_finite_end():
    for diagonal, off_diagonal in (
        ([np.nan, 1.0], [1.0, 1.0]),
        ([1.0, 2.0], [1.0, np.nan]),
        ([1.0, 2.0], [np.inf, 1.0]),
    ):
        assert Krylov(np.array(diagonal), np.array(off_diagonal), 0.0, False).upper_bound(0.1) == np.inf
    assert Krylov(np.ones(2), np.ones(2), 0.0, False).upper_bound(np.nan) == np.inf
    assert Krylov(np.ones(2), np.full(2, 1e308), 0.0, False).upper_bound(1e-9) == np.inf

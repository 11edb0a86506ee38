"""Counts: weights that make their noise even, and what they are worth."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers import stabilize_variance


def table(seed=0, average=6.0, shape=(45, 40), m=1000):
    """Return counts in some cells of a nonnegative matrix of rank two, and the matrix."""
    rng, (d1, d2) = np.random.default_rng(seed), shape
    X = rng.gamma(1.0, 1.0, (d1, 2)) @ rng.gamma(1.0, 1.0, (2, d2))
    X *= average / X.mean()
    rows, cols = np.divmod(rng.choice(d1 * d2, m, replace=False), d2)
    return fm.Problem(fm.measurements.Entries(rows, cols, shape), rng.poisson(X[rows, cols])), X


def photons(seed=0, average=20.0, real=True):
    """Return photon counts of a signal, and the matrix of the signal."""
    found = fm.families.phase_retrieval.sample(15, 1, 150, seed=seed, real=real)
    unit = average / found.problem.data.mean()
    data = np.random.default_rng(seed).poisson(unit * found.problem.data)
    return fm.Problem(found.problem.measurement, data, fm.Gram()), unit * np.outer(found.truth, found.truth.conj())


def sketch(seed=0):
    """Return counts whose means are energies of a covariance of rank two."""
    found = fm.families.covariance.sample(12, 2, 300, seed=seed)
    data = np.random.default_rng(seed).poisson(10 * found.problem.data / found.problem.data.mean())
    return fm.Problem(found.problem.measurement, data, fm.Gram()), None


DRAWS = {"table": (table, None, 2), "photons": (photons, 1, 1), "sketch": (sketch, None, 2)}


@pytest.mark.parametrize("name", DRAWS)
def test_the_unit_is_that_of_a_count_and_weights_are_those_of_the_fit(name):
    draw, widest, rank = DRAWS[name]
    for seed in range(3):
        problem, _ = draw(seed)
        found = stabilize_variance(problem, max_rank=widest)
        assert problem.parametrization.width(found.factors) == rank
        assert abs(found.unit - 1) < 4 * found.std_error + 0.05
        expected = np.maximum(problem.data + problem.residual(found.factors), 0)
        product = found.weights**2 * (expected + 0.5 * found.unit)
        assert np.ptp(product) < 0.05 * product.mean()
        np.testing.assert_allclose(found.problem.data, found.weights * problem.data)
        np.testing.assert_allclose(
            found.problem.residual(found.factors), found.weights * problem.residual(found.factors), atol=1e-9
        )


@pytest.mark.parametrize("name", DRAWS)
def test_the_likelihood_is_stationary_at_the_fit(name):
    """Its slopes, with a background of half a unit, by finite differences; those at the plain fit are far larger."""
    draw, widest, _ = DRAWS[name]
    problem, _ = draw(1)
    found = stabilize_variance(problem, max_rank=widest)
    plain = fm.flat_minimum(problem, alpha="auto").noise.refit
    assert plain[0].shape == found.factors[0].shape

    def slope(base, direction):
        size = 1e-5 / np.sqrt(sum(np.sum(D**2) for D in direction))
        ends = []
        for t in (-size, size):
            residual = problem.residual(tuple(F + t * D for F, D in zip(base, direction, strict=True)))
            rate = np.maximum(problem.data + residual, 0) + 0.5 * found.unit
            ends.append(np.sum(rate - (problem.data + 0.5 * found.unit) * np.log(rate)))
        return (ends[1] - ends[0]) / 2e-5

    rng = np.random.default_rng(0)
    directions = [[rng.standard_normal(F.shape) for F in plain] for _ in range(20)]
    at_fit, at_plain = (np.mean([slope(F, D) ** 2 for D in directions]) ** 0.5 for F in (found.factors, plain))
    assert at_fit < 0.2 * at_plain


@pytest.mark.slow
def test_weighted_tables_come_nearer():
    ratios = []
    for seed in range(3):
        problem, truth = table(seed)
        plain = fm.flat_minimum(problem, alpha="auto").noise.refit
        evened = stabilize_variance(problem)
        weighted = fm.flat_minimum(evened.problem, alpha="auto")
        assert weighted.certificate.holds
        assert weighted.noise.unevenness < 1.2
        errors = [np.linalg.norm(L @ R.T - truth) for L, R in (weighted.noise.refit, plain)]
        ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) < 0.95


def test_counts_in_another_unit():
    problem, _ = photons()
    one = stabilize_variance(problem, max_rank=1)
    other = stabilize_variance(fm.Problem(problem.measurement, 1e-3 * problem.data, fm.Gram()), max_rank=1)
    assert other.unit == pytest.approx(1e-3 * one.unit, rel=1e-3)
    np.testing.assert_allclose(other.weights, 1e3**0.5 * one.weights, rtol=2e-2)


def test_exact_data_and_no_data():
    found = fm.families.phase_retrieval.sample(10, 1, 80, real=True).problem
    exact = stabilize_variance(found, max_rank=1)
    assert exact.unit < 1e-9 * found.data.mean()
    assert np.isfinite(exact.weights).all()
    nothing = stabilize_variance(fm.Problem(found.measurement, np.zeros(80), fm.Gram()))
    np.testing.assert_array_equal(nothing.weights, np.ones(80))
    assert nothing.unit == 0


def test_bad_input_is_one_sentence():
    with pytest.raises(fm.InputError, match="Absolute"):
        stabilize_variance(fm.families.robust_pca.sample((8, 6), 1, seed=0).problem)
    with pytest.raises(fm.InputError, match="mean of the counts"):
        stabilize_variance(fm.Problem(photons()[0].measurement, -np.ones(150), fm.Gram()))
    with pytest.raises(fm.InputError, match="expected a flatmin Problem"):
        stabilize_variance(3)

"""Exact fits near random starts."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.lab.recipes import equally_flat
from flatmin.lab.recipes._exact_fit import _slopes, exact_fit

MODELS = pytest.mark.parametrize("name", equally_flat.MODELS)


def measured(problem, factors):
    """Return ``⟨A_i, X⟩`` by explicit matrices."""
    U = factors[0]
    if len(factors) == 1:
        X = U @ U.conj().T
    elif isinstance(problem.parametrization, fm.SignedGram):
        X = U @ U.T - factors[1] @ factors[1].T
    else:
        X = U @ factors[1].T
    return np.einsum("mij,ij->m", problem.measurement.matrices().conj(), X).real


def drawn(name, d=5, multiple=1.0, seed=3):
    model = equally_flat.MODELS[name]
    return model.draw(d, round(multiple * model.degrees(d)), seed)


@MODELS
def test_exact_fits_fit_and_are_different(name):
    problem = drawn(name).problem
    rng = np.random.default_rng(0)
    width = 8 if name == "network" else 4
    found = [exact_fit(problem, width, scale, rng) for scale in (0.5, 2.0)]
    for factors, misfit in found:
        error = np.linalg.norm(measured(problem, factors) - problem.data) / np.linalg.norm(problem.data)
        assert error < 1e-13
        assert misfit < 1e-13
        assert problem.parametrization.width(factors) == width
    first, second = (problem.parametrization.matrix(factors) for factors, _ in found)
    assert np.linalg.norm(first - second) > 1e-3 * np.linalg.norm(first)


@MODELS
def test_slopes_are_derivatives(name):
    problem, rng = drawn(name).problem, np.random.default_rng(1)
    factors = problem.parametrization.random(problem.shape, 4, rng)
    turn = (1 + 2j) if name == "phase-retrieval" else 1.0
    factors = tuple(turn * F for F in factors)
    steps = [turn.conjugate() * rng.standard_normal(F.shape) for F in factors]
    slopes = _slopes(problem.parametrization, problem.measurement.matrices(), factors)
    along = sum(np.einsum("mij,ij->m", J.conj(), S).real for J, S in zip(slopes, steps, strict=True))
    ahead, behind = (tuple(F + h * S for F, S in zip(factors, steps, strict=True)) for h in (1e-5, -1e-5))
    assert along == pytest.approx((measured(problem, ahead) - measured(problem, behind)) / 2e-5, rel=1e-6, abs=1e-6)

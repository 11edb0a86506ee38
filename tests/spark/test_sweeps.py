"""Sweeps: they reach the certified minimum, and mixing saves some."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.spark.distributed_certificate import regularization
from flatmin.spark.sweeps import sweep

from .conftest import dealt, flat_objective, sample

SHAPE, REG = (70, 50), 0.1


@pytest.fixture(scope="module")
def triples():
    return sample(SHAPE)


@pytest.fixture(scope="module")
def problem(triples):
    i, j, values = triples
    return fm.Problem(fm.measurements.Entries(i, j, SHAPE), values)


def test_sweeps_reach_the_certified_minimum_of_the_local_engine(triples, problem):
    start = np.random.default_rng(3).standard_normal((50, 12))
    found = sweep(dealt(*triples, SHAPE), start, REG, tol=1e-9, most=200)
    alpha = REG / regularization(1.0, SHAPE)
    local = fm.flat_minimum(problem, alpha=alpha)
    assert local.certificate.holds
    assert found.slope <= 1e-9
    value = (found.objective + problem.data @ problem.data) / problem.data.size
    assert np.isclose(value, local.certificate.value, rtol=1e-9)
    assert np.isclose(value * problem.data.size, flat_objective(*triples, *found.factors, REG), rtol=1e-12)


def test_mixing_saves_sweeps(triples, monkeypatch):
    import flatmin.spark.sweeps as module

    start = np.random.default_rng(3).standard_normal((50, 12))
    mixed = sweep(dealt(*triples, SHAPE), start, REG, tol=1e-8, most=400).count
    monkeypatch.setattr(module._Mixing, "next", lambda self, point, image: image)
    assert mixed < 0.7 * sweep(dealt(*triples, SHAPE), start, REG, tol=1e-8, most=400).count

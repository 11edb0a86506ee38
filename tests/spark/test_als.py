"""Spark's own least squares minimises the flat objective."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import flatmin as fm
from flatmin.spark.als import fit_als
from flatmin.spark.distributed_certificate import regularization
from flatmin.spark.triples import placed

from .conftest import flat_objective, sample

SHAPE, REG = (70, 50), 0.3


I, J, VALUES = sample(SHAPE)


@pytest.fixture(scope="module")
def local():
    """What the local engine finds in the same data."""
    problem = fm.Problem(fm.measurements.Entries(I, J, SHAPE), VALUES)
    return problem, fm.flat_minimum(problem, alpha=REG / regularization(1.0, SHAPE))


@pytest.mark.slow
def test_the_als_of_spark_minimises_the_flat_objective(spark, local):
    """The mapping of strengths: regParam of Spark is alpha of PairRegressor, 2 alpha / √(d1 d2) of flat_minimum."""
    dealt = placed(spark, I, J, VALUES, (np.arange(70), np.arange(50)))
    L, R = fit_als(dealt, 8, REG, 24, 0)
    _, solution = local
    assert solution.certificate.holds
    assert solution.rank <= 8
    value = flat_objective(I, J, VALUES, L, R, REG) / len(I)
    assert np.isclose(value, solution.certificate.value, rtol=1e-6)
    E = csr_array((VALUES - np.einsum("nk,nk->n", L[I], R[J]), (I, J)), shape=SHAPE)
    n1, n2 = np.bincount(I, minlength=70), np.bincount(J, minlength=50)
    slopes = REG * n1[:, None] * L - E @ R, REG * n2[:, None] * R - E.T @ L
    data = csr_array((VALUES, (I, J)), shape=SHAPE)
    sizes = data @ R, data.T @ L
    relative = np.sqrt(sum(np.sum(g**2) for g in slopes) / sum(np.sum(g**2) for g in sizes))
    assert relative < 3e-5  # in 32 bits
    off = flat_objective(I, J, VALUES, *fit_als(dealt, 8, 1.1 * REG, 10, 0), REG) / len(I)
    assert off > solution.certificate.value * (1 + 1e-4)  # another reg_param is seen

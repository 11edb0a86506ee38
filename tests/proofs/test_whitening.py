"""Whitened coordinates against dense definitions."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.whitening import WhitenedSolution, measurement_sizes, whiten


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_the_whitened_map_measures_the_same_matrix(power):
    problem = fm.families.matrix_sensing.sample((5, 4), 1, 12).problem
    whitened, (D1, D2) = whiten(problem, power)
    X = np.random.default_rng(0).standard_normal((5, 4))
    Z = D1.dense @ X @ D2.dense
    np.testing.assert_allclose(whitened.forward(Z), problem.measurement.forward(X), atol=1e-10)


def test_sizes_and_norms_are_those_of_the_matrix():
    instance = fm.families.matrix_sensing.sample((5, 4), 2, 14)
    s = fm.flat_minimum(instance.problem)
    point = WhitenedSolution.from_factors(instance.problem, s.factors)
    assert point.size == pytest.approx(np.linalg.norm(s.matrix))
    assert 4 * point.norm == pytest.approx(s.certificate.value)
    assert point.fit(s.certificate.dual).is_exact
    assert not point.is_blind
    assert point.flattest(None) is None
    U, sizes, V = point.Z
    np.testing.assert_allclose(fm.Product().matrix(point.flattest((U * sizes, V))), s.matrix, atol=1e-9)


def test_sizes_of_measurements_are_within_a_factor_of_the_whitened_norms():
    problem = fm.families.matrix_sensing.sample((5, 4), 1, 12).problem
    whitened, metric = whiten(problem)
    ratios = measurement_sizes(problem, whitened, metric) / whitened.norms()
    assert np.all((ratios > 0.01) & (ratios < 100))
    uneven = fm.Problem(problem.measurement.weighted(10.0 ** np.arange(12)), problem.data)
    whitened, metric = whiten(uneven)
    np.testing.assert_allclose(measurement_sizes(uneven, whitened, metric), whitened.norms())


def test_a_measurement_that_rounding_hides_is_noticed():
    """Its direction counts as unseen, but it sees it."""
    T = np.zeros((3, 3, 3))
    T[0], T[1], T[2] = np.diag([1.0, 1.0, 0.0]), np.ones((3, 3)) - np.diag([1.0, 1.0, 0.0]), 1e-20 * np.eye(3)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    plain = fm.Problem(fm.measurements.Dense(Q @ T @ Q.T), [1.0, 2.0, 1e-20])
    point = WhitenedSolution.from_factors(plain, (np.eye(3)[:, :1], np.eye(3)[:, :1]))
    assert not point.is_blind
    P = Q[:, :2] @ Q[:, :2].T
    hidden = np.stack([P, P @ np.diag([1.0, 2.0, 3.0]) @ P, 1e-20 * np.outer(Q[:, 2], Q[:, 2])])
    problem = fm.Problem(fm.measurements.Dense(hidden), [1.0, 2.0, 0.0])
    assert WhitenedSolution.from_factors(problem, (Q[:, :1], Q[:, :1])).is_blind


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_complex_measurements_that_leave_directions_unseen(power):
    """Fewer vectors than dimensions: what they do not see is sought in complex derivatives."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 6)) + 1j * rng.standard_normal((3, 6))
    for A in (fm.measurements.RankOne(x), fm.measurements.Dense(x[:, :, None] * x[:, None, :].conj())):
        s = fm.flat_minimum(fm.Problem(A, [1.0, 2.0, 3.0], fm.Gram()), metric_power=power)
        assert s.certificate.holds
        assert s.certificate.relative_residual < 1e-10

"""The square roots D1 and D2 and their powers."""

import numpy as np
import pytest

from flatmin.linalg.metric import Metric


def _random(n, rank, dtype=float, seed=0):
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n, rank)) + (1j * rng.standard_normal((n, rank)) if dtype is complex else 0)
    return F @ F.conj().T


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("rank", [1, 3, 5, 8])
def test_root_and_pseudo_inverse(rank, dtype):
    square = _random(5, rank, dtype)
    D = Metric.root(square)
    assert D.rank == min(rank, 5)
    np.testing.assert_allclose(D @ D.dense, square, atol=1e-12)
    np.testing.assert_allclose(np.asarray(D.power(-1)), np.linalg.pinv(D.dense, hermitian=True, rcond=1e-7), atol=1e-9)
    np.testing.assert_allclose(D.power(0).dense @ square, square, atol=1e-12)


def test_diagonal_and_full_agree():
    diagonal = np.array([4.0, 0.0, 1.0])
    D, F = Metric.root(diagonal), Metric.root(np.diag(diagonal))
    assert D.is_diagonal
    assert not F.is_diagonal
    for power in (-1, 0, 0.5, 1):
        np.testing.assert_allclose(D.power(power).dense, F.power(power).dense, atol=1e-14)
    X = np.arange(9.0).reshape(3, 3)
    for left, right in ((D @ X, F @ X), (X @ D, X @ F), (D @ X[0], F @ X[0]), (X[0] @ D, X[0] @ F)):
        np.testing.assert_allclose(left, right, atol=1e-14)
    assert D.undetermined.tolist() == F.undetermined.tolist() == [1]
    assert D.condition == pytest.approx(F.condition) == pytest.approx(2)


def test_tempered_joins_plain_and_flat_metric():
    square = _random(4, 4)
    D = Metric.root(square)
    mean = np.trace(square) / 4
    assert D.tempered(1) is D
    np.testing.assert_allclose(D.tempered(0).dense, np.sqrt(mean) * np.eye(4), atol=1e-12)
    half = D.tempered(0.5).dense
    np.testing.assert_allclose(half @ half, D.dense * np.sqrt(mean), atol=1e-12)


def test_scales_that_differ_by_many_orders_keep_relative_accuracy():
    scales = 10.0 ** np.array([-6, 0, 6, 3])
    core = _random(4, 6)
    D = Metric.root(core * np.outer(scales, scales))
    assert D.rank == 4
    inverse = np.linalg.inv(core) / np.outer(scales, scales)
    np.testing.assert_allclose(D.power(-1) @ D.power(-1).dense / inverse, np.ones((4, 4)), rtol=1e-4)


def test_zero():
    for D in (Metric.root(np.zeros((2, 2))), Metric.root(np.zeros(2))):
        assert (D.rank, D.condition, D.undetermined.tolist()) == (0, 1.0, [0, 1])
        np.testing.assert_array_equal(D.power(-1).dense, np.zeros((2, 2)))
        np.testing.assert_array_equal(D.tempered(0.5).dense, np.zeros((2, 2)))


def test_what_is_not_seen_stays_exactly_zero():
    square = _random(5, 5)
    square[2], square[:, 2] = 0, 0
    D = Metric.root(square)
    assert D.undetermined.tolist() == [2]
    for power in (-1, 0, 1):
        assert not D.power(power).dense[2].any()


@pytest.mark.parametrize("form", ["diagonal", "full", "complex"])
def test_what_is_not_seen_is_an_orthonormal_basis(form):
    rng = np.random.default_rng(0)
    if form == "diagonal":
        D = Metric.root(np.array([4.0, 0.0, 1.0, 0.0]))
    else:
        F = rng.standard_normal((4, 2)) + (1j * rng.standard_normal((4, 2)) if form == "complex" else 0)
        D = Metric.root(F @ F.conj().T)
    N = D.blind
    assert N.shape == (4, 2)
    np.testing.assert_allclose(N.conj().T @ N, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(np.asarray(D) @ N, 0, atol=1e-12)
    assert Metric(np.ones(3)).blind.shape == (3, 0)

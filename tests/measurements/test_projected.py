"""Measurements without what regressors explain."""

import pickle

import numpy as np
import pytest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.measurements import Dense, Projected, RankOne


def draw(m=12, shape=(4, 3), t=3, seed=0):
    rng = np.random.default_rng(seed)
    return Dense(rng.standard_normal((m, *shape))), rng.standard_normal((m, t)), rng


@pytest.mark.parametrize("t", [0, 1, 3, 11])
def test_the_projection_is_an_isometry_onto_what_regressors_leave(t):
    A, T, rng = draw(t=t)
    N = Projected(A, T).reduced(np.eye(12))
    np.testing.assert_allclose(N @ N.T, np.eye(12 - t), atol=1e-13)
    np.testing.assert_allclose(N @ T, 0, atol=1e-13)
    y = rng.standard_normal(12 - t)
    np.testing.assert_allclose(Projected(A, T).expanded(y), N.T @ y, atol=1e-13)


def test_sensing_matrices_are_those_of_least_squares():
    A, T, _ = draw()
    B, P = Projected(A, T), np.eye(12) - T @ np.linalg.pinv(T)
    np.testing.assert_allclose(
        np.einsum("mij,mkl->ijkl", B.matrices(), B.matrices()),
        np.einsum("mij,mn,nkl->ijkl", A.tensor, P, A.tensor),
        atol=1e-12,
    )


def test_dependent_and_huge_regressors_count_by_what_they_span():
    A, T, rng = draw()
    mixed = np.column_stack([1e9 * T[:, 0], T[:, 1], 1e-9 * T[:, 2], T.sum(axis=1), np.zeros(12)])
    here, there, X = Projected(A, T), Projected(A, mixed), rng.standard_normal((4, 3))
    assert here.size == there.size == 9
    assert np.linalg.norm(here.forward(X)) == pytest.approx(np.linalg.norm(there.forward(X)), rel=1e-12)


def test_the_joint_problem_has_the_same_loss():
    A, T, rng = draw()
    X, b = rng.standard_normal((4, 3)), rng.standard_normal(12)
    z = np.linalg.lstsq(T, b - A.forward(X), rcond=None)[0]
    left = np.linalg.norm(A.forward(X) + T @ z - b)
    B = Projected(A, T)
    assert np.linalg.norm(B.forward(X) - B.reduced(b)) == pytest.approx(left, rel=1e-12)


def test_what_regressors_explain_is_not_seen():
    """Squares of features that are 0 or 1 are the features."""
    X = np.random.default_rng(0).integers(0, 2, (40, 1)).astype(float)
    B = Projected(RankOne(X), np.column_stack([np.ones(40), X]))
    assert not np.asarray(B.metric()[0]).any()
    assert not B.norms().any()
    solution = fm.flat_minimum(fm.Problem(B, np.ones(B.size)), alpha=0.1)
    assert solution.rank == 0
    assert solution.certificate.holds


def test_many_measurements_are_merged():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    square, oblong = (Projected(RankOne(X, other), np.ones((60, 1))) for other in (None, rng.standard_normal((60, 3))))
    assert square.merged()[0].size == 10
    assert oblong.merged()[0].size == 12
    assert Projected(RankOne(X[:10]), np.ones((10, 1))).merged() is None
    for A in (square, oblong):
        fm.testing.check_measurement(A)


def test_pickles():
    A, T, _ = draw()
    B = Projected(A, T)
    B.matrices()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(B)).matrices(), B.matrices())


@pytest.mark.parametrize(
    ("regressors", "message"),
    [
        (np.ones(12), r"regressors has shape \(12,\), expected \(12, t\)"),
        (np.ones((11, 1)), r"expected \(12, t\): one row for each measurement"),
        (np.eye(12), "12 measurements have as many regressors, expected fewer"),
        (np.full((12, 1), np.nan), "regressors contains NaN"),
    ],
)
def test_bad_regressors(regressors, message):
    with pytest.raises(InputError, match=message):
        Projected(draw()[0], regressors)

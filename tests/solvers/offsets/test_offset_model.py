"""OffsetModel: exact fits against least squares, and the joint problem against its definition."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.offsets.offset_model import OffsetModel


def _entries(seed=0):
    rows, cols = np.divmod(np.random.default_rng(seed).choice(42, 25, replace=False), 6)
    return fm.measurements.Entries(rows, cols, (7, 6))


def _design(entries, constant):
    H = np.zeros((entries.size, 1 + 7 + 6))
    H[:, 0] = constant
    H[np.arange(entries.size), 1 + entries.rows] = 1
    H[np.arange(entries.size), 8 + entries.cols] = 1
    return H


@pytest.mark.parametrize("kappa", [0.5, 10.0])
def test_penalised_offsets_solve_ridge_regression(kappa):
    entries, values = _entries(), np.random.default_rng(1).standard_normal(25)
    found = OffsetModel(entries, rows=kappa, columns=2 * kappa).fit(values)
    H, K = _design(entries, True), np.diag([0.0] + 7 * [kappa] + 6 * [2 * kappa])
    z = np.linalg.lstsq(H.T @ H + K, H.T @ values, rcond=None)[0]
    np.testing.assert_allclose([found.constant, *found.rows, *found.columns], z, atol=1e-9)


def test_the_joint_objective_is_minimised_over_offsets():
    entries, rng = _entries(), np.random.default_rng(2)
    values, model = rng.standard_normal(25), OffsetModel(entries, rows=3.0, columns=4.0)
    problem, factors = model.problem(values), (rng.standard_normal((7, 2)), rng.standard_normal((6, 2)))
    left = values - entries.forward_factors(*factors)
    z = model.fit(left)
    squares = np.sum((left - z.at(entries.rows, entries.cols)) ** 2)
    least = (squares + 3 * z.rows @ z.rows + 4 * z.columns @ z.columns) / 25
    assert problem.loss.value(problem.residual(factors)) == pytest.approx(least)


def test_predictions_of_others_follow_the_matrix():
    entries, rng = _entries(), np.random.default_rng(3)
    values, model = rng.standard_normal(25), OffsetModel(entries)
    others, truth = fm.measurements.Entries([0, 6], [5, 0], (7, 6)), np.array([1.0, -2.0])
    factors = rng.standard_normal((7, 2)), rng.standard_normal((6, 2))
    offsets = model.fit(values - entries.forward_factors(*factors))
    predicted = others.forward_factors(*factors) + offsets.at(others.rows, others.cols)
    np.testing.assert_allclose(model.judge(values, others, truth).residual(factors), predicted - truth, atol=1e-9)


def test_strengths_of_restricted_likelihood_are_near_those_of_the_simulation():
    rng = np.random.default_rng(4)
    rows, cols = np.divmod(rng.choice(60 * 40, 1500, replace=False), 40)
    entries = fm.measurements.Entries(rows, cols, (60, 40))
    values = rng.standard_normal(60)[rows] + 0.5 * rng.standard_normal(40)[cols] + rng.standard_normal(1500)
    model = OffsetModel.estimated(entries, values)
    assert model.rows == pytest.approx(1.0, rel=0.5)
    assert model.columns == pytest.approx(4.0, rel=0.6)


@pytest.mark.parametrize("kappa", [-1.0, 1e-9, np.inf, True])
def test_bad_strengths_are_refused(kappa):
    with pytest.raises(fm.InputError, match="the strength of the offsets of rows"):
        OffsetModel(_entries(), rows=kappa)

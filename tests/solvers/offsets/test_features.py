"""Features of offsets: exact fits against dense ridge regression, adjoints, strengths, and the joint objective."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.offsets.features import LinearTerms
from flatmin.solvers.offsets.offset_free import OffsetFree
from flatmin.solvers.offsets.offset_model import OffsetModel

RNG = np.random.default_rng(0)
D1, D2, P, Q = 9, 7, 2, 3
U, W = RNG.standard_normal((D1, P)), RNG.standard_normal((D2, Q))
ROWS, COLS = np.divmod(RNG.choice((D1 - 1) * D2, 40, replace=False), D2)  # the last row has no observation
VALUES = RNG.standard_normal(40)


def model_of(kinds, weights=None):
    entries = fm.measurements.Entries(ROWS, COLS, (D1, D2), weights)
    terms = {"row_terms": LinearTerms(U, 2.0), "column_terms": LinearTerms(W, 0.5)}
    return OffsetModel(entries, rows=3.0, columns=4.0, **{name: terms[name] for name in kinds})


def dense(kinds, weights=None):
    """Return the matrix and the penalties of constant, deviations and slopes, and where the offsets come from."""
    H = np.zeros((40, 1 + D1 + D2))
    H[:, 0], H[np.arange(40), 1 + ROWS], H[np.arange(40), 1 + D1 + COLS] = 1, 1, 1
    E, K = np.zeros((1 + D1 + D2, P + Q)), np.diag([0.0] + D1 * [3.0] + D2 * [4.0] + P * [2.0] + Q * [0.5])
    E[1 : 1 + D1, :P], E[1 + D1 :, P:] = U, W
    kept = np.r_[
        : 1 + D1 + D2, [1 + D1 + D2 + k for k in range(P + Q) if ("row_terms" if k < P else "column_terms") in kinds]
    ]
    full, offsets = np.hstack([H, H @ E])[:, kept], np.hstack([np.eye(1 + D1 + D2), E])[:, kept]
    root = np.ones(40) if weights is None else weights
    return root[:, None] * full, K[np.ix_(kept, kept)], offsets, root * VALUES


KINDS = [("row_terms",), ("column_terms",), ("row_terms", "column_terms")]


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 2.0, 40)])
def test_offsets_and_slopes_solve_ridge_regression(kinds, weights):
    H, K, E, y = dense(kinds, weights)
    solution = np.linalg.solve(H.T @ H + K, H.T @ y)
    found = model_of(kinds, weights).fit(VALUES)
    np.testing.assert_allclose([found.constant, *found.rows, *found.columns], E @ solution, atol=1e-10)
    slopes = np.concatenate([found.row_slopes, found.column_slopes])
    np.testing.assert_allclose(slopes, solution[1 + D1 + D2 :], atol=1e-10)
    if "row_terms" in kinds:
        np.testing.assert_allclose(found.rows[-1], U[-1] @ found.row_slopes, atol=1e-12)


@pytest.mark.parametrize("kinds", KINDS)
def test_the_reduced_problem_is_the_joint_objective_with_an_exact_adjoint(kinds):
    model, (H, K, *_) = model_of(kinds), dense(kinds)
    A = OffsetFree(model.entries, model.equations)
    y, z = RNG.standard_normal(40), RNG.standard_normal(A.size)
    assert A.reduce(y) @ z == pytest.approx(y @ A.expand(z), rel=1e-12)
    left = y - H @ np.linalg.solve(H.T @ H + K, H.T @ y)
    assert np.sum(A.reduce(y) ** 2) / A.size == pytest.approx(y @ left / 40, rel=1e-12)
    traced = np.trace(H @ np.linalg.solve(H.T @ H + K, H.T))
    assert model.freedom == pytest.approx(traced, rel=1e-10)


def test_features_that_are_functions_of_others_are_no_trouble():
    twice = LinearTerms(np.hstack([U, U]), 0.0)
    entries = fm.measurements.Entries(ROWS, COLS, (D1, D2))
    one, other = (
        OffsetModel(entries, rows=3.0, columns=4.0, row_terms=terms).fit(VALUES)
        for terms in (LinearTerms(U, 0.0), twice)
    )
    np.testing.assert_allclose(one.rows, other.rows, atol=1e-9)


def test_free_and_absent_offsets_have_no_terms():
    entries = fm.measurements.Entries(ROWS, COLS, (D1, D2))
    for strength in (0.0, None):
        plain, other = (
            OffsetModel(entries, rows=strength, columns=4.0, row_terms=terms).fit(VALUES)
            for terms in (None, LinearTerms(U, 1.0))
        )
        np.testing.assert_allclose(plain.rows, other.rows, atol=1e-12)
        assert not len(other.row_slopes)


def test_strengths_are_those_of_the_simulation():
    rng = np.random.default_rng(1)
    features, slopes = rng.standard_normal((300, 20)), 0.5 * rng.standard_normal(20)
    rows, cols = np.divmod(rng.choice(300 * 40, 4000, replace=False), 40)
    own, columns = features @ slopes + 0.7 * rng.standard_normal(300), rng.standard_normal(40)
    values = own[rows] + columns[cols] + rng.standard_normal(4000)
    entries = fm.measurements.Entries(rows, cols, (300, 40))
    found = OffsetModel.estimated(entries, values, row_terms=LinearTerms(features))
    assert found.rows == pytest.approx(1 / 0.49, rel=0.25)
    assert found.row_terms.strength == pytest.approx(4.0, rel=0.5)
    np.testing.assert_allclose(found.fit(values).row_slopes, slopes, atol=0.2)

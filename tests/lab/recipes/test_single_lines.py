"""Scores of single rows and columns in completion, against optimisation and simulation."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

import flatmin as fm
from flatmin.errors import InputError
from flatmin.lab.recipes._single_lines import line_scores, lines_that_hold, threshold_of_cells, threshold_of_scores


def completion(d, rank, m, seed):
    instance = fm.families.matrix_completion.sample((d, d), rank, m, seed=seed)
    U, s, Vt = np.linalg.svd(instance.truth)
    return instance, U[:, :rank] * s[:rank], Vt[:rank].T


def nuclear(Z):
    return np.linalg.svd(Z, compute_uv=False).sum()


def steepest_change(problem, truth, line):
    """Return the smallest rate at which the norm changes along one row or column, by search over directions."""
    D1, D2 = (np.asarray(D) for D in problem.metric)
    seen = problem.measurement.adjoint(np.ones(problem.measurement.size)) != 0
    Z = D1 @ truth @ D2
    if line >= len(Z):
        Z, seen, line = Z.T, seen.T, line - len(Z)
    free = np.flatnonzero(~seen[line])
    step, base = 1e-5 * np.linalg.norm(Z), nuclear(Z)

    def rate(w):
        changed = Z.copy()
        changed[line, free] += step * w / np.linalg.norm(w)
        return (nuclear(changed) - base) / step

    rng = np.random.default_rng(0)
    starts = [*rng.standard_normal((3, len(free))), -Z[line] @ Z.T @ Z[:, free]]
    return min(minimize(rate, w, method="BFGS", options={"maxiter": 60}).fun for w in starts)


def test_a_score_above_one_is_a_row_or_column_that_can_be_changed_to_lower_the_norm():
    instance, L, R = completion(8, 2, 34, 3)
    scores = line_scores(instance.problem, L, R)
    clear = [i for i, s in enumerate(scores) if np.isfinite(s) and abs(s - 1) > 0.05]
    above = [i for i in clear if scores[i] > 1]
    assert 2 <= len(above) <= len(clear) - 4
    for line in clear:
        assert (steepest_change(instance.problem, instance.truth, line) < -1e-4) == (scores[line] > 1)


def test_scores_do_not_depend_on_the_factors_and_are_infinite_where_cells_are_too_few():
    instance, L, R = completion(9, 2, 40, 1)
    mixing = np.array([[2.0, 1.0], [0.5, -1.0]])
    scores = line_scores(instance.problem, L, R)
    assert scores == pytest.approx(line_scores(instance.problem, L @ mixing, R @ np.linalg.inv(mixing).T))
    measurement = instance.problem.measurement
    kept = np.flatnonzero((measurement.rows != 0) | (np.cumsum(measurement.rows == 0) <= 1))
    fewer = fm.Problem(measurement.take(kept), instance.problem.data[kept])
    assert line_scores(fewer, L, R)[0] == np.inf


@pytest.mark.slow
def test_with_a_score_above_one_the_truth_is_not_flattest_and_mostly_only_then():
    agree, beyond = [], 0
    for seed in range(16):
        instance, L, R = completion(12, 1, 66, seed)
        solution = fm.flat_minimum(instance.problem, seed=seed)
        recovered = np.linalg.norm(solution.matrix - instance.truth) < 1e-6 * np.linalg.norm(instance.truth)
        largest = line_scores(instance.problem, L, R).max()
        assert not (recovered and largest > 1)
        agree.append(recovered == (largest <= 1))
        beyond += largest > 1
    assert 4 <= beyond <= 12
    assert np.mean(agree) >= 0.75


def test_half_of_the_draws_have_no_score_above_one_at_the_predicted_threshold():
    """For the nuclear norm with as many cells in every row the distribution is exact."""
    d, rank = 60, 3
    n = round(threshold_of_scores(d, rank) * rank * (2 * d - rank) / d)
    rng, above = np.random.default_rng(0), []
    for _ in range(600):
        V, _ = np.linalg.qr(rng.standard_normal((d, rank)))
        U, _ = np.linalg.qr(rng.standard_normal((d, rank)))
        for u in U[::4]:
            seen = V[rng.choice(d, n, replace=False)]
            above.append(u @ np.linalg.solve(seen.T @ seen, u) > 1)
    # n is rounded, and the expected number changes by some 20 % from one n to the next.
    assert 2 * d * np.mean(above) == pytest.approx(np.log(2), rel=0.25)


def test_half_of_the_draws_have_enough_cells_in_every_row_and_column_at_the_threshold_of_cells():
    d, rank = 40, 2
    chance = threshold_of_cells(d, rank) * rank * (2 * d - rank) / d**2
    seen = np.random.default_rng(0).random((1500, d, d)) < chance
    enough = (seen.sum(1).min(1) >= rank) & (seen.sum(2).min(1) >= rank)
    assert np.mean(enough) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("predicted", [threshold_of_scores, threshold_of_cells])
def test_thresholds_grow_with_the_dimension_and_refuse_ranks_that_do_not_fit(predicted):
    found = [predicted(d, 5) for d in (100, 300, 1000, 3000)]
    assert found == sorted(found)
    for d, rank in ((10, 0), (10, 10), (10, 12)):
        with pytest.raises(InputError, match="expected a whole number from 1 to 9"):
            predicted(d, rank)


def test_scores_are_of_entries_and_factors_that_fit():
    sensing = fm.families.matrix_sensing.sample((5, 4), 1, 18)
    with pytest.raises(InputError, match="expected Entries"):
        line_scores(sensing.problem, np.ones((5, 1)), np.ones((4, 1)))
    instance, L, R = completion(6, 2, 30, 0)
    for left, right in ((L[:4], R), (L[:, :1], R)):
        with pytest.raises(InputError, match="expected two for"):
            line_scores(instance.problem, left, right)


def test_rows_and_columns_that_hold_a_share():
    rng = np.random.default_rng(0)
    noise = 1e-3 * rng.random((6, 5))
    crossed = noise.copy()
    crossed[2], crossed[:, 3] = 1.0, 1.0
    assert [lines_that_hold(part, 0.9) for part in (noise + np.eye(6, 5), crossed)] == [5, 2]
    # Against all choices of rows and columns: never fewer than the best, and at most one more here.
    for _ in range(10):
        squares = rng.random((4, 4)) ** 4
        lines = [*((i, slice(None)) for i in range(4)), *((slice(None), j) for j in range(4))]

        def held(chosen, squares=squares):
            left = squares.copy()
            for line in chosen:
                left[line] = 0
            return 1 - left.sum() / squares.sum()

        least = next(k for k in range(9) if max(map(held, itertools.combinations(lines, k))) >= 0.8)
        assert least <= lines_that_hold(squares, 0.8) <= least + 1

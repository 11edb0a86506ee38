"""Calibrated intervals cover new cells at their level, also in parts of the table, whatever the units."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from flatmin import MatrixCompletion
from flatmin.errors import InputError
from flatmin.estimators._completion.predictor import CellPredictor
from flatmin.estimators._intervals.calibration import Calibration
from flatmin.estimators._intervals.fold_fits import fold_fits
from tests.estimators._completion.tables import fitted, noisy


def calibrated(found, folds=5):
    fit = CellPredictor.from_fit(found)
    return fit, Calibration.from_folds(fit, fold_fits(found, folds), 1e-8)


def covered(table, seen):
    """Return whether hidden cells lie in their intervals at 90 %, and half widths, as tables with NaN elsewhere."""
    fit, found = calibrated(fitted(table, seen, alpha=0.05))
    i, j = np.nonzero(~seen)
    half = found.quantiles(0.9)[j] * found.scales(fit, i, j)
    inside, widths = np.full(table.shape, np.nan), np.full(table.shape, np.nan)
    inside[i, j] = np.abs(table[i, j] - fit.at(i, j)) <= half
    widths[i, j] = half
    return inside, widths


@pytest.fixture(scope="module")
def uneven():
    """Four tables whose noise differs between columns and rows; their cells and half widths at 90 %."""
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        truth, _, seen = noisy((150, 20), sigma=0.0, seed=seed)
        noise = np.geomspace(0.3, 1.2, 20) * rng.permutation(np.repeat([0.7, 1.4], 75))[:, None]
        inside, widths = covered(truth + noise * rng.standard_normal(truth.shape), seen)
        found.append((noise, inside, widths))
    return found


def test_ninety_percent_of_new_cells_are_covered(uneven):
    assert 0.88 <= np.mean([np.nanmean(inside) for _, inside, _ in uneven]) <= 0.92


def test_columns_and_rows_of_any_noise_are_covered(uneven):
    for low, high in ((0, 10), (10, 20)):
        assert 0.86 <= np.mean([np.nanmean(inside[:, low:high]) for _, inside, _ in uneven]) <= 0.94
    for loud in (False, True):
        rows = [inside[(noise[:, 0] > 0.3) == loud] for noise, inside, _ in uneven]
        assert 0.82 <= np.mean([np.nanmean(part) for part in rows]) <= 0.98


def test_widths_follow_the_noise(uneven):
    for noise, _, widths in uneven:
        seen = np.isfinite(widths)
        assert np.corrcoef(np.log(noise[seen]), np.log(widths[seen]))[0, 1] > 0.6


def test_other_levels_are_covered_too():
    parts = {level: [] for level in (0.5, 0.8, 0.95)}
    for seed in range(2):
        _, table, seen = noisy((150, 12), seed=seed)
        fit, calibration = calibrated(fitted(table, seen, alpha=0.05), folds=20)  # as many as by default
        i, j = np.nonzero(~seen)
        ratios = np.abs(table[i, j] - fit.at(i, j)) / calibration.scales(fit, i, j)
        for level, found in parts.items():
            found.append(np.mean(ratios <= calibration.quantiles(level)[j]))
    for level, found in parts.items():
        assert np.mean(found) == pytest.approx(level, abs=0.035)


def test_the_order_of_rows_and_columns_does_not_matter():
    _, table, seen = noisy((40, 8))
    fit, found = calibrated(fitted(table, seen, alpha=0.05))
    held = fold_fits(fitted(table, seen, alpha=0.05), 5)
    order = np.random.default_rng(0).permutation(len(held.values))
    names = ("rows", "columns", "values", "predictions", "leverages", "folds", "weights")
    mixed = replace(held, **{name: getattr(held, name)[order] for name in names})
    again = Calibration.from_folds(fit, mixed, 1e-8)
    np.testing.assert_allclose(again.scores, found.scores, rtol=1e-9)
    np.testing.assert_allclose(again.quantiles(0.9), found.quantiles(0.9), rtol=1e-9)


def test_widths_have_the_unit_of_the_values():
    _, table, seen = noisy((40, 8))
    i, j = np.nonzero(~seen)
    halves = []
    for unit in (1.0, 1000.0):
        fit, found = calibrated(fitted(unit * table, seen, alpha=0.05 * unit))
        halves.append(found.quantiles(0.9)[j] * found.scales(fit, i, j) / unit)
    np.testing.assert_allclose(halves[1], halves[0], rtol=1e-3)


def test_exact_data_have_intervals_as_wide_as_the_accuracy():
    truth, _, seen = noisy((60, 30), holes=0.2)
    fit, found = calibrated(fitted(truth, seen, alpha=0.0))
    i, j = np.nonzero(~seen)
    half = found.quantiles(0.9)[j] * found.scales(fit, i, j)
    assert np.all((half > 0) & (half < 1e-5))


def test_a_single_fold_calibrates_too():
    _, table, seen = noisy((80, 12))
    found = fitted(table, seen, alpha=0.05)
    one, five = (calibrated(found, folds)[1] for folds in (1, 5))
    assert len(one.scores) < len(five.scores) / 4
    assert one.quantiles(0.9).mean() == pytest.approx(five.quantiles(0.9).mean(), rel=0.3)


def test_a_quantile_of_a_column_is_its_own_pulled_to_that_of_all_cells():
    scores = np.sort(np.random.default_rng(0).exponential(size=300))
    columns = np.repeat([0, 1, 2], 100)[np.random.default_rng(1).permutation(300)]
    columns[columns == 2] = np.where(np.arange(100) < 10, 2, 0)
    found = Calibration(np.ones(4), None, np.zeros(3), 0.0, scores, columns, np.ones(300))
    pooled = 0.1 * scores[269] + 0.9 * scores[270]
    own = 0.1 * scores[columns == 1][89] + 0.9 * scores[columns == 1][90]
    np.testing.assert_allclose(found.quantiles(0.9)[1:], [(50 * pooled + 100 * own) / 150, pooled, pooled, pooled])
    squares = (50 * np.mean(scores**2) + np.sum(scores[columns == 1] ** 2)) / 150
    np.testing.assert_allclose(found.deviations[1:], np.sqrt([squares, *[np.mean(scores**2)] * 3]))


def test_a_level_beyond_the_held_out_cells_is_refused():
    _, table, seen = noisy((20, 6))
    _, found = calibrated(fitted(table, seen, alpha=0.1))
    n = len(found.scores)
    assert np.all(np.isfinite(found.quantiles(n / (n + 1))))
    with pytest.raises(InputError, match=f"confidence_level is 0.999, expected at most .*: there are {n} held-out"):
        found.quantiles(0.999)


def test_few_cells_are_refused():
    _, table, seen = noisy((5, 4))
    found = fitted(table, seen, alpha=0.1)
    with pytest.raises(InputError, match="cells can be held out to calibrate intervals, expected at least 20"):
        calibrated(found)


def test_rows_without_cells_have_intervals_as_wide_as_the_columns_vary():
    _, table, seen = noisy((200, 8))
    fit, found = calibrated(fitted(table, seen, alpha=0.05))
    j = np.arange(8)
    empty = found.deviations[j] * found.scales(fit, j * 0, j, fit.fitted(csr_array((1, 8))))
    np.testing.assert_allclose(empty, table.std(axis=0), rtol=0.25)


def test_columns_without_held_out_cells_are_like_the_average_one():
    _, table, seen = noisy((60, 8))
    seen[1:, 5] = False
    seen[0, 5] = True
    _, found = calibrated(fitted(table, seen, alpha=0.1))
    assert 5 not in found.score_columns
    assert found.column_variances.min() < found.column_variances[5] < found.column_variances.max()
    constant = table.copy()
    constant[:, 2] = 3.0
    _, found = calibrated(fitted(constant, seen, alpha=0.1))
    assert found.column_variances[2] == 0
    assert np.all(np.delete(found.column_variances, 2) > 0)


def test_rows_with_more_missing_cells_decide_more():
    """Cells are missing far more often in some rows, where predictions have larger errors."""
    inside = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        table = rng.standard_normal((150, 1)) @ rng.standard_normal((1, 6)) + 0.3 * rng.standard_normal((150, 6))
        seen = rng.random(table.shape) > np.repeat([0.1, 0.7], 75)[:, None]
        seen[:, 0] = True
        model = MatrixCompletion().fit(np.where(seen, table, np.nan))
        low, high = model.predict_interval(*np.nonzero(~seen))
        inside.append((low <= table[~seen]) & (table[~seen] <= high))
    assert 0.895 <= np.mean(np.concatenate(inside)) <= 0.93  # 0.885 with equal weights


def test_a_weight_counts_like_copies():
    rng = np.random.default_rng(0)
    scores, weights = np.sort(rng.exponential(size=2000)), rng.integers(1, 4, 2000)
    found = Calibration(np.ones(1), None, np.zeros(3), 0.0, scores, np.zeros(2000, int), weights.astype(float))
    copies = np.repeat(scores, weights)
    assert found.quantiles(0.9)[-1] == pytest.approx(np.quantile(copies, 0.9), rel=0.01)
    assert found.deviations[-1] == pytest.approx(np.sqrt(np.mean(copies**2)))

"""The choice between a refit, weaker penalties, normal distributions of rows and offsets by held-out cells."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import flatmin as fm
from flatmin.estimators._completion import fitting
from flatmin.estimators._completion.fitting import Settings, fit_cells
from flatmin.estimators._completion.normal import NormalRows, TableRows
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.estimators._completion.relaxation import FOLDS, Relaxation, _Fold, relaxation
from flatmin.solvers.alphas.folds import splits
from flatmin.solvers.noise.quick_path import QuickPath

SETTINGS = {"metric_power": 1.0, "max_rank": None, "max_iter": None, "seed": 0}


def cells_of(m, noise, strengths=Strengths()):  # noqa: B008
    problem = fm.families.matrix_completion.sample((20, 15), 2, m, noise=noise).problem
    A = problem.measurement
    return Observations.from_cells(csr_array((problem.data, (A.rows, A.cols)), shape=A.shape), None, strengths)


@pytest.fixture
def collinear():
    """A table of 40 rows with two columns that are nearly functions of four independent ones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 6))
    X[:, 4:] = 0.7 * (X[:, [0, 1]] + X[:, [2, 3]]) + 0.05 * X[:, 4:]
    X[rng.random(X.shape) < 0.15] = np.nan
    i, j = np.nonzero(~np.isnan(X))
    cells = csr_array((X[i, j], (i, j)), shape=X.shape)
    return Observations.from_cells(cells, None, Strengths(True, None, 0.0))


def test_a_low_rank_is_predicted_best_by_its_refit():
    cells = cells_of(220, 0.05)
    noise = fm.flat_minimum(cells.problem, alpha="auto").noise
    found = relaxation(cells, noise, SETTINGS)[0]
    assert {"offsets", "refit", "1"} <= set(found.errors)
    assert found.chosen == "refit"
    assert found.share is None
    assert found.phantoms is None


def test_columns_that_determine_each_other_are_predicted_best_by_their_covariance(collinear):
    noise = fit_cells(collinear, "auto", Settings(1.0, None, 1e-8, None, 0)).solution.noise
    found = relaxation(collinear, noise, SETTINGS)[0]
    assert found.chosen == f"normal {found.phantoms:g}"
    others = [error for name, error in found.errors.items() if not name.startswith("normal")]
    assert found.errors[found.chosen] < 0.9 * min(others)
    limited = relaxation(collinear, noise, SETTINGS | {"max_rank": 2})[0]
    assert limited.phantoms is None


def test_held_out_cells_are_predicted_without_them(collinear):
    noise = fit_cells(collinear, "auto", Settings(1.0, None, 1e-8, None, 0)).solution.noise
    relaxed = relaxation(collinear, noise, SETTINGS)[0]
    dealt = splits(collinear.cells, FOLDS, None, SETTINGS["seed"])
    residuals = []
    for split in dealt:
        hidden, known = collinear.take(split.held_out), TableRows.from_cells(collinear.take(split.training))
        filled = NormalRows.fitted(known, relaxed.phantoms * 40).filled(known)
        residuals.append(filled[hidden.entries.rows, hidden.entries.cols] - hidden.values)
    error = np.sqrt(np.mean(np.concatenate(residuals) ** 2))
    assert relaxed.errors[relaxed.chosen] == pytest.approx(error, rel=0.1)


def test_few_cells_are_not_held_out():
    cells = cells_of(18, 0.05)
    assert relaxation(cells, fm.flat_minimum(cells.problem, alpha=0.1).noise, SETTINGS) == (None, None)


@pytest.mark.parametrize(
    ("chosen", "share", "phantoms"),
    [("0.3", 0.3, None), ("refit", None, None), ("offsets", None, None), ("normal 0.01", None, 0.01)],
)
def test_a_name_says_which_strength_it_has(chosen, share, phantoms):
    found = Relaxation({chosen: 1.0}, chosen)
    assert (found.share, found.phantoms) == (share, phantoms)


def test_with_many_cells_quick_fits_to_one_fold_have_the_errors_of_certified_ones(monkeypatch):
    cells = cells_of(220, 0.5, Strengths(True, 1.0, 1.0))
    noise = fit_cells(cells, "auto", Settings(1.0, None, 1e-8, None, 0)).solution.noise
    monkeypatch.setattr("flatmin.estimators._completion.relaxation.MAX_CELLS", 100)
    quick = relaxation(cells, noise, SETTINGS)[0]
    monkeypatch.setattr("flatmin.estimators._completion.relaxation._SingleFold", _Fold)
    exact = relaxation(cells, noise, SETTINGS)[0]
    shared = quick.errors.keys() & exact.errors.keys()
    assert {"1", "0.55", "refit", "offsets"} <= shared
    for name in shared:
        assert quick.errors[name] == pytest.approx(exact.errors[name], rel=0.01)


def test_the_search_for_a_penalty_in_many_cells_ends_before_a_large_rank(monkeypatch):
    module = "flatmin.estimators._completion.relaxation."
    monkeypatch.setattr(module + "MAX_CELLS", 100)
    monkeypatch.setattr(module + "MIN_FALL", -1.0)  # errors alone do not end a search
    cells = cells_of(220, 0.05)
    noise = fm.flat_minimum(cells.problem, alpha="auto").noise
    few = relaxation(cells, noise, SETTINGS)[0]
    monkeypatch.setattr(module + "MANY_CELLS", 100)
    monkeypatch.setattr(module + "MOST_BLOCK_ENTRIES", 0)
    monkeypatch.setattr(module + "FREE_RANKS", 2)
    many = relaxation(cells, noise, SETTINGS)[0]
    assert {"offsets", "refit", "1"} <= set(many.errors) < set(few.errors)
    assert many.errors == pytest.approx({name: few.errors[name] for name in many.errors}, rel=0.1)


def test_a_narrow_table_with_many_cells_has_no_limit_on_ranks(monkeypatch):
    """Its ranks are never large, and fits with unlimited rank are faster."""
    limits, start = list[int | None](), QuickPath.__init__

    def watched(self, problem, settings):
        limits.append(settings["max_rank"])
        start(self, problem, settings)

    monkeypatch.setattr(QuickPath, "__init__", watched)
    monkeypatch.setattr("flatmin.estimators._completion.relaxation.MAX_CELLS", 100)
    monkeypatch.setattr("flatmin.estimators._completion.relaxation.MANY_CELLS", 100)
    cells = cells_of(220, 0.05)
    noise = fm.flat_minimum(cells.problem, alpha="auto").noise
    relaxation(cells, noise, SETTINGS)
    relaxation(cells, noise, SETTINGS | {"max_rank": 3})
    assert limits == [None, 3]


@pytest.mark.parametrize("most", [100, 5000])
def test_the_fit_to_all_cells_starts_near_the_chosen_fit_to_a_part_of_them(most, monkeypatch):
    monkeypatch.setattr("flatmin.estimators._completion.relaxation.MAX_CELLS", most)
    rng = np.random.default_rng(1)
    table = (rng.standard_normal((40, 30)) * 0.8 ** np.arange(30)) @ rng.standard_normal((30, 30))
    table += 0.5 * rng.standard_normal(table.shape)
    cells = csr_array(np.where(rng.random(table.shape) < 0.6, table, 0.0))
    cells = Observations.from_cells(cells, None, Strengths())
    starts, solve = [], fitting.fit_cells

    def watched(cells, alpha, settings, start=None):
        starts.append(start)
        return solve(cells, alpha, settings, start)

    monkeypatch.setattr(fitting, "fit_cells", watched)
    found = fitting.complete(cells, "auto", "auto", Settings(1.0, None, 1e-8, None, 0))
    assert found.relaxation.share < 1
    near = starts[-1].factors
    difference = near[0] @ near[1].T - found.solution.matrix
    before = solve(cells, "auto", Settings(1.0, None, 1e-8, None, 0)).solution.matrix - found.solution.matrix
    assert np.linalg.norm(difference) < 0.8 * np.linalg.norm(before)

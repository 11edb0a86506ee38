"""The cells of the recipes, against independent oracles."""

from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin.lab import Evidence, PhaseMap, Store, recipes, sweep
from flatmin.lab.pages.findings import Finding
from flatmin.lab.recipes import depth, figure_3, figure_4, robust_pca


def check_courses(displays):
    """Check that gaps are not negative, as is certified, and that slices have the curvatures that they state."""
    for display in displays:
        if display.name == "courses":
            assert all(course.points.min() >= -1e-6 for course in display.courses)
            assert display.courses
            assert display.optima
        if display.name == "slices":
            for each in display.slices:
                middle, length = len(each.steps) // 2, each.steps[1] - each.steps[0]
                bent = np.diff(each.losses[:, middle - 1 : middle + 2], 2)[:, 0] / length**2
                assert bent == pytest.approx(np.array(each.curvatures), abs=0.1 * each.curvatures[0])


@pytest.mark.parametrize("name", recipes.names())
def test_a_few_cells_of_every_recipe_are_made(name, tmp_path):
    recipe = recipes.find(name).quickly()
    if recipe.needs:
        pytest.importorskip(recipe.needs)
    cells = recipe.cells[:: max(len(recipe.cells) // 2, 1)]
    recipe = replace(recipe, grid=[{key: [value] for key, value in cell.items()} for cell in cells], repetitions=1)
    with Store(tmp_path / "trials.db") as store:
        outcome = sweep(recipe, store)
    assert outcome.complete
    assert not outcome.failed
    assert len({frozenset(result.metrics) for result in outcome.results}) == 1
    finding = Finding.from_evidence(Evidence(recipe, outcome.results))
    assert not finding.trouble
    check_courses(finding.displays)
    if recipe.transition is not None:
        assert all(type(result.metrics[recipe.transition.success]) is bool for result in outcome.results)
        assert sum(sum(column.trials) for column in PhaseMap(recipe, outcome.results).columns) == len(cells)


def least_nuclear_norm(problem):
    """Return the interpolating matrix of least nuclear norm, by a solver that knows nothing of factors."""
    cvxpy = pytest.importorskip("cvxpy")
    X = cvxpy.Variable(problem.shape)
    maps = [problem.measurement.adjoint(row) for row in np.eye(problem.measurement.size)]
    constraints = [cvxpy.sum(cvxpy.multiply(A, X)) == b for A, b in zip(maps, problem.data, strict=True)]
    cvxpy.Problem(cvxpy.Minimize(cvxpy.normNuc(X)), constraints).solve(solver="SCS", eps=1e-9, max_iters=100_000)
    return X.value


@pytest.mark.parametrize(("panel", "m"), [("sensing", 16), ("completion", 22)])
def test_the_nuclear_method_is_least_nuclear_norm_of_the_same_draw(panel, m):
    parameters = {"panel": panel, "d": 6, "rank": 2, "m": m}
    found = figure_3.recover(parameters | {"method": "nuclear"}, 7)
    instance = fm.families.find(figure_3.PANELS[panel][0]).sample((6, 6), 2, m, seed=7)
    X = least_nuclear_norm(instance.problem)
    error = np.linalg.norm(X - instance.truth) / np.linalg.norm(instance.truth)
    assert found["error"] == pytest.approx(error, rel=1e-4)
    assert found["error"] > 0.1
    assert found["success"] is False
    flat = figure_3.recover(parameters | {"method": "flat"}, 7)
    assert flat["error"] != pytest.approx(found["error"], rel=1e-3)


def test_success_is_an_error_below_a_millionth():
    metrics = figure_3.recover({"panel": "sensing", "method": "flat", "d": 6, "rank": 1, "m": 34}, 0)
    assert metrics["success"] is True
    assert metrics["error"] < 1e-6
    assert metrics["rank_found"] == 1
    assert metrics["solved"] == "unique_flat_minimum"


@pytest.mark.parametrize("panel", figure_3.PANELS)
def test_cells_have_no_more_measurements_than_matter(panel):
    for cell in recipes.find("figure-3").cells:
        most = cell["d"] * (cell["d"] + 1) // 2 if panel in figure_3.HERMITIAN else cell["d"] ** 2
        if cell["panel"] == panel:
            assert 1 <= cell["m"] <= most
            assert set(cell) == {"panel", "method", "d", "rank", "m"}


def test_both_methods_see_the_same_draws():
    recipe = recipes.find("figure-3")
    cell = recipe.cells[0]
    other = {**cell, "method": "nuclear" if cell["method"] == "flat" else "flat"}
    assert recipe.trial(cell, 3).seed == recipe.trial(other, 3).seed


def test_norm_excess_is_against_the_least_nuclear_norm():
    metrics = figure_4.gaps({"panel": "sensing", "d": 5, "m": 14}, 3)
    instance = fm.families.matrix_sensing.sample((5, 5), 2, 14, seed=3)
    flat = fm.flat_minimum(instance.problem, seed=3)
    norm = sum(np.linalg.norm(factor) ** 2 for factor in flat.factors)
    least = np.linalg.svd(least_nuclear_norm(instance.problem), compute_uv=False).sum()
    assert metrics["norm_excess"] == pytest.approx(norm / (2 * least) - 1, abs=1e-5)
    L, R = flat.factors
    gap = np.linalg.svd(L.T @ L - R.T @ R, compute_uv=False).sum()
    assert metrics["balance_gap"] == pytest.approx(gap / (2 * np.linalg.svd(L @ R.T, compute_uv=False).sum()))
    D1, D2 = (
        np.einsum(to, A, A) for A in [instance.problem.measurement.matrices()] for to in ("mij,mkj->ik", "mij,mik->jk")
    )
    eigenvalues = np.sqrt(np.concatenate([np.linalg.eigvalsh(D1), np.linalg.eigvalsh(D2)]))
    assert metrics["condition"] == pytest.approx(eigenvalues.max() / eigenvalues.min())
    assert metrics["excess_bound"] == pytest.approx(metrics["condition"] ** 2 - 1)
    assert metrics["within_bound"] is True


def test_two_factors_find_a_sparse_vector_and_three_do_not():
    parameters = {"panel": "vectors", "n": 40, "sparsity": 3, "m": 24}
    assert depth.recover(parameters | {"depth": 2}, 1)["success"]
    three = depth.recover(parameters | {"depth": 3}, 1)
    assert not three["success"]
    assert three["error"] > 0.05
    assert depth.recover(parameters | {"depth": 3, "m": 40}, 1)["success"]


def test_three_matrices_find_one_of_low_rank_as_two_do():
    parameters = {"panel": "matrices", "d": 5, "rank": 1, "m": 19}
    two, three = (depth.recover(parameters | {"depth": layers}, 3) for layers in (2, 3))
    assert two["success"]
    assert abs(two["gap"]) < 1e-6
    assert three["success"]
    assert three["gap"] is None
    few = depth.recover(parameters | {"depth": 2, "m": 9}, 3)
    assert few["error"] > 0.05
    assert abs(few["gap"]) < 1e-6
    assert few["blind"] is False


def test_robust_pca_separates_few_errors_and_not_many():
    assert robust_pca.separate({"d": 24, "rank": 1, "corruption": 0.05}, 0)["success"]
    assert not robust_pca.separate({"d": 24, "rank": 6, "corruption": 0.3}, 0)["success"]


def test_a_failure_of_robust_pca_well_below_the_boundary_sits_in_one_row():
    """A certified solution that is wrong in one row, which is larger than most and has many gross errors."""
    seed = 251207963479273
    metrics = robust_pca.separate({"d": 50, "rank": 5, "corruption": 0.1}, seed)
    assert not metrics["success"]
    assert metrics["solved"] == "unique_flat_minimum"
    instance = fm.families.robust_pca.sample((50, 50), 5, None, seed=seed, corruption=0.1)
    wrong = fm.flat_minimum(instance.problem, seed=seed).matrix - instance.truth
    rows = np.linalg.norm(wrong, axis=1)
    assert np.sort(rows)[-2] < 1e-4 * rows.max()
    sizes = np.linalg.norm(instance.truth, axis=1)
    assert sizes[rows.argmax()] > 1.5 * np.median(sizes)

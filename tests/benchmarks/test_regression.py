"""The benchmark of regression runs on every table that needs no other package, and measures what it says."""

import numpy as np
import pytest
from benchmarks import regression


@pytest.mark.parametrize("name", ["diabetes", "wine, proline", "Friedman 1", "quadratic teacher"])
def test_tables_are_there(name):
    X, y = regression.TABLES[name]()
    assert X.shape == (len(y), X.shape[1])
    assert np.isfinite(X).all()
    assert np.std(y) > 0


def test_errors_are_shares_of_the_standard_deviation(monkeypatch):
    for name in list(regression.REGRESSORS):
        if name not in ("ridge", "network, auto"):
            monkeypatch.delitem(regression.REGRESSORS, name)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 3))
    found, seconds, ranks = regression.errors(X, X[:, 0] ** 2 + 0.1 * rng.standard_normal(120), 2)
    assert set(found) == set(seconds) == {"ridge", "network, auto"}
    assert found["ridge"].min() > 0.5
    assert found["network, auto"].max() < 0.3
    assert list(ranks) == [1, 1]

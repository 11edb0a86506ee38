"""Parameters of `PairRegressor` that Spark's ALS does not have; the fits are tested in tests/spark."""

import numpy as np
import pytest

from flatmin import InputError, PairRegressor
from flatmin.estimators._spark import engine_of, is_source, spark_fit

PARAMETERS = PairRegressor(0.1, engine="spark", metric_power=1).get_params()


def test_engines_and_sources(tmp_path):
    assert (engine_of("auto"), engine_of("spark")) == ("local", "spark")
    with pytest.raises(InputError, match="engine is 'dask'"):
        engine_of("dask")
    assert is_source(str(tmp_path))
    assert not is_source(np.ones((3, 2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": "auto"}, "expected a positive number, Spark's regParam"),
        ({"alpha": 0}, "only engine='local' fits exactly"),
        ({"metric_power": True}, "metric_power is True"),
        ({"offsets": "both"}, "subtract offsets from the values first"),
        ({"tol": 2.0}, "tol is 2.0, expected a number from 1e-14 to 1"),
    ],
)
def test_other_parameters_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        spark_fit([["a", "b"]], [1.0], None, PARAMETERS | changes, 0, lambda tol: None)

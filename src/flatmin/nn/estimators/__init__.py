"""Estimators of the trace of a symmetric operator that is known by its products with vectors, one file each."""

from flatmin.nn.estimators.exact import exact
from flatmin.nn.estimators.hutch_pp import hutch_pp
from flatmin.nn.estimators.hutchinson import hutchinson
from flatmin.nn.estimators.x_trace import x_trace

#: Estimators by the name that a result bears.
ESTIMATORS = {"exact": exact, "hutchinson": hutchinson, "hutch++": hutch_pp, "xtrace": x_trace}

__all__ = ["ESTIMATORS", "exact", "hutch_pp", "hutchinson", "x_trace"]


def __dir__() -> list[str]:
    return __all__

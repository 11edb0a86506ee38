"""Trace estimators for a symmetric operator that is known only through its products with vectors, one per file."""

from flatmin.nn.estimators._exact import exact
from flatmin.nn.estimators._hutch_pp import hutch_pp
from flatmin.nn.estimators._hutchinson import hutchinson
from flatmin.nn.estimators._x_nys_trace import x_nys_trace
from flatmin.nn.estimators._x_trace import x_trace
from flatmin.nn.estimators.base import TraceRequest

#: The function of each estimator, by the name that `TraceEstimate.method` has.
ESTIMATORS = {
    "exact": exact,
    "hutchinson": hutchinson,
    "hutch++": hutch_pp,
    "xtrace": x_trace,
    "xnystrace": x_nys_trace,
}

__all__ = ["ESTIMATORS", "TraceRequest", "exact", "hutch_pp", "hutchinson", "x_nys_trace", "x_trace"]
__dir__ = __all__.copy

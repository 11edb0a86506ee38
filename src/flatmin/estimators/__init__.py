"""Estimators for scikit-learn, one file each; the public classes of every file are found automatically."""

from flatmin._core.registry import Registry
from flatmin.estimators.base import FlatEstimator, MatrixRegressor

_ESTIMATORS = Registry[type[FlatEstimator]]("estimator", FlatEstimator, classes=True, package=__name__)
__getattr__ = _ESTIMATORS.attribute_of
__all__ = ["FlatEstimator", "MatrixRegressor", *_ESTIMATORS.own()]
__dir__ = __all__.copy

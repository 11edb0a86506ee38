"""scikit-learn estimators over all models, one file each; the public classes of every file are found by themselves."""

from typing import Any

from flatmin._core.registry import public_names
from flatmin.estimators.base import FlatEstimator, MatrixRegressor

_FOUND = public_names(__name__, list(__path__))
__all__ = ["FlatEstimator", "MatrixRegressor", *_FOUND]


def __getattr__(name: str) -> Any:
    if name in _FOUND:
        return _FOUND[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__

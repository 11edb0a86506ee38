"""Maps from factors to a matrix, one file for each; `register` adds a map from another package."""

from flatmin._core.registry import Registry
from flatmin.parametrizations.base import Parametrization

_PARAMETRIZATIONS = Registry[type[Parametrization]](
    "parametrization", Parametrization, classes=True, package=__name__, group="flatmin.parametrizations"
)
find, names, register, unregister = (
    _PARAMETRIZATIONS.find,
    _PARAMETRIZATIONS.names,
    _PARAMETRIZATIONS.register,
    _PARAMETRIZATIONS.unregister,
)
__getattr__ = _PARAMETRIZATIONS.attribute_of
__all__ = ["Parametrization", "find", "names", "register", "unregister", *_PARAMETRIZATIONS.own()]
__dir__ = __all__.copy

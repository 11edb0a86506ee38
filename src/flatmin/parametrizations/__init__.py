"""Maps from factors to a matrix, one file each; `register` adds one from outside."""

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

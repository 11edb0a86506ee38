"""Linear measurement maps, one file for each; `register` adds a map from another package."""

from flatmin._core.registry import Registry
from flatmin.measurements.base import Measurement

_MEASUREMENTS = Registry[type[Measurement]](
    "measurement", Measurement, classes=True, package=__name__, group="flatmin.measurements"
)
find, names, register, unregister = (
    _MEASUREMENTS.find,
    _MEASUREMENTS.names,
    _MEASUREMENTS.register,
    _MEASUREMENTS.unregister,
)
__getattr__ = _MEASUREMENTS.attribute_of
__all__ = ["Measurement", "find", "names", "register", "unregister", *_MEASUREMENTS.own()]
__dir__ = __all__.copy

"""Views: the parts of a report that a family defines, one file each, named as the family; `register` adds one."""

from flatmin._core.registry import Registry
from flatmin.report.views.base import View

_VIEWS = Registry[View]("report view", View, package=__name__, attribute="VIEW", group="flatmin.views")
register, unregister = _VIEWS.register, _VIEWS.unregister
__all__ = ["View", "register", "unregister", "view_of"]


def view_of(name: str) -> View:
    """Return the view of a family such as "phase-retrieval"; a family without one is shown as a matrix."""
    return _VIEWS.find(name) if name in _VIEWS.names() else View()


__dir__ = __all__.copy

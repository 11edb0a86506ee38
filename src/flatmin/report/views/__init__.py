"""What is special about the report of each family, one file each with a ``VIEW``, found by the family's name."""

from importlib import import_module

from flatmin._core.registry import submodules
from flatmin.report.views.base import View

__all__ = ["View", "view_of"]


def view_of(name: str) -> View:
    """Return the view of a family such as "phase-retrieval"; families without one show a matrix."""
    module = name.replace("-", "_")
    if module not in submodules(list(__path__)):
        return View()
    view = import_module(f"{__name__}.{module}").VIEW
    assert isinstance(view, View)
    return view


def __dir__() -> list[str]:
    return __all__

"""Finding a package's files by themselves, so that adding one changes nothing else."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

__all__ = ["public_names", "submodules"]


def submodules(path: list[str]) -> list[str]:
    """Return the names of a package's modules, ascending, without ``base`` and private ones."""
    return sorted(m.name for m in iter_modules(path) if not m.name.startswith("_") and m.name != "base")


def public_names(package: str, path: list[str]) -> dict[str, Any]:
    """Import a package's modules and return what their ``__all__`` lists, by name."""
    modules = [import_module(f"{package}.{name}") for name in submodules(path)]
    return {name: getattr(module, name) for module in modules for name in module.__all__}

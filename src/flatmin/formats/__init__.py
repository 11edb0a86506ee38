"""Files that hold a problem or a solution, one format each; every file with a ``FORMAT`` is found by itself."""

from importlib import import_module
from pathlib import Path

from flatmin._core.registry import submodules
from flatmin.formats.base import Cells, Document

__all__ = ["Cells", "Document", "find", "suffixes"]


def _documents() -> list[type[Document]]:
    modules = [import_module(f"{__name__}.{name}") for name in submodules(list(__path__))]
    return [module.FORMAT for module in modules if hasattr(module, "FORMAT")]


def suffixes() -> list[str]:
    """Return the endings of all files that hold a matrix with holes, ascending."""
    return sorted(suffix for document in _documents() for suffix in document.suffixes)


def find(path: Path) -> type[Document] | None:
    """Return the format of a folder, or of a file's ending, or None."""
    folder = path.is_dir()
    for document in _documents():
        if document.is_folder if folder else path.suffix.lower() in document.suffixes:
            return document
    return None


def __dir__() -> list[str]:
    return __all__

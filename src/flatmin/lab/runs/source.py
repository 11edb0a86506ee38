"""What a function computes, as a digest of the code that it reaches."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import flatmin
from flatmin.errors import InputError

__all__ = ["digest_of", "library_digest"]

#: Code that is followed from one module into another. What lies below is told by the version of flatmin.
FOLLOWED = "flatmin.lab"
#: Packages that no cell reaches.
SHELLS = {"cli", "report", "formats", "experiments", "nn", "testing"}


def digest_of(function: Callable[..., Any]) -> str:
    """Return a digest of the code of a function and of what it uses in its own module and in `flatmin.lab`.

    Comments, docstrings, layout, and definitions that the function does not use leave it as it is.

    Raises
    ------
    InputError
        If the function does not stand at the top level of a module with a source.
    """
    module = inspect.getmodule(function)
    name = getattr(function, "__name__", None)
    if module is None or name is None or getattr(module, name, None) is not function:
        raise InputError(f"the cell is {function!r}, expected a function at the top level of a module")
    reached: dict[tuple[str, str], str] = {}
    _reach(module, name, reached)
    # Its own module has no name here: a script is called __main__ when it is run and otherwise when it is imported.
    codes = sorted((place if place != module.__name__ else "", name, code) for (place, name), code in reached.items())
    text = "\n".join(map(repr, codes))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def library_digest() -> str:
    """Return a digest of the files that compute, to tell one state of a development copy from another."""
    root = Path(flatmin.__file__).parent
    hashed = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] not in SHELLS:
            hashed.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return hashed.hexdigest()[:16]


def _reach(module: ModuleType, name: str, reached: dict[tuple[str, str], str]) -> None:
    """Add the definition of a name, and of every name that it uses."""
    place = (module.__name__, name)
    definitions = _definitions(module)
    if place in reached or name not in definitions:
        return
    node = definitions[name]
    if isinstance(node, ast.ImportFrom):
        if (node.module or "").startswith(FOLLOWED):
            original = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
            _reach(importlib.import_module(str(node.module)), original, reached)
        return
    reached[place] = ast.unparse(node)
    for used in ast.walk(node):
        if isinstance(used, ast.Name):
            _reach(module, used.id, reached)


@cache
def _definitions(module: ModuleType) -> dict[str, ast.stmt]:
    """Return the statements at the top level of a module by the names that they define, without docstrings."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError) as error:
        raise InputError(f"the module {module.__name__} of the cell has no source, expected a file") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return {name: node for node in tree.body for name in _names(node)}


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (item.id for target in targets for item in ast.walk(target) if isinstance(item, ast.Name))

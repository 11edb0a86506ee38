"""Digests of source code: the version of an experiment, and the state of the whole library."""

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import flatmin
from flatmin.errors import InputError

__all__ = ["digest_of", "library_digest"]

#: The digest of a cell includes code from this package; flatmin's version number stands for all other code.
FOLLOWED = "flatmin.lab"
#: Parts of flatmin that cannot change the result of a cell, and are left out of the library's digest.
UNUSED = {"cli", "report", "formats", "lab", "testing"}
ROOT = Path(flatmin.__file__).parent


def digest_of(function: Callable[..., Any]) -> str:
    """Return a digest of the code of a function, and of what it uses in its own module and in `flatmin.lab`.

    Imports inside functions are followed too. The digest ignores comments, docstrings, layout, unused definitions, and
    the modules in which definitions stand.

    Raises
    ------
    InputError
        If the function is not defined at the top level of a module with a source.
    """
    module = inspect.getmodule(function)
    name = getattr(function, "__name__", None)
    if module is None or name is None or getattr(module, name, None) is not function:
        raise InputError(f"the cell is {function!r}, expected a function at the top level of a module")
    try:
        source = inspect.getsource(module)
    except (OSError, TypeError) as error:
        raise InputError(f"the module {module.__name__} of the cell has no source, expected a file") from error
    reached: dict[tuple[str, str], str] = {}
    _reach(module.__name__, name, {module.__name__: _definitions(source)}, reached)
    text = "\n".join(sorted(repr((name, code)) for (_, name), code in reached.items()))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def library_digest() -> str:
    """Return a digest of the files on which results depend; it tells states of a development copy apart."""
    hashed = hashlib.sha256()
    for path in sorted(ROOT.rglob("*.py")):
        if path.relative_to(ROOT).parts[0] not in UNUSED:
            hashed.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return hashed.hexdigest()[:16]


def _reach(module: str, name: str, known: dict[str, dict[str, ast.stmt]], reached: dict[tuple[str, str], str]) -> None:
    """Add the definition of a name, and of every name that it uses; ``known`` has the definitions by module."""
    if module not in known:
        known[module] = _definitions(_source_of(module))
    node = known[module].get(name)
    if node is None or (module, name) in reached:
        return
    if isinstance(node, ast.ImportFrom):
        if node.module != module:  # otherwise a package imports a file of its own
            _reach_imported(node, name, known, reached)
        return
    reached[module, name] = ast.unparse(node)
    for used in ast.walk(node):
        if isinstance(used, ast.Name):
            _reach(module, used.id, known, reached)
        elif isinstance(used, ast.ImportFrom):
            for alias in used.names:
                _reach_imported(used, alias.asname or alias.name, known, reached)


def _reach_imported(node: ast.ImportFrom, name: str, known: Any, reached: Any) -> None:
    if (node.module or "").startswith(FOLLOWED):
        original = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        _reach(str(node.module), original, known, reached)


def _source_of(module: str) -> str:
    """Return the text of a module of flatmin without importing it."""
    path = ROOT.joinpath(*module.split(".")[1:])
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")


def _definitions(source: str) -> dict[str, ast.stmt]:
    """Return the statements at the top level of a module by the names that they define, without docstrings."""
    tree = ast.parse(source)
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

"""The import graph of the package, read from its source on full module paths, and imports without PyTorch."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import flatmin

ROOT = Path(flatmin.__file__).parent

#: The start of a program that cannot find PyTorch, as where it is not installed.
WITHOUT_TORCH = """
import sys

class Finder:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == "torch" else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Finder(finder) for finder in sys.meta_path]
"""


def modules(root=ROOT):
    """Return the file of every module under a package's folder, by its full name; a package is its ``__init__``."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path):
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text())


def statements(node):
    """Yield the statements below a node, without their expressions, of which there are many more."""
    for part in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, part, ()):
            yield child
            yield from statements(child)


def imports(path, known):
    """Return the modules among ``known`` that a file imports anywhere: in functions and for type checkers too."""
    found = set()
    for node in statements(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in names}
    return found & set(known)


@cache
def graph(root=ROOT):
    """Return what every module of a package imports, without the package's own face, which imports everything."""
    known = modules(root)
    return {name: imports(path, known) - {name, root.name} for name, path in known.items() if name != root.name}


def children(edges, folder):
    """Return the graph between the files and subfolders of one folder, each subfolder taken as a whole."""

    def child(name):
        rest = name.removeprefix(folder + ".")
        return rest.split(".")[0] if rest != name else None

    found = {}
    for name, others in edges.items():
        if (own := child(name)) is not None:
            found.setdefault(own, set()).update({c for c in map(child, others) if c is not None} - {own})
    return found


def circle(edges):
    """Return the names along a circle of a graph, or None."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return None

"""Write the pages of the API reference: one for each public package, and one for each name that it offers.

Public packages are those directly below ``flatmin`` that have names in ``__all__``, and ``flatmin`` itself. A name that
several packages offer has one page, in the package with the shortest path.
"""

import inspect
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole

#: The section of the guide that a package belongs to, and its title.
GUIDES: dict[str, str] = {
    "flatmin": "tutorial",
    "flatmin.estimators": "estimators",
    "flatmin.families": "models",
    "flatmin.measurements": "models",
    "flatmin.nn": "networks",
    "flatmin.explorer": "explorer",
    "flatmin.lab": "sweeps",
    "flatmin.spark": "spark",
    "flatmin.cli": "command_line",
    "flatmin.errors": "command_line",
    "flatmin.problem": "models",
    "flatmin.report": "command_line",
    "flatmin.solution": "proved",
    "flatmin.testing": "architecture",
    "flatmin.losses": "theory/robust_pca",
    "flatmin.parametrizations": "theory/flatness",
    "flatmin.cones": "theory/flatness",
    "flatmin.solvers": "theory/algorithms",
    "flatmin.formats": "command_line",
}


@dataclass(frozen=True)
class PublicName:
    """A public name: the package whose page lists it, and the object."""

    package: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        """The dotted path by which users import it."""
        return f"{self.package}.{self.name}"

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        text = inspect.getdoc(self.value) if callable(self.value) else None
        return (text or "").split("\n\n")[0].replace("\n", " ")


def public_packages() -> dict[str, ModuleType]:
    """Return the public packages by their names."""
    root = import_module("flatmin")
    found = {"flatmin": root}
    for module in iter_modules(root.__path__, "flatmin."):
        if not module.name.rpartition(".")[2].startswith("_"):
            package = import_module(module.name)
            if getattr(package, "__all__", None):
                found[module.name] = package
    return found


def public_names() -> list[PublicName]:
    """Return the public names of all packages, once for each package that offers them."""
    return [
        PublicName(package, name, getattr(module, name))
        for package, module in public_packages().items()
        for name in module.__all__
        if not isinstance(getattr(module, name), ModuleType) and not name.startswith("__")
    ]


def homes(names: list[PublicName]) -> dict[int, PublicName]:
    """Return the name whose page describes an object, by the identity of the object."""
    found: dict[int, PublicName] = {}
    for name in sorted(names, key=lambda n: n.package.count(".")):
        found.setdefault(id(name.value), name)
    return found


def write_pages(app: Sphinx) -> None:
    """Write all pages of the reference into the folder ``api``."""
    folder = Path(app.srcdir) / "api"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "packages").mkdir(parents=True)
    names = public_names()
    home = homes(names)
    for package, module in public_packages().items():
        own = [name for name in names if name.package == package]
        (folder / "packages" / f"{package}.md").write_text(_package_page(package, module, own, home), encoding="utf-8")
    for name in home.values():
        (folder / f"{name.path}.md").write_text(_name_page(name), encoding="utf-8")


def _package_page(package: str, module: ModuleType, own: list[PublicName], home: dict[int, PublicName]) -> str:
    """Return the page of a package: its docstring and a table of its names."""
    rows = "".join(f"* - {{py:obj}}`{n.name} <{home[id(n.value)].path}>`\n  - {_as_markdown(n.summary)}\n" for n in own)
    pages = "".join(f"../{n.path}\n" for n in own if home[id(n.value)] == n)
    return f"""# {package}

```{{eval-rst}}
.. py:module:: {package}
```

{_as_markdown(inspect.getdoc(module) or "")}

{guide(package)}

```{{list-table}}
:widths: 30 70

{rows}```

```{{toctree}}
:hidden:

{pages}```
"""


def guide(package: str) -> str:
    """Return a line that leads to the section of the guide."""
    return f"Guide: {{doc}}`/{GUIDES[package]}`." if package in GUIDES else ""


def _as_markdown(text: str) -> str:
    """Return a reStructuredText sentence of a docstring as Markdown: double backticks become single ones."""
    return text.replace("``", "`").replace("|", "\\|")


def _name_page(name: PublicName) -> str:
    """Return the page of a name."""
    if inspect.isclass(name.value):
        kind, options = "autoclass", "   :members:\n   :inherited-members: object, BaseException, dict, Exception\n"
    else:
        kind, options = ("autofunction" if callable(name.value) else "autodata"), ""
    return f"""# {name.name}

```{{eval-rst}}
.. {kind}:: {name.path}
{options}```

Package: {{py:mod}}`{name.package}`.
"""


class NameRole(PyXRefRole):
    """The role of text in single backticks: a link if it is a public name, else text in code style."""

    def result_nodes(self, document, env, node, is_ref):  # type: ignore[no-untyped-def]  # noqa: D102
        node["name_role"] = True
        node["refspecific"] = True
        return super().result_nodes(document, env, node, is_ref)


def skip_foreign(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Skip members that other libraries define, such as those of `torch.nn.Module`."""
    module = getattr(inspect.unwrap(obj), "__module__", None) if callable(obj) else None
    return True if module and not module.startswith("flatmin") else None


def leave_as_code(app: Sphinx, env: Any, node: nodes.Element, content: nodes.Node) -> nodes.Node | None:
    """Leave text in single backticks that is no public name in code style."""
    return content if node.get("name_role") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the writer and the role."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("missing-reference", leave_as_code)
    app.add_role("name", NameRole(innernodeclass=nodes.literal))
    app.add_role_to_domain("py", "name", NameRole(innernodeclass=nodes.literal))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

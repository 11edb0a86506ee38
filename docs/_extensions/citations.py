"""Let the references of docstrings lead to the bibliography: a quoted title or an arXiv number gets a citation."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pybtex.database import parse_file
from sphinx.application import Sphinx

FILE = Path(__file__).parents[1] / "references.bib"
#: The section of references of a docstring in NumPy's format.
SECTION = re.compile(r"^References\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", re.MULTILINE | re.DOTALL)
TITLE, NUMBER = re.compile(r'"([^"]+?),?"'), re.compile(r"arXiv (\d{4}\.\d{4,5})")


@cache
def keys() -> dict[str, str]:
    """Return the keys of the bibliography by titles in lower case, by their parts before a colon, and by numbers."""
    found = {}
    for key, entry in parse_file(str(FILE), "bibtex").entries.items():
        title = entry.fields["title"].lower()
        found[title] = found[title.partition(":")[0]] = key
        if "eprint" in entry.fields:
            found[entry.fields["eprint"]] = key
    return found


def section(docstring: str) -> str:
    """Return the references of a docstring, one line, empty if there are none."""
    found = SECTION.search(docstring)
    return " ".join(found[1].split()) if found else ""


def cited(text: str) -> Iterator[str]:
    """Yield the keys of the publications that a text names by title or number, each once."""
    names = [m[1].lower() for m in TITLE.finditer(text)] + [m[1] for m in NUMBER.finditer(text)]
    yield from dict.fromkeys(keys()[name] for name in names if name in keys())


def add_citations(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Add the citations of a docstring at the end of its references."""
    found = list(cited(section("\n".join(lines))))
    if found:
        at = next(i for i, line in enumerate(lines) if line == "References") + 2
        lines[at:at] = [f":cite:`{','.join(found)}`", ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the handler, which comes before that of numpydoc."""
    app.connect("autodoc-process-docstring", add_citations, priority=1)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

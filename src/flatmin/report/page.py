"""What a report is made of, and how it becomes one HTML file.

A report is a list of sections. A section is a title, prose, statements (each proved, refused or undecided), figures,
facts (a name, a value and what it means) and a table; whatever is empty is left out. A new family adds sections; the
template stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

__all__ = ["Fact", "Figure", "Page", "Section", "Statement", "Table", "Verdict", "render"]


@dataclass(frozen=True)
class Verdict:
    """The answer in one sentence, what to do about it, and whether it is good news."""

    good: bool
    headline: str
    advice: str = ""


@dataclass(frozen=True)
class Statement:
    """Something that holds (True), does not (False), or is not decided or not asked (None)."""

    holds: bool | None
    title: str
    text: str


@dataclass(frozen=True)
class Fact:
    """A name, its value in words or digits, and what it means."""

    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture: inline SVG (trusted markup) or the data URI of an image, with its title and alternative text.

    Coarse images show their pixels as squares; wide figures have a row for themselves.
    """

    title: str
    alt: str
    caption: str
    svg: str = ""
    image: str = ""
    coarse: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """Numbers in columns, folded away under a title unless ``folded`` is False.

    Where there are ``keys``, one for each cell, the reader may sort the rows by them: numbers, text, or None for what
    comes last. ``words`` says that the cells are phrases.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = True
    keys: Sequence[Sequence[float | str | None]] = ()
    words: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page; ``name`` is its address within the page."""

    name: str
    title: str
    prose: Sequence[str] = ()
    statements: Sequence[Statement] = ()
    figures: Sequence[Figure] = ()
    facts: Sequence[Fact] = ()
    points: Sequence[str] = ()
    code: str = ""
    table: Table | None = None


@dataclass(frozen=True)
class Page:
    """A whole report: its heading, the verdict with the facts that matter most, the sections and the small print."""

    title: str
    kicker: str
    subtitle: str
    verdict: Verdict
    highlights: Sequence[Fact]
    sections: Sequence[Section]
    footer: str = ""
    caution: str = ""
    notes: Sequence[str] = field(default=())


def render(page: Page) -> str:
    """Return the page as HTML that loads nothing; every string is escaped except the SVG of figures.

    It has a script only if there is a table to sort, and is complete without it.
    """
    from jinja2 import Environment, StrictUndefined

    files = resources.files(__package__)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    sorts = any(section.table and section.table.keys for section in page.sections)
    script = (files / "sort.js").read_text(encoding="utf-8") if sorts else ""
    return template.render(page=page, style=(files / "page.css").read_text(encoding="utf-8"), script=script)

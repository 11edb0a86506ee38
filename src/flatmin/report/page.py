"""What a report is made of, and how it becomes one HTML file.

A report is a list of sections. A section is a title, prose, statements (each proved, refused or undecided), figures,
facts (a name, a value and what it means), a table, and parts that are sections again; whatever is empty is left out. A
new family adds sections; the template stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources

__all__ = [
    "Chip",
    "Fact",
    "Figure",
    "Overview",
    "OverviewLine",
    "Page",
    "Section",
    "Statement",
    "Table",
    "Verdict",
    "render",
]


@dataclass(frozen=True)
class Verdict:
    """The answer in one sentence, what to do about it, and whether it is good news."""

    good: bool
    headline: str
    advice: str = ""


@dataclass(frozen=True)
class Statement:
    """Something that holds (True), does not (False), or is not decided or not asked (None).

    ``name`` is its address within the page, and ``word`` says in text what the mark beside it shows.
    """

    holds: bool | None
    title: str
    text: str
    name: str = ""
    word: str = ""


@dataclass(frozen=True)
class Fact:
    """A name, its value in words or digits, and what it means."""

    name: str
    value: str
    meaning: str = ""


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
class Figure:
    """A picture: inline SVG (trusted markup) or the data URI of an image, with its title and alternative text.

    Coarse images show their pixels as squares; wide figures have a row for themselves. The table holds the numbers
    behind the picture.
    """

    title: str
    alt: str
    caption: str
    svg: str = ""
    image: str = ""
    coarse: bool = False
    wide: bool = False
    table: Table | None = None


@dataclass(frozen=True)
class Chip:
    """A small link to a statement elsewhere in the page, marked as that is; ``label`` is read aloud in place of it."""

    target: str
    holds: bool | None
    text: str
    label: str


@dataclass(frozen=True)
class OverviewLine:
    """A line of an overview: a link to a section, chips for its statements, and what else there is to say of it."""

    target: str
    title: str
    chips: Sequence[Chip]
    cells: Sequence[str] = ()


@dataclass(frozen=True)
class Overview:
    """Sections of the page and how they came out; the head names the title, the chips and the cells of each line."""

    title: str
    head: Sequence[str]
    lines: Sequence[OverviewLine]


@dataclass(frozen=True)
class Section:
    """A part of the page; ``name`` is its address within the page, ``label`` a short title for the list of sections.

    Leads are paragraphs that begin with a name.
    """

    name: str
    title: str
    prose: Sequence[str] = ()
    statements: Sequence[Statement] = ()
    figures: Sequence[Figure] = ()
    facts: Sequence[Fact] = ()
    points: Sequence[str] = ()
    code: str = ""
    table: Table | None = None
    overview: Overview | None = None
    parts: Sequence[Section] = ()
    leads: Sequence[Fact] = ()
    label: str = ""


@dataclass(frozen=True)
class Page:
    """A whole report: its heading, the verdict with the facts that matter most, the sections and the small print.

    ``generator`` names the program in the head of the file, so that it knows its own files again. Broad pages are for
    many figures side by side.
    """

    title: str
    kicker: str
    subtitle: str
    verdict: Verdict
    highlights: Sequence[Fact]
    sections: Sequence[Section]
    footer: str = ""
    caution: str = ""
    notes: Sequence[str] = field(default=())
    generator: str = ""
    broad: bool = False


def render(page: Page) -> str:
    """Return the page as HTML that loads nothing; every string is escaped except the SVG of figures.

    It has a script only if there is a table to sort, and is complete without it.
    """
    from jinja2 import Environment, StrictUndefined

    files = resources.files(__package__)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    sorts = any(table.keys for section in page.sections for table in _tables(section))
    script = (files / "sort.js").read_text(encoding="utf-8") if sorts else ""
    return template.render(page=page, style=(files / "page.css").read_text(encoding="utf-8"), script=script)


def _tables(section: Section) -> Iterator[Table]:
    """Give all tables of numbers in a section, those of its figures and of its parts among them."""
    yield from (table for table in (section.table, *(figure.table for figure in section.figures)) if table is not None)
    for part in section.parts:
        yield from _tables(part)

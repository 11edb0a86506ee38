"""The parts of a report, and the function that turns them into one HTML file.

A report is a list of sections. A section has a title, prose, figures, statements (each proved, refused or undecided),
facts (a name, a value and its meaning), a table, and parts that are sections again. Parts that are empty are left out.
A new family adds sections; the template does not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources

from flatmin._version import __version__

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

#: Characters that would change how the text after them is shown, and what takes their place in a page.
STEERING: dict[int, str | None] = {
    **dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((0x061C, 0x200E, 0x200F)),
}


@dataclass(frozen=True)
class Verdict:
    """The answer in one sentence, the advice to the reader, and whether the answer is good news."""

    good: bool
    headline: str
    advice: str = ""


@dataclass(frozen=True)
class Statement:
    """A statement that holds (True), does not hold (False), or is undecided or was not tested (None).

    ``name`` is the address of the statement within the page. ``word`` is the meaning of its mark as text.
    """

    holds: bool | None
    title: str
    text: str
    name: str = ""
    word: str = ""


@dataclass(frozen=True)
class Fact:
    """The name of a quantity, its value in words or digits, and its meaning."""

    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """A table, which the reader unfolds by its title unless ``folded`` is False.

    If there are ``keys``, one for each cell, the reader can sort the rows by them. A key is a number, a text, or None
    for cells that come last. ``words`` says that the cells are phrases and not numbers.
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

    A ``coarse`` image shows its pixels as squares, and a ``wide`` figure takes a whole row. The table has the numbers
    that the picture shows.
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
    """A small link to a statement of the page, with the statement's mark; screen readers read ``label`` instead."""

    target: str
    holds: bool | None
    text: str
    label: str


@dataclass(frozen=True)
class OverviewLine:
    """A line of an overview: a link to a section, chips for the section's statements, and further cells."""

    target: str
    title: str
    chips: Sequence[Chip]
    cells: Sequence[str] = ()


@dataclass(frozen=True)
class Overview:
    """A table of sections and their results; ``head`` names the columns: the title, the chips and the cells."""

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

    ``generator`` is the program's name in the head of the file, by which the program recognises its own files. A
    ``broad`` page has room for many figures side by side.
    """

    title: str
    kicker: str
    subtitle: str
    verdict: Verdict
    highlights: Sequence[Fact]
    sections: Sequence[Section]
    footer: str = f"Written by flatmin {__version__}. This page loads nothing from outside."
    caution: str = ""
    notes: Sequence[str] = field(default=())
    generator: str = ""
    broad: bool = False


def render(page: Page) -> str:
    """Return the page as HTML that loads nothing; every string is escaped except the SVG of figures.

    Formulas in sentences become pictures (`flatmin.report.typesetting.formulas`).

    Control characters and signs that turn the direction of writing, in names from files, are shown as unknown signs.
    The page has a script only if there is a table to sort, and is complete without it.
    """
    from jinja2 import Environment, StrictUndefined

    from flatmin.report.typesetting.formulas import typeset

    files = resources.files(__package__)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["typeset"] = typeset
    template = environment.from_string((files / "page.html").read_text(encoding="utf-8"))
    sorts = any(table.keys for section in page.sections for table in _tables(section))
    script = (files / "sort.js").read_text(encoding="utf-8") if sorts else ""
    style = (files / "page.css").read_text(encoding="utf-8")
    return template.render(page=page, style=style, script=script).translate(STEERING)


def _tables(section: Section) -> Iterator[Table]:
    """Yield all tables of a section, including those of its figures and of its parts."""
    yield from (table for table in (section.table, *(figure.table for figure in section.figures)) if table is not None)
    for part in section.parts:
        yield from _tables(part)

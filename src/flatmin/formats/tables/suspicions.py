"""Sentences about cells that may be missing marks, numbers in another notation, identifiers or years."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from flatmin._core.arrays import Array
from flatmin.formats.delimited import plain_number
from flatmin.formats.tables.table_column import ColumnCells

__all__ = [
    "about_marks",
    "about_numbering",
    "about_text",
    "about_truth",
    "counted_marks",
    "missing_options",
    "too_large",
    "unreadable",
]

#: Numbers that are offered as missing marks wherever they are found.
MARKS = frozenset({-999.0, -9999.0, -99999.0})
#: Numbers that are offered as missing marks if they lie far from all others.
SENTINELS = MARKS | {-9.0, -99.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0, -1.0}
#: Numbers of at least this size are offered as missing marks if a column has others too; NetCDF files have 9.97e36.
HUGE = 1e30
#: A name that identifiers have.
IDENTIFIER = re.compile(r"(?i:(^|[\s_.-])(id|no|nr|num|number|code|key|index|zip|uid|fips)s?$)|[a-z]ID$")
#: A large positive number is compared with at least this number of different other ones.
FEWEST_VALUES = 3
#: Columns with fewer rows than this are not called identifiers.
FEWEST_ROWS = 10
#: The years that a column of years may hold.
YEARS = (1800.0, 2100.0)
#: The largest number of different texts that a message lists.
MOST_TEXTS = 4
#: The largest absolute value of a number. The sum of the squares of such numbers is finite.
LARGEST = 1e150
#: Truth values, in lower case.
TRUTH = frozenset({"true", "false"})
CURRENCIES = "$€£¥"
#: The minus sign and the dash of typography, which numbers of computers do not have.
MINUS_SIGNS = ("\u2212", "\u2013")
THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.'’ \u00a0\u202f]\d{3})+([.,]\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def counted_marks(cells: ColumnCells) -> dict[float, int]:
    """Return the numbers in a numeric column that may mark missing cells, each with the number of its cells."""
    values = cells.values[~np.isnan(cells.values)]
    return {mark: int(np.count_nonzero(values == mark)) for mark in _sentinels(values)}


def about_marks(counts: Mapping[str, Mapping[float, int]]) -> Iterator[str]:
    """Yield a sentence about each number that may mark missing cells, for the `counted_marks` of named columns."""
    for mark in dict.fromkeys(mark for found in counts.values() for mark in found):
        names, shown = [name for name, found in counts.items() if mark in found], _plain(mark)
        count = sum(counts[name][mark] for name in names)
        cells = "one cell" if count == 1 else f"{count} cells"
        if len(names) == 1:
            fact = f"column {names[0]!r} has {shown} in {cells} and counts it as a number"
        else:
            fact = f"{len(names)} columns, such as {names[0]!r}, have {shown} in {cells} and count it as a number"
        yield f"{fact}; if it marks missing cells, pass --missing {shown}"


def about_numbering(name: str, cells: ColumnCells) -> Iterator[str]:
    """Yield a sentence about a numeric column that may hold identifiers or years."""
    kind = _numbering(name, cells.values[~np.isnan(cells.values)], bool(cells.holes.any()))
    if kind:
        remedy = f"--ignore {shlex.quote(name)} leaves it out"
        yield f"column {name!r} looks like {kind} and is fitted like any other; {remedy}"


def about_text(name: str, cells: ColumnCells) -> Iterator[str]:
    """Yield sentences about a column of text that may be numbers in another notation, or mostly missing marks."""
    numbers = int(np.count_nonzero(~np.isnan(cells.values)))
    notations = [(text, notation) for text in cells.others.values() if (notation := _notation(text))]
    total = numbers + cells.n_texts
    if notations and 2 * (len(notations) + numbers) >= total:
        text, notation = notations[0]
        yield (
            f"column {name!r} has numbers with {notation}, such as {text!r}, so it is carried along and not filled; "
            "write plain numbers to have it filled"
        )
    elif numbers and len(cells.commonest) <= MOST_TEXTS:
        yield (
            f"column {name!r} has {numbers} numbers and more cells of text, so it is carried along and not filled; if "
            f"the text marks missing cells, pass {missing_options(cells.commonest)}"
        )


def about_truth(name: str, cells: ColumnCells) -> Iterator[str]:
    """Yield a sentence about a column of truth values."""
    if np.isnan(cells.values).all() and {text.lower() for text in cells.commonest} in (TRUTH, {"true"}, {"false"}):
        found = " and ".join(cells.commonest)
        yield f"column {name!r} has {found}, so it is carried along and not filled; write 1 and 0 to have it filled"


def too_large(name: str, cells: ColumnCells, place: Callable[[int], str]) -> str:
    """Return one sentence about the first number that is too large to be squared, "" if there is none.

    ``place`` returns where a row stands in the file.
    """
    rows = np.flatnonzero(np.abs(cells.values) > LARGEST)
    if not len(rows):
        return ""
    found = _plain(float(cells.values[rows[0]]))
    return (
        f"column {name!r} has {found} in {place(int(rows[0]))}, expected numbers of size {LARGEST:g} at most; if it "
        f"marks a missing cell, pass --missing {found}, otherwise use a larger unit"
    )


def unreadable(columns: Mapping[str, tuple[str, ColumnCells]]) -> str:
    """Return one sentence about the text in numeric columns; ``columns`` has the first place of text and the cells."""
    parts, marks = [], list[str]()
    for name, (place, cells) in list(columns.items())[:MOST_TEXTS]:
        found = cells.commonest
        shown = ", ".join(repr(_short(text)) for text in found[:MOST_TEXTS])
        others = f" and {len(found) - MOST_TEXTS} other texts" if len(found) > MOST_TEXTS else ""
        parts.append(f"column {name!r} contains {shown}{others} (first in {place})")
        marks += [text for text in found if text not in marks]
    more = f", and {len(columns) - MOST_TEXTS} more columns contain text" if len(columns) > MOST_TEXTS else ""
    notation = next((kind for text in marks if (kind := _notation(text))), "")
    marks = [text for text in marks if not _notation(text)]
    remedies = [f"write numbers without {notation}"] if notation else []
    if marks:
        which = "other text" if notation else "this"
        remedies.append(f"if {which} marks missing cells, pass {missing_options(marks)}")
    remedy = ", and ".join(remedies)
    ignored = " ".join(f"--ignore {shlex.quote(name)}" for name in list(columns)[:MOST_TEXTS])
    them = "it as it is" if len(columns) == 1 else "them as they are"
    return f"{', '.join(parts)}{more}, expected numbers; {remedy}; {ignored} leaves {them}"


def missing_options(texts: list[str]) -> str:
    """Return the options that name texts as missing marks."""
    options = " ".join(f"--missing {shlex.quote(_short(text))}" for text in texts[:MOST_TEXTS])
    return options + (" and so on" if len(texts) > MOST_TEXTS else "")


def _short(text: str) -> str:
    return text if len(text) < 40 else text[:40] + "…"


def _notation(text: str) -> str:
    """Return what keeps a text from being a plain number, "" if it is no number in another notation."""
    bare = text.strip(f"%{CURRENCIES} \u00a0\u202f")
    if bare[:1] in MINUS_SIGNS and plain_number("-" + bare[1:].replace(",", ".")) is not None:
        return "typographic minus signs"
    grouped, comma = THOUSANDS.fullmatch(bare), DECIMAL_COMMA.fullmatch(bare)
    if not bare or not (grouped or comma or plain_number(bare) is not None):
        return ""
    if "%" in text:
        return "percent signs"
    if any(sign in text for sign in CURRENCIES):
        return "currency signs"
    return "thousands separators" if grouped else "decimal commas" if comma else ""


def _plain(number: float) -> str:
    """Return a number with all its digits, so that it is found in the file."""
    return repr(number).removesuffix(".0")


def _sentinels(values: Array) -> list[float]:
    """Return the usual missing marks: `MARKS`, others farther from the rest than that is wide, and huge numbers."""
    distinct = np.unique(values)
    huge = np.abs(distinct) >= HUGE
    found = [float(mark) for mark in distinct[huge]] if 0 < huge.sum() <= MOST_TEXTS and not huge.all() else []
    distinct = distinct[~huge] if found else distinct
    while len(distinct) > 2:
        low, high = distinct[0], distinct[-1]
        if low in SENTINELS and low < 0 and distinct[1] - low > high - distinct[1]:
            found.append(float(low))
            distinct = distinct[1:]
        elif high in SENTINELS and len(distinct) > FEWEST_VALUES and high - distinct[-2] > distinct[-2] - low:
            found.append(float(high))
            distinct = distinct[:-1]
        else:
            break
    return found + [float(mark) for mark in np.intersect1d(distinct, list(MARKS))]


def _numbering(name: str, values: Array, has_holes: bool) -> str:
    """Return "a year" or "an identifier" if a column looks like that, else ""."""
    if len(values) < 2 or np.any(np.mod(values, 1)):
        return ""
    if YEARS[0] <= values.min() and values.max() <= YEARS[1] and ("year" in name.lower() or "jahr" in name.lower()):
        return "a year"
    if has_holes or len(values) < FEWEST_ROWS or len(np.unique(values)) < len(values):
        return "an identifier" if IDENTIFIER.search(name) and len(np.unique(values)) == len(values) else ""
    steps = np.unique(np.diff(values))
    if len(steps) == 1 and YEARS[0] <= values.min() and values.max() <= YEARS[1]:
        return "a year"
    return "an identifier" if IDENTIFIER.search(name) or (len(steps) == 1 and abs(steps[0]) == 1) else ""

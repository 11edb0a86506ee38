"""The choice of the columns of a table that hold the rows, columns and values of pairs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.formats.tables.named_file import NamedFile
from flatmin.formats.tables.table_column import ColumnCells

__all__ = ["ROLES", "ColumnChoice"]

#: What columns can hold, and the options that name them without "--".
ROLES = ("row", "column", "value")
#: Names of columns of each role, in lower case without signs. An ending such as "s" or "id" may follow.
WORDS = {
    "row": "row|user|u|person|people|customer|client|reader|viewer|rater|member|reviewer|patient|student|subject|"
    "respondent|participant|nutzer|kunde",
    "column": "column|col|item|movie|film|book|isbn|product|asin|song|track|artist|anime|article|joke|game|restaurant|"
    "business|question|artikel|produkt|buch",
    "value": "value|rating|rate|score|star|stars|overall|grade|preference|response|bewertung|note|wert",
}
ENDING = r"(s|e|en|er)?(id|ids|no|nr|key|code|name|names|number)?"
#: Before a word of a value may stand what is rated, as in "Book-Rating".
BEGINNING = {"value": "(user|book|movie|film|item|review|star)?"}
#: Names of columns that say when a pair was observed.
TIME = re.compile(r"(unix|review|rating)*(timestamp|time|date|datetime|zeit|datum)s?")
#: A column of whole numbers above this one counts as times: seconds since 1970 from 1973 on.
FIRST_SECOND = 1e8


@dataclass(frozen=True, eq=False)
class ColumnChoice:
    """The choice of the columns of pairs in a table.

    Attributes
    ----------
    file : str
        What errors call the file.
    named : NamedFile
        The table with the names of its columns.
    cells : sequence of ColumnCells
        The columns as numbers.
    needs_values : bool
        Whether a table without values is an error.
    remedy : str
        What errors advise, in place of the options that name the columns.
    """

    file: str
    named: NamedFile
    cells: Sequence[ColumnCells]
    needs_values: bool = True
    remedy: str = ""

    def columns(self, asked: Mapping[str, str]) -> list[int]:
        """Return the positions of the columns of rows, columns and values, or raise `InputError`.

        ``asked`` has the names of columns that are known, by role. For the others names of columns decide if exactly
        one fits. Roles that are still open take the other columns in their order, if there is one for each. Columns of
        times do not count. If values are not needed and not found, the result has two positions.
        """
        found = {role: self.named.position(f"--{role}", name) for role, name in asked.items()}
        if len(set(found.values())) < len(found):
            raise InputError(f"{_options(list(found))} name the same column twice, expected different columns")
        found |= self._by_name([role for role in ROLES if role not in found], set(found.values()))
        missing = [role for role in (ROLES if self.needs_values else ROLES[:2]) if role not in found]
        if missing:
            found |= self._by_order(missing, [role for role in ROLES if role not in found], set(found.values()))
        at = [found[role] for role in ROLES if role in found]
        if len(at) < len(ROLES) or self.cells[at[2]].is_numeric:
            return at
        if self.needs_values:
            raise InputError(
                f"{self.file}: the column {self.named.names[at[2]]!r} of values has no numbers, or more text than "
                "numbers; --value names another column"
            )
        return at[:2]

    def _by_name(self, roles: Sequence[str], taken: set[int]) -> dict[str, int]:
        """Return the columns of roles whose names fit; those of values must be numeric."""
        plain = list(map(_plain, self.named.names))
        found = {}
        for role in roles:
            pattern = re.compile(f"{BEGINNING.get(role, '')}({WORDS[role]}){ENDING}")
            fits = [j for j, name in enumerate(plain) if j not in taken and pattern.fullmatch(name)]
            fits = [j for j in fits if role != "value" or self.cells[j].is_numeric]
            if len(fits) > 1:
                raise self._ambiguous([role], [self.named.names[j] for j in fits])
            if fits:
                found[role] = fits[0]
        return found

    def _by_order(self, missing: Sequence[str], open_: Sequence[str], taken: set[int]) -> dict[str, int]:
        """Return the columns of open roles, of which the missing ones need a column, by their order."""
        names = enumerate(self.named.names)
        free = [j for j, name in names if j not in taken and not TIME.fullmatch(_plain(name))]
        if len(free) > len(open_):
            free = [j for j in free if not _is_time(self.cells[j])]
        if len(free) not in {len(missing), len(open_)}:
            raise self._ambiguous(missing)
        return dict(zip(open_, free, strict=False))

    def _ambiguous(self, roles: Sequence[str], fits: Sequence[str] = ()) -> InputError:
        listing = f"{', '.join(map(repr, fits))} that fit" if fits else self.named.listing
        hold = "one holds" if len(roles) == 1 else "ones hold"
        nouns = _joined([f"{role}s" for role in roles])
        remedy = "; ".join([*self.named.unsplit, *[self.remedy] * bool(self.remedy)])
        remedy = remedy or f"name {'it' if len(roles) == 1 else 'them'} by {_options(roles)}"
        if len(self.named.names) > len(ROLES) + 1 and not fits:
            remedy += "; a table with a column for each item is for flatmin impute"
        return InputError(f"{self.file} has the columns {listing}, expected to know which {hold} the {nouns}; {remedy}")


def _plain(name: str) -> str:
    """Return the letters of a name in lower case, without what follows a colon."""
    return re.sub(r"[\W\d_]", "", name.split(":")[0].casefold())


def _is_time(cells: ColumnCells) -> bool:
    known: Array = cells.values[~np.isnan(cells.values)]
    return bool(len(known) and not cells.n_texts and np.all(known > FIRST_SECOND) and np.all(np.mod(known, 1) == 0))


def _options(roles: Sequence[str]) -> str:
    return _joined([f"--{role}" for role in roles])


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]

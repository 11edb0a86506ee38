"""Tables of panels: their numbers, and the labels of units and periods."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.estimators._completion.marks import marked

__all__ = ["expect_labels", "labels_of", "numbers_of"]


def labels_of(table: Any) -> tuple[Array, Array] | None:
    """Return the labels of the rows and columns of a pandas frame, or None for other tables."""
    if not hasattr(table, "iloc"):
        return None
    sides = [np.asarray(side) for side in (table.index, table.columns)]
    units, periods = (np.array(side.tolist()) if side.dtype == object else side for side in sides)
    return units, periods


def numbers_of(table: Any, name: str) -> Array:
    """Return a table as an array of numbers, or raise `InputError` if it holds anything else."""
    wanted = f"{name} is no table of real numbers, expected units as rows and periods as columns"
    try:
        found = np.asarray(marked(table, np.nan))
        return found.astype(float, casting="unsafe" if found.dtype.kind in "OUS" else "same_kind")
    except InputError as error:
        raise InputError(f"{wanted}: {error}".replace(" of X ", f" of {name} ")) from None
    except (TypeError, ValueError):
        raise InputError(wanted) from None


def expect_labels(table: Any, own: tuple[Array, Array], name: str) -> None:
    """Raise `InputError` if a frame has other units or periods than Y."""
    for kind, mine, other in zip(("units", "periods"), own, labels_of(table) or own, strict=True):
        if not np.array_equal(mine, other):
            raise InputError(f"the {kind} of {name} are not those of Y, expected the same ones in the same order")

"""Arguments of prediction intervals: folds of the calibration, confidence levels and kinds."""

from typing import Any

from flatmin._core.validation import is_whole, real_number, shown
from flatmin.errors import InputError

__all__ = ["check_kind", "check_level", "folds_of"]

#: With ``calibration="auto"`` ten folds are held out up to this number of observed cells, because small tables are
#: predicted clearly worse without a fifth of their cells.
FEW_CELLS = 5_000
#: With ``calibration="auto"`` five folds are held out up to this number of observed cells, and one fold above.
MANY_CELLS = 1_000_000


def folds_of(calibration: Any, cells: int) -> int:
    """Return the number of folds that a parameter ``calibration`` means for a number of observed cells.

    Raises
    ------
    InputError
        If the parameter is no number of folds.
    """
    if isinstance(calibration, str) and calibration == "auto":
        return 10 if cells <= FEW_CELLS else 5 if cells <= MANY_CELLS else 1
    if not is_whole(calibration) or calibration < 1:
        raise InputError(f"calibration is {shown(calibration)}, expected 'auto', None or a number of folds from 1")
    return int(calibration)


def check_level(level: Any) -> float:
    """Return a confidence level between 0 and 1, or raise `InputError`."""
    number = real_number(level)
    if not 0 < number < 1:
        raise InputError(f"confidence_level is {shown(level)}, expected a number between 0 and 1, such as 0.9")
    return number


def check_kind(kind: Any) -> str:
    """Return a kind of interval, or raise `InputError`."""
    if not isinstance(kind, str) or kind not in ("observation", "mean"):
        raise InputError(f"kind is {shown(kind)}, expected 'observation' or 'mean'")
    return kind

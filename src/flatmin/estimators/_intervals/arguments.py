"""Arguments of prediction intervals: folds of the calibration, confidence levels and kinds."""

from typing import Any

from flatmin._core.validation import is_whole, real_number, shown
from flatmin.errors import InputError

__all__ = ["check_kind", "check_level", "expect_refit", "folds_of"]

#: The largest numbers of observed cells for which ``calibration="auto"`` holds out these numbers of folds, and one fold
#: above. The errors of small tables are clearly larger without a tenth of their cells.
AUTOMATIC = ((2_000, 20), (20_000, 10), (200_000, 5))


def folds_of(calibration: Any, cells: int) -> int:
    """Return the number of folds that a parameter ``calibration`` means for a number of observed cells.

    Raises
    ------
    InputError
        If the parameter is no number of folds.
    """
    if isinstance(calibration, str) and calibration == "auto":
        return next((folds for most, folds in AUTOMATIC if cells <= most), 1)
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


def expect_refit(refits: bool) -> None:
    """Raise `InputError` unless a refit predicts, as intervals of means need."""
    if not refits:
        raise InputError(
            "kind is 'mean', but no refit predicts, and the bias of other fits is unknown; expected "
            "kind='observation', or a fit with refit=True"
        )

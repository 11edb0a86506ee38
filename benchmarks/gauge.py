"""Memory gauge: the resident memory of this process and its peak, which can be reset if the system allows it."""

from __future__ import annotations

import ctypes
from pathlib import Path

__all__ = ["forget_peak", "resident"]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str = "VmHWM") -> float | None:
    """Return the resident memory of this process in MiB: its peak, or (VmRSS) the present value; None if unknown."""
    try:
        found = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
    except OSError:
        return None
    return int(found[0].split()[1]) / 2**10 if found else None


def forget_peak() -> None:
    """Return free memory to the system, and reset the peak to the present value if the system allows it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text("5")
    except (OSError, AttributeError):
        return

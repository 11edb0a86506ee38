"""How much memory this process has and had: a gauge that starts again where the system can do that."""

from __future__ import annotations

import ctypes
from pathlib import Path

__all__ = ["forget_peak", "resident"]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str = "VmHWM") -> float | None:
    """Return the resident memory of this process in MiB: its peak, or (VmRSS) what it is now; None if unknown."""
    try:
        found = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
    except OSError:
        return None
    return int(found[0].split()[1]) / 2**10 if found else None


def forget_peak() -> None:
    """Give back what is free, and let the peak start again from what is in use now, where the system can do that."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text("5")
    except (OSError, AttributeError):
        return

"""A check, before a computation, whether it would fit in memory."""

from pathlib import Path

from flatmin.errors import InputError

__all__ = ["available_bytes", "require"]


def available_bytes() -> float:
    """Return the available memory in bytes, or infinity if the system does not report it."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(float(line.split()[1]) * 1024)
        cap = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if cap != "max":
            limits.append(float(cap) - float(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError, IndexError):
        pass
    return min(limits, default=float("inf"))


def require(estimate: float, what: str) -> None:
    """Raise `InputError` if the ``estimate`` of needed bytes exceeds the available memory."""
    available = available_bytes()
    if estimate > available:
        raise InputError(
            f"{what} would need about {estimate / 2**30:.1f} GiB of memory and {available / 2**30:.1f} GiB are free; "
            "use fewer measurements or a smaller matrix"
        )

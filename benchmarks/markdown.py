"""Parts of the tables of all benchmarks: lines, marks, the machine, versions, and blocks of documents."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def cells(parts: Iterable[object]) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(str(part) for part in parts) + " |"


def line(parts: Iterable[object]) -> None:
    """Print a row of a table."""
    print(cells(parts), flush=True)


def mark(good: bool) -> str:
    return "ok" if good else "**MISSED**"


def processor() -> str:
    """Return the processor's name if the system reports it, otherwise its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine() -> str:
    return f"{processor()}, {os.cpu_count()} cores of which one is used"


def versions(packages: Iterable[str]) -> str:
    """Return the versions of packages, each once."""
    found = []
    for package in dict.fromkeys(packages):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def replace_block(file: Path, name: str, text: str) -> bool:
    """Put text between the markers ``<!-- name -->`` and ``<!-- /name -->`` of a file; False if they are missing."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = file.read_text().partition(first) if file.exists() else ("", "", "")
    _, closed, after = rest.partition(last)
    if not found or not closed:
        return False
    file.write_text(f"{before}{first}\n{text.strip()}\n{last}{after}")
    return True

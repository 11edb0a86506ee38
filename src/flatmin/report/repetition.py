"""The section of a report that says how to repeat a fit of an estimator."""

import platform
from importlib.metadata import version

from flatmin._version import __version__
from flatmin.report.page import Fact, Section

__all__ = ["repeat_section"]


def repeat_section(command: str, seed: int | None) -> Section:
    """Return the section with the command, its seed, and the versions of all programs."""
    versions = [Fact("flatmin", __version__), Fact("Python", platform.python_version())]
    versions += [Fact(name, version(name.lower())) for name in ("NumPy", "SciPy", "scikit-learn")]
    return Section("repeat", "To repeat it", code=command, facts=[Fact("Seed", str(seed)), *versions])

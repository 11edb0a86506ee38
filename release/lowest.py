"""Print constraints for pip that install the lowest version of every dependency that `pyproject.toml` allows.

``python -m release.lowest > lowest.txt && pip install -c lowest.txt .`` and, with extras, ``python -m release.lowest
parquet excel > lowest.txt && pip install -c lowest.txt '.[parquet,excel]'``.
"""

import argparse
from collections.abc import Iterable

from packaging.utils import canonicalize_name
from packaging.version import Version

from release.requirements import lowest, project, stated


def constraints(extras: Iterable[str] = ()) -> list[str]:
    """Return one line ``name==version`` for each dependency: the largest of its lowest versions."""
    found: dict[str, Version] = {}
    for requirement in stated(extras):
        name, version = canonicalize_name(requirement.name), Version(lowest(requirement))
        found[name] = max(version, found.get(name, version))
    return [f"{name}=={version}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    extras = parser.parse_args().extras
    if unknown := sorted({*extras} - project()["optional-dependencies"].keys()):
        parser.error(f"pyproject.toml has no extra {unknown[0]!r}")
    print("\n".join(constraints(extras)))

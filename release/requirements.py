"""The requirements that `pyproject.toml` states: core, and by extra."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def project() -> dict:
    """Return the table ``[project]``."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def stated(extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """Yield the core requirements, then those of the extras; an extra of flatmin itself is replaced by its parts."""
    about = project()
    texts = list(about["dependencies"])
    for extra in extras:
        texts += about["optional-dependencies"][extra]
    for requirement in map(Requirement, texts):
        if requirement.name == about["name"]:
            core = {str(own) for own in stated()}
            yield from (own for own in stated(sorted(requirement.extras)) if str(own) not in core)
        else:
            yield requirement


def lowest(requirement: Requirement) -> str:
    """Return the version behind ``>=``, or raise `ValueError` if there is none."""
    found = [specifier.version for specifier in requirement.specifier if specifier.operator == ">="]
    if len(found) != 1:
        raise ValueError(f"{requirement} states no lowest version, expected one behind >=")
    return found[0]

"""The packages that an installation of flatmin brings: a table of their licences, and a bill of materials.

``python -m release.dependencies`` prints the table, ``--write docs/dependencies.md`` puts it into the page, and
``--sbom sbom.json`` writes a bill of materials in CycloneDX's format. Facts come from the metadata of the installed
packages.
"""

import argparse
import json
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from benchmarks.markdown import cells, replace_block
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.requirements import project

#: Licences whose names in the metadata of packages are long texts or differ, by the beginning of that text.
KNOWN = {
    "MIT": "MIT",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "ISC": "ISC",
}
#: Licences that the metadata name less exactly than the files that come with the package.
READ = {"matplotlib": "PSF-based (matplotlib)", "numba": "BSD-2-Clause", "llvmlite": "BSD-2-Clause"}


@dataclass(frozen=True)
class Package:
    """An installed package: its name, its version, its licence, and the packages that it needs here."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]


def licence(about: Distribution) -> str:
    """Return the licence in one short text: an SPDX expression where the metadata have one."""
    metadata = about.metadata
    if (name := canonicalize_name(metadata["Name"])) in READ:
        return READ[name]
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    text = (metadata.get("License") or "").strip()
    if "\n" in text or not 0 < len(text) <= 40:  # the whole licence, or nothing
        text = classifiers[-1].rpartition(":: ")[2] if classifiers else ""
    return next((short for long, short in KNOWN.items() if text.startswith(long)), text or "not stated")


def installed(name: str) -> dict[str, Package]:
    """Return the packages that one package needs on this machine, directly or not, by their canonical names."""
    found: dict[str, Package] = {}
    waiting = [name]
    while waiting:
        key = canonicalize_name(waiting.pop())
        if key in found:
            continue
        about = distribution(key)
        wanted = (Requirement(text) for text in about.requires or [])
        needs = sorted({canonicalize_name(r.name) for r in wanted if not r.marker or r.marker.evaluate({"extra": ""})})
        found[key] = Package(about.metadata["Name"], about.version, licence(about), tuple(needs))
        waiting += needs
    return found


def table(packages: dict[str, Package]) -> str:
    """Return the table of licences; packages that flatmin needs directly come first."""
    own = canonicalize_name(project()["name"])
    direct = packages[own].needs
    others = sorted(packages.keys() - {own, *direct})
    rows = [cells(("package", "licence", "needed by")), "|---|---|---|"]
    for key in (*direct, *others):
        users = [package.name for package in packages.values() if key in package.needs]
        rows.append(cells((packages[key].name, packages[key].licence, ", ".join(sorted(users, key=str.lower)))))
    return "\n".join(rows)


def bill_of_materials(packages: dict[str, Package]) -> dict:
    """Return a CycloneDX document. It has no date and no random number, so that equal installations have equal ones."""
    own = canonicalize_name(project()["name"])

    def component(key: str) -> dict:
        package = packages[key]
        return {
            "type": "library",
            "bom-ref": f"pkg:pypi/{key}@{package.version}",
            "name": package.name,
            "version": package.version,
            "purl": f"pkg:pypi/{key}@{package.version}",
            "licenses": [{"license": {"name": package.licence}}],
        }

    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(own)},
        "components": [component(key) for key in sorted(packages.keys() - {own})],
        "dependencies": [
            {
                "ref": f"pkg:pypi/{key}@{package.version}",
                "dependsOn": [f"pkg:pypi/{need}@{packages[need].version}" for need in package.needs],
            }
            for key, package in sorted(packages.items())
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="write the bill of materials to this file")
    options = parser.parse_args()
    packages = installed(project()["name"])
    if options.sbom:
        text = json.dumps(bill_of_materials(packages), indent=2, ensure_ascii=False)
        options.sbom.write_text(f"{text}\n", encoding="utf-8")
    if options.write and not replace_block(options.write, "dependencies", table(packages)):
        parser.error(f"{options.write} lacks the markers of the block 'dependencies'")
    if not options.sbom and not options.write:
        print(table(packages))


if __name__ == "__main__":
    main()

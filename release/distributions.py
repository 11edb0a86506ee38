"""Build the source distribution and the wheel twice, compare them byte for byte, and look into them.

``python -m release.distributions dist`` needs the package ``build``. The second pair is built from the first source
distribution, in another folder, with another time zone and other hashes of texts, so that nothing of the machine is in
the files. The times in the archives are that of the last commit, or of ``SOURCE_DATE_EPOCH``.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from release.requirements import ROOT

#: Files that the wheel must have, besides the code.
IN_WHEEL = {
    f"flatmin/{name}"
    for name in (
        "report/page.html",
        "report/page.css",
        "report/sort.js",
        "explorer/page.html",
        "explorer/figure_3.json",
        "py.typed",
        "cli/__init__.py",
    )
}
#: Files that the source distribution must have.
IN_SOURCE = {
    "tests/test_docs.py",
    "tests/release/data/expected.json",
    "release/distributions.py",
    "docs/theory.md",
    "examples/data/pressure.csv",
    "conda/recipe.yaml",
    "README.md",
    "SECURITY.md",
    "LICENSE",
}
#: Endings of the files of a wheel: code, pages and their data, and metadata.
ENDINGS = {".py", ".html", ".css", ".js", ".json", ".typed", ".txt", ""}
#: Largest size of the wheel in bytes. Data of tests and experiments would exceed it.
LARGEST_WHEEL = 2_000_000


def build(source: Path, out: Path, **environment: str) -> None:
    """Build both distributions of a source tree; the wheel is built from the source distribution."""
    command = [sys.executable, "-m", "build", "-q", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, env={**os.environ, **environment})


def date() -> str:
    """Return the time that the archives state, in seconds since 1970."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return os.environ["SOURCE_DATE_EPOCH"]
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "1577836800"


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def faults(wheel: Iterable[str], source: Iterable[str], size: int) -> list[str]:
    """Return what is wrong with the names of the files of a wheel and of a source distribution, and with its size."""
    wheel = set(wheel)
    found = [f"the wheel lacks {name}" for name in sorted(IN_WHEEL - wheel)]
    found += [f"the source distribution lacks {name}" for name in sorted(IN_SOURCE - set(source))]
    for name in sorted(wheel):
        path = PurePosixPath(name)
        if path.parts[0] != "flatmin" and not path.parts[0].endswith(".dist-info"):
            found.append(f"the wheel has {name}, which is outside the package")
        elif path.suffix not in ENDINGS or path.name.startswith(("test_", "conftest")):
            found.append(f"the wheel has {name}, which users do not need")
    if size > LARGEST_WHEEL:
        found.append(f"the wheel has {size} bytes, expected at most {LARGEST_WHEEL}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder for the distributions, new or empty")
    out = parser.parse_args().out
    if out.exists() and any(out.iterdir()):
        parser.error(f"{out} is not empty")
    epoch = date()
    build(ROOT, out, SOURCE_DATE_EPOCH=epoch)
    (source,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(source) as archive:
            archive.extractall(place, filter="data")
        (unpacked,) = Path(place).iterdir()
        again = Path(place) / "again"
        build(unpacked, again, SOURCE_DATE_EPOCH=epoch, TZ="Pacific/Chatham", PYTHONHASHSEED="1")
        first, second = digests(out), digests(again)
    if first != second:
        print(f"built twice, the distributions differ: {first} and {second}", file=sys.stderr)
        return 1
    with zipfile.ZipFile(wheel) as archive, tarfile.open(source) as sources:
        names = archive.namelist()
        wrong = faults(names, (name.partition("/")[2] for name in sources.getnames()), wheel.stat().st_size)
        unpacked_size = sum(entry.file_size for entry in archive.infolist())
    print("\n".join([f"{digest}  {name}" for name, digest in first.items()] + wrong))
    kinds = Counter(PurePosixPath(name).suffix or "metadata" for name in names)
    print(
        f"wheel: {wheel.stat().st_size} bytes, {unpacked_size} unpacked,",
        ", ".join(f"{n} {k}" for k, n in sorted(kinds.items())),
    )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

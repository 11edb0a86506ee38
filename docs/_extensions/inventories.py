"""Inventories of other projects' sites, by which names of NumPy, SciPy, scikit-learn and PyTorch become links.

They are fetched once and kept in the folder of the build. Without a network the site is built without these links.
"""

from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

SITES = {
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "sklearn": "https://scikit-learn.org/stable/",
    "torch": "https://docs.pytorch.org/docs/stable/",
}
#: Seconds that a site may take to answer.
PATIENCE = 5.0


def available(folder: Path, sites: dict[str, str] = SITES) -> dict[str, tuple[str, str]]:
    """Return the address and the file of each inventory that is kept in a folder or can be fetched.

    The first site that cannot be reached ends the attempts, so that a build without a network does not wait.
    """
    found: dict[str, tuple[str, str]] = {}
    reachable = True
    for name, address in sites.items():
        file = folder / f"{name}.inv"
        if reachable and not file.is_file():
            reachable = _fetch(address + "objects.inv", file)
        if file.is_file():
            found[name] = (address, str(file))
    return found


def _fetch(address: str, file: Path) -> bool:
    """Write an inventory to a file, and return whether it could be fetched."""
    try:
        with urlopen(address, timeout=PATIENCE) as answer:  # noqa: S310
            content = answer.read()
    except (URLError, TimeoutError, OSError):
        return False
    if not content.startswith(b"# Sphinx inventory version"):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return True

"""``flatmin proofs``: check all proofs that the trials of sweeps kept."""

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flatmin._core.progress import progress, spoken
from flatmin.cli.output import PROOFS, SUMMARY_VERSION, destination, results_directory
from flatmin.cli.recovery_summary import as_json
from flatmin.errors import InputError
from flatmin.lab.kept_proofs import CheckedProof, check_proofs, write_proofs
from flatmin.proofs import checker
from flatmin.report.words import counted

__all__ = ["Request", "run"]

#: Largest number of refused proofs that are printed.
MAX_REFUSED = 5


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin proofs``; ``place`` is a store or a directory of stores."""

    place: Path
    #: The directory for all proofs, or None to keep none.
    output: Path | None = None
    jobs: int | None = None
    json: bool = False
    quiet: bool = False


def run(request: Request) -> int:
    """Write and check all proofs, print how many theorems hold, and return the exit status."""
    if request.jobs is not None and request.jobs < 1:
        raise InputError(f"--jobs is {request.jobs}, expected a whole number of at least 1")
    with _folder(request) as folder:
        folders = write_proofs(request.place, folder)
        if not folders:
            raise InputError(f"{request.place} has no proofs; flatmin sweep theorems makes some")
        start, checked = time.monotonic(), list[CheckedProof]()
        with progress(not request.quiet, _words) as show:
            for verdict in check_proofs(folders, request.jobs or os.cpu_count() or 1):
                checked.append(verdict)
                if show is not None:
                    show({"done": len(checked), "total": len(folders), "elapsed": time.monotonic() - start})
        summary = _summary(request.place, checked)
        (folder / "summary.json").write_text(as_json(summary) + "\n", encoding="utf-8")
        shutil.copy(checker.__file__, folder / "checker.py")
    if request.json:
        print(as_json(summary))
    elif not request.quiet:
        _print(request, summary)
    return 1 if summary["refused"] else 0


@contextmanager
def _folder(request: Request) -> Iterator[Path]:
    """Give the directory for the proofs, which is kept only if the user names one."""
    if request.output is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        with results_directory(destination(request.output, request.place, kind=PROOFS)) as folder:
            yield folder


def _words(state: Mapping[str, Any]) -> Iterator[str]:
    """Give the words about progress."""
    done, total = state["done"], state["total"]
    yield f"{done} of {total} proofs"
    if done < total:
        yield f"about {spoken(state['elapsed'] * (total - done) / done)} left"


def _summary(place: Path, checked: Sequence[CheckedProof]) -> dict[str, Any]:
    """Return the fields of ``summary.json``."""
    kinds = Counter(kind for verdict in checked for kind in verdict.statements)
    return {
        "format_version": SUMMARY_VERSION,
        "store": str(place),
        "proofs": len(checked),
        "theorems": dict(kinds),
        "refused": [asdict(verdict) for verdict in checked if verdict.refusal is not None],
        "checked_by": f"checker.py, Python {sys.version.split()[0]}, the standard library alone",
    }


def _print(request: Request, summary: Mapping[str, Any]) -> None:
    refused = summary["refused"]
    print(f"{request.place}: {counted(summary['proofs'], 'proof')}, {len(refused) or 'none'} refused")
    for verdict in refused[:MAX_REFUSED]:
        print(f"  {verdict['name']}: {verdict['refusal']}")
    if len(refused) > MAX_REFUSED:
        print(f"  and {counted(len(refused) - MAX_REFUSED, 'other')}")
    unique = summary["theorems"].get("T", 0)
    print(f"theorems that the truth is the unique flat minimum: {unique}")
    print(f"checked by {summary['checked_by']}")
    if request.output is not None:
        print(f"proofs  {request.output}")

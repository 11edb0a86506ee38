"""Trials: a command reads mutants in a forked process with limits, and what it did with each is judged."""

import faulthandler
import itertools
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from benchmarks.forked import PAGES, leave_out, load_pages, run_quietly, status_of, write_to
from benchmarks.mutants.corpus import Specimen
from flatmin.cli import main
from flatmin.errors import InputError
from flatmin.lab.recipe_file import read_recipe
from flatmin.proofs import checker

__all__ = ["Outcome", "outcomes", "warm_up"]

#: Limits of a trial: processor time in seconds, memory in addition to that of the parent, and size of a file in bytes.
SECONDS, MEMORY, FILE_SIZE = 30, 3 << 30, 100 << 20
#: Comparisons of methods, which fit a table several times more.
COMPARISONS = ("flatmin.cli.imputation.imputation_model.compare", "flatmin.cli.rating.rating_model.compare_pairs")
#: Events of the interpreter that no file may cause.
FORBIDDEN = ("pickle.find_class", "socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
#: Events of the interpreter about files, whose first arguments are paths.
CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "shutil.copyfile")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
#: Parts of attacks on pages; in a page they may stand only with escaped signs.
ATTACKS = ("<script>alert", "<img src=x", "]]></script><script>", "\u202e", "\0", "\x1b")


@dataclass(frozen=True)
class Outcome:
    """A sentence about what a command did wrong, its exit status (negative for a signal), and its processor time."""

    fault: str | None
    status: int
    seconds: float


def outcomes(specimen: Specimen, contents: Sequence[bytes], thorough: bool) -> list[Outcome]:
    """Return what a command did with each mutant. One process reads them in turn, and another one goes on if it dies.

    Pages and comparisons of methods, which take most of the time, are made if ``thorough``. A mutant with a fault is
    tried again alone, so that its outcome does not depend on those before it.
    """
    found: list[Outcome] = []
    while len(found) < len(contents):
        found += _tried(specimen, contents[len(found) :], thorough)
    if len(contents) == 1:
        return found
    return [
        _alone(specimen, content, thorough, one) if one.fault else one
        for content, one in zip(contents, found, strict=True)
    ]


def _alone(specimen: Specimen, content: bytes, thorough: bool, former: Outcome) -> Outcome:
    (found,) = outcomes(specimen, [content], thorough)
    return found if found.fault else replace(former, fault=f"after other mutants only: {former.fault}")


def _tried(specimen: Specimen, contents: Sequence[bytes], thorough: bool) -> list[Outcome]:
    """Return the outcomes up to the first mutant that ends the process."""
    place = Path(tempfile.mkdtemp(prefix="mutants-")).resolve()
    try:
        roots = [place / str(k) for k in range(len(contents))]
        for root, content in zip(roots, contents, strict=True):
            for name, data in {**specimen.files, specimen.victim: content}.items():
                (root / "work" / name).parent.mkdir(parents=True, exist_ok=True)
                (root / "work" / name).write_bytes(data)
            (root / "tmp").mkdir()
        before = _listing(roots[0])
        child = os.fork()
        if not child:
            _child(roots, specimen.command, thorough)
        _, status = os.waitpid(child, 0)
        ended = [root for root in roots if (root / "status").exists()]
        found = []
        for root in ended:
            code, seconds = (root / "status").read_text().split()
            found.append(Outcome(_fault(root, before, int(code)), int(code), float(seconds)))
        if len(ended) < len(roots):
            code = os.waitstatus_to_exitcode(status)
            found.append(Outcome(_fault(roots[len(ended)], before, code), code, float(SECONDS)))
        return found
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _child(roots: Sequence[Path], command: Sequence[str], thorough: bool) -> None:
    """Run the command in each place with limits, and end the process."""
    faulthandler.disable()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    if not thorough:
        leave_out(PAGES)
        _leave_out_comparisons()
    watch, (_, most) = _Watch(), resource.getrlimit(resource.RLIMIT_CPU)
    sys.addaudithook(watch)
    for root in roots:
        streams = [os.open(root / name, os.O_WRONLY | os.O_CREAT) for name in ("out", "err")]
        write_to(streams[0], streams[1])
        os.chdir(root / "work")
        tempfile.tempdir = str(root / "tmp")
        begun = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(begun) + SECONDS, most))
        watch.root = str(root)
        code = status_of(lambda: _command(command))
        watch.root = None
        for stream in streams:
            os.close(stream)
        (root / "status").write_text(f"{code} {time.process_time() - begun}")
    os._exit(0)


def _leave_out_comparisons() -> None:
    """Compare no methods on held-out values, as if there were too few."""
    for target in COMPARISONS:
        if target.rpartition(".")[0] in sys.modules:
            patch(target, lambda *arguments: None).start()


def warm_up(specimen: Specimen) -> None:
    """Run the command of an unharmed file in this process, so that forked processes find all modules loaded."""

    def fill(place: Path) -> None:
        for name, data in specimen.files.items():
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(data)

    load_pages()
    run_quietly(lambda: _command(specimen.command), fill)


def _command(words: Sequence[str]) -> int:
    """Run a command of flatmin, the checker of proofs, or the reader of recipes."""
    if words[0] == "check":
        return checker.main(words[1:])
    if words[0] != "recipe":
        return main(words)
    try:
        recipe = read_recipe(words[1])
    except InputError as error:
        print(f"flatmin: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return int(not recipe.cells)


class _Watch:
    """A hook that writes down forbidden events, and changes of files outside a directory, while there is one."""

    def __init__(self) -> None:
        self.root: str | None = None
        self._busy = False

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.root is not None and not self._busy:
            self._busy = True
            try:
                self._note(self.root, event, arguments)
            finally:
                self._busy = False

    def _note(self, root: str, event: str, arguments: tuple[object, ...]) -> None:
        paths: tuple[object, ...] = ()
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            paths = arguments[:1]
        elif event in CHANGES:
            paths = arguments[:1] if event in ("os.mkdir", "os.remove", "os.rmdir") else arguments[:2]
        outside = [
            path
            for path in paths
            if isinstance(path, str | os.PathLike)
            and not os.path.abspath(path).startswith((f"{root}{os.sep}", "/dev/null"))
        ]
        if (event in FORBIDDEN or outside) and not _is_by_numba():
            handle = os.open(f"{root}/events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, f"{event} {outside or arguments!r}\n".encode(errors="replace"))
            os.close(handle)


def _is_by_numba() -> bool:
    """Return whether Numba, which keeps compiled loops in files, caused an event."""
    frame = sys._getframe()
    while frame.f_back is not None:
        if str(frame.f_globals.get("__name__")).startswith("numba."):
            return True
        frame = frame.f_back
    return False


def _listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def _fault(root: Path, before: set[str], code: int) -> str | None:
    """Return what was wrong, from the exit status, the messages and the files."""
    message = (root / "err").read_text("utf-8", "replace")
    lines = message.splitlines()
    if code < 0:
        return f"ended by {signal.Signals(-code).name}: {message[-300:]}"
    if code not in (0, 1, 2):
        return f"traceback: {' | '.join(lines[-4:])}"
    if not (root / "status").exists():
        return f"the process ended with exit status {code} in the middle"
    if foreign := [line for line in lines if not line.startswith(("flatmin: ", "Refused", "checker"))]:
        return f"exit status {code} with the line {foreign[0][:300]!r} on stderr"
    new = _listing(root) - before - {"out", "err", "events", "status"}
    if code == 2 and (not lines or new):
        return f"exit status 2 with {len(lines)} lines on stderr and the new files {sorted(new)[:5]}"
    if (root / "events").exists():
        return f"forbidden: {(root / 'events').read_text()[:300]}"
    for page, attack in itertools.product((root / "work").rglob("*.html"), ATTACKS):
        text = page.read_text("utf-8")
        if attack in text:
            place = text.index(attack)
            return f"{page.name} has {attack!r} as it is: {text[max(0, place - 80) : place + 80]!r}"
    return None

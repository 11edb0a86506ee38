"""One trial: a command reads a mutant in a forked process with limits, and what it did is judged."""

import faulthandler
import gc
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

from benchmarks.forked import PAGES, end_with, leave_out, load_pages, run_quietly, write_to
from benchmarks.mutants.corpus import Specimen
from flatmin.cli import main
from flatmin.errors import InputError
from flatmin.lab.recipe_file import read_recipe
from flatmin.proofs import checker

__all__ = ["fault_of", "warm_up"]

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


def fault_of(specimen: Specimen, content: bytes, thorough: bool) -> str | None:
    """Return a sentence about what a command did wrong with a mutant, or None.

    Pages and comparisons of methods, which take most of the time, are made if ``thorough``.
    """
    root = Path(tempfile.mkdtemp(prefix="mutant-")).resolve()
    try:
        work = root / "work"
        for name, data in {**specimen.files, specimen.victim: content}.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(data)
        (root / "tmp").mkdir()
        before = _listing(root)
        child = os.fork()
        if not child:
            _child(root, specimen.command, thorough)
        _, status = os.waitpid(child, 0)
        return _judged(root, before, status)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _child(root: Path, command: Sequence[str], thorough: bool) -> None:
    """Run the command with limits, and end the process."""
    faulthandler.disable()

    def run() -> int:
        write_to(*(os.open(root / name, os.O_WRONLY | os.O_CREAT) for name in ("out", "err")))
        os.chdir(root / "work")
        tempfile.tempdir = str(root / "tmp")
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
        sys.addaudithook(_watch(str(root)))
        if not thorough:
            leave_out(PAGES)
            _leave_out_comparisons()
        return _command(command)

    end_with(run)


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
    gc.freeze()  # so that a collection in a child does not copy the memory of this process


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


def _watch(root: str) -> Callable[[str, tuple[object, ...]], None]:
    """Return a hook that writes down forbidden events, and changes of files outside a directory."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        paths: tuple[object, ...] = ()
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            paths = arguments[:1]
        elif event in CHANGES:
            paths = arguments[:1] if event in ("os.mkdir", "os.remove", "os.rmdir") else arguments[:2]
        outside = [
            path
            for path in paths
            if isinstance(path, str | os.PathLike) and not os.path.abspath(path).startswith((root, "/dev/null"))
        ]
        if event in FORBIDDEN or outside:
            handle = os.open(f"{root}/events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, f"{event} {outside or arguments!r}\n".encode(errors="replace"))
            os.close(handle)

    busy = False

    def guarded(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal busy
        if not busy:
            busy = True
            try:
                hook(event, arguments)
            finally:
                busy = False

    return guarded


def _listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def _judged(root: Path, before: set[str], status: int) -> str | None:
    """Return what was wrong, from the exit status, the messages and the files."""
    message = (root / "err").read_text("utf-8", "replace")
    lines = message.splitlines()
    if os.WIFSIGNALED(status):
        return f"ended by {signal.Signals(os.WTERMSIG(status)).name}: {message[-300:]}"
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 1, 2):
        return f"traceback: {' | '.join(lines[-4:])}"
    if foreign := [line for line in lines if not line.startswith(("flatmin: ", "Refused", "checker"))]:
        return f"exit status {code} with the line {foreign[0][:300]!r} on stderr"
    new = _listing(root) - before - {"out", "err", "events"}
    if code == 2 and (not lines or new):
        return f"exit status 2 with {len(lines)} lines on stderr and the new files {sorted(new)[:5]}"
    if (root / "events").exists():
        return f"forbidden: {(root / 'events').read_text()[:300]}"
    for page in (root / "work").rglob("*.html"):
        text = page.read_text("utf-8")
        for attack in ATTACKS:
            if attack in text:
                place = text.index(attack)
                return f"{page.name} has {attack!r} as it is: {text[max(0, place - 80) : place + 80]!r}"
    return None

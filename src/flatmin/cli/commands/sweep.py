"""``flatmin sweep``: run an experiment over a grid and keep every trial."""

from __future__ import annotations

import _thread
import shutil
import signal
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flatmin._core.progress import CLEAR_LINE, progress, spoken
from flatmin.cli.commands.report import Output, print_findings
from flatmin.cli.options import exclusive
from flatmin.errors import InputError
from flatmin.report.words import counted

if TYPE_CHECKING:
    from flatmin.lab import Recipe, Store, SweepResult

__all__ = ["Request", "print_recipes", "run"]

#: Time that running trials may take to finish after Ctrl-C, in seconds.
GRACE = 2.0
#: Largest number of different reasons for failures that are printed.
MAX_REASONS = 5
#: If the executor cannot compute for this number of seconds, a line on stderr says so.
PATIENCE = 5.0


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin sweep``; ``command`` is the command line, for the page."""

    #: The name of a recipe, or a TOML file.
    recipe: str
    store: Path
    jobs: int | None = None
    #: The address of a scheduler.
    dask: str | None = None
    export: Path | None = None
    quick: bool = False
    adaptive: bool = False
    retry: bool = False
    quiet: bool = False
    report: Path | None = None
    figures: Path | None = None
    command: str = ""


def run(request: Request) -> int:
    """Run missing trials, export, print a summary, and return the exit status: 1 if trials failed."""
    from flatmin.lab import Adaptive, FullGrid, Store, export, read_recipe, sweep
    from flatmin.lab.runs.export import check_export
    from flatmin.lab.runs.store import check_store

    recipe = read_recipe(request.recipe, quick=request.quick)
    plan = Adaptive(recipe) if request.adaptive else FullGrid(recipe)
    check_store(request.store)
    output = Output(request.report, request.figures)
    output.check(*(path for path in (request.store, request.export) if path is not None))
    if request.export is not None:
        check_export(request.export)
        if request.export.resolve() == request.store.resolve():
            raise InputError(f"the --export {request.export} is the --store, expected another file")
    pace, stop, alarm = SweepPace(), threading.Event(), Alarm()
    with _executor(request) as executor, Store(request.store) as store:
        if not request.quiet:
            _print_notes(store, recipe)
        with _stopped_by_interruption(stop), progress(not request.quiet, pace) as show:

            def hear(state: dict[str, Any]) -> None:
                alarm(state)
                if show is not None:
                    show(state)

            try:
                outcome = sweep(
                    recipe, store, executor=executor, plan=plan, retry=request.retry, stop=stop, callback=hear
                )
            except KeyboardInterrupt:
                stop.set()
        if stop.is_set():
            there = len(store.grid_results(recipe))
            kept = f"{there} of at most {plan.total()}" if request.adaptive else f"{there} of {plan.total()}"
            print(
                f"flatmin: stopped; {kept} trials are in {request.store}, the same command goes on from there",
                file=sys.stderr,
            )
            raise KeyboardInterrupt
        if request.export is not None:
            export(request.export, recipe, outcome.results)
    if not request.quiet:
        _print_outcome(request, recipe, outcome)
    _report(request, output, recipe, outcome)
    return 1 if outcome.failed else 0


def print_recipes(name: str | None = None) -> None:
    """Print all recipes, or the claim of one recipe with the observations that would refute it."""
    from rich.console import Console
    from rich.table import Table

    from flatmin.lab import read_recipe, recipes

    if name is not None:
        _print_recipe(read_recipe(name))
        return
    table = Table("name", "what it is", "trials", "quick", box=None, pad_edge=False)
    table.columns[0].no_wrap, table.columns[0].overflow = True, "ignore"
    for recipe in map(recipes.find, recipes.names()):
        table.add_row(recipe.name, recipe.title, *_sizes(recipe))
    Console(highlight=False).print(table)
    print("\nWhat one of them claims, and what would refute that: flatmin sweep --list NAME")


def _print_recipe(recipe: Recipe) -> None:
    width = shutil.get_terminal_size().columns
    full, quick = _sizes(recipe)
    print(f"{recipe.name}: {recipe.title}\n{full} trials" + (f", {quick} with --quick" if recipe.quick else ""))
    for heading, text in (("Claim", recipe.claim), ("Refuted by", recipe.refuted_by)):
        print("\n" + textwrap.fill(f"{heading}: {text}", width, break_long_words=False, break_on_hyphens=False))


def _sizes(recipe: Recipe) -> tuple[str, str]:
    """Return the numbers of trials of the full and the quick version."""
    quick = recipe.quickly() if recipe.quick else None
    full, small = (str(len(r.cells) * r.repetitions) if r else "–" for r in (recipe, quick))
    return full, small


class SweepPace:
    """The progress of a sweep in words.

    Trials are run in a scrambled order, so their mean time predicts the remaining time. The mean is over the trials of
    this run after the first one, because processes start before the first result.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None

    def __call__(self, state: Mapping[str, Any]) -> Iterator[str]:
        """Give the words for a state of `flatmin.lab.runs.sweep`."""
        yield f"{state['done']} of {state['total']} trials"
        if state["failed"]:
            yield f"{state['failed']} failed"
        if "trouble" in state:
            yield state["trouble"]
        elif "waiting" in state:
            yield f"waiting for {counted(state['waiting'], 'trial')} of another process"
        elif state["done"] < state["total"]:
            if self._first is None:
                self._first = self._clock(), state["computed"]
                return
            start, before = self._first
            each = (self._clock() - start) / max(state["computed"] - before, 1)
            yield f"about {spoken(each * (state['total'] - state['done']))} left"


class Alarm:
    """Reports on stderr that the executor has not computed for a while, and that it computes again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._reported = False

    def __call__(self, state: Mapping[str, Any]) -> None:
        """Process a state of `flatmin.lab.runs.sweep`."""
        now = self._clock()
        if "trouble" not in state:
            if self._reported:
                self._say("the sweep goes on")
            self._since, self._reported = None, False
            return
        self._since = now if self._since is None else self._since
        if not self._reported and now - self._since >= PATIENCE:
            self._say(f"{state['trouble']}; the sweep waits, and Ctrl-C stops it")
            self._reported = True

    def _say(self, words: str) -> None:
        clear = CLEAR_LINE if sys.stderr.isatty() else ""
        print(f"{clear}flatmin: {words}", file=sys.stderr, flush=True)


@contextmanager
def _executor(request: Request) -> Iterator[Any]:
    """Give the executor: a cluster, several processes, or this process alone.

    Without ``--jobs``, a quick sweep is computed in this process. Each further process would import every library
    again, which for PyTorch takes about as long as the trials themselves.
    """
    from flatmin.lab import DaskCluster, Processes, Serial

    exclusive(jobs=request.jobs, dask=request.dask)
    if request.jobs is not None and request.jobs < 1:
        raise InputError(f"--jobs is {request.jobs}, expected a whole number of at least 1")
    if request.dask is not None:
        with closing(DaskCluster(request.dask)) as cluster:
            yield cluster
    else:
        jobs = request.jobs or (1 if request.quick else _cores())
        yield Serial() if jobs == 1 else Processes(jobs)


def _cores() -> int:
    from joblib import cpu_count

    return int(cpu_count())


@contextmanager
def _stopped_by_interruption(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C set ``stop``; raise `KeyboardInterrupt` at the second one, or after `GRACE` seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timer = threading.Timer(GRACE, _thread.interrupt_main)
    timer.daemon = True

    def handle(*_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        timer.start()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def _print_notes(store: Store, recipe: Recipe) -> None:
    """Print notes about trials of other versions or of another state of flatmin."""
    others, elsewhere = store.other_versions(recipe), store.from_another_library(recipe)
    if others:
        print(
            f"flatmin: {counted(others, 'trial')} of another version of {recipe.name} in {store.file} stay there and "
            "are not mixed in",
            file=sys.stderr,
        )
    if elsewhere:
        print(
            f"flatmin: {counted(elsewhere, 'trial')} in {store.file} were made with another state of flatmin's source; "
            "choose another --store to run them again",
            file=sys.stderr,
        )


def _report(request: Request, output: Output, recipe: Recipe, outcome: SweepResult) -> None:
    """Write page and figures of a finished sweep, if asked for."""
    from flatmin.lab import Evidence
    from flatmin.lab.pages.findings import Finding
    from flatmin.lab.runs.provenance import provenance_of

    if not output:
        return
    findings = [Finding.from_evidence(Evidence(recipe, outcome.results))]
    provenance = {recipe.name: provenance_of(request.store, recipe, outcome.results)}
    lines = output.write(findings, title=recipe.name, command=request.command, provenance=provenance)
    if not request.quiet:
        print_findings(findings)
        print("\n".join(lines))


def _print_outcome(request: Request, recipe: Recipe, outcome: SweepResult) -> None:
    failed = outcome.failed
    summary = f"{recipe.name}: {counted(len(outcome.results), 'trial')}, " + (
        f"{len(failed)} failed" if failed else "all done"
    )
    print(summary)
    reasons = Counter(result.reason for result in failed)
    for reason, count in reasons.most_common(MAX_REASONS):
        first = next(result.trial for result in failed if result.reason == reason)
        where = ", ".join(f"{name} {first.parameters[name]}" for name in recipe.columns if name in first.parameters)
        print(f"  {count} × {reason}; first: {where}, seed {first.seed}")
    if len(reasons) > MAX_REASONS:
        print(f"  and {counted(len(reasons) - MAX_REASONS, 'other reason')}")
    print(f"store   {request.store}")
    if request.export is not None:
        print(f"export  {request.export}")

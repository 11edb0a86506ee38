"""``flatmin report``: one page about the results of sweeps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flatmin.errors import InputError
from flatmin.report.words import counted

if TYPE_CHECKING:
    from flatmin.lab.pages.findings import Finding
    from flatmin.lab.runs.provenance import Provenance

__all__ = ["Output", "Request", "print_findings", "run"]


@dataclass(frozen=True)
class Output:
    """The HTML page to write, and the directory for every figure as PNG and SVG."""

    page: Path | None = None
    figures: Path | None = None

    def __bool__(self) -> bool:
        return self.page is not None or self.figures is not None

    def check(self, *inputs: Path) -> None:
        """Raise `InputError` if something cannot be written or would replace an input; write nothing."""
        from flatmin.lab.report import check_report

        if self.page is not None:
            check_report(self.page)
            if any(self.page.resolve() == path.resolve() for path in inputs):
                raise InputError(f"the page {self.page} is the store or the table, expected another file")
        if self.figures is not None:
            files = [path for path in (self.page, *inputs) if path is not None and not path.is_dir()]
            _check_figures(self.figures, files)

    def write(
        self,
        findings: Sequence[Finding],
        *,
        title: str,
        command: str,
        provenance: dict[str, Provenance],
        notes: Sequence[str] = (),
    ) -> list[str]:
        """Write page and figures, and return a line about each."""
        from flatmin.lab.displays import check_figures, save_figures
        from flatmin.lab.report import write_findings

        lines, displays = [], [display for finding in findings for display in finding.displays]
        if self.figures is not None:
            check_figures(displays, self.figures)
        if self.page is not None:
            write_findings(self.page, findings, title=title, provenance=provenance, command=command, notes=notes)
            lines.append(f"report  {self.page}")
        if self.figures is not None:
            files = save_figures(displays, self.figures)
            lines.append(f"figures {self.figures}: {counted(len(files), 'file')}")
        return lines


def _check_figures(figures: Path, files: Sequence[Path]) -> None:
    """Raise `InputError` if figures cannot be written there, or if one of these files is in the way."""
    there = next(path for path in (figures, *figures.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InputError(f"the --figures {figures}: {there} is a file, expected a directory or a new name")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"the --figures {figures} cannot be written: nothing may be made in {there}")
    for file in files:
        if file.resolve() in (figures.resolve(), *figures.resolve().parents):
            raise InputError(f"the --figures {figures} would stand where {file} is to be, expected another name")


@dataclass(frozen=True)
class Request:
    """The arguments and options of ``flatmin report``; ``place`` is a store or a directory of stores."""

    place: Path
    #: The page; None for the name of the place with ``-report.html``, in the working directory.
    output: Path | None = None
    figures: Path | None = None
    quiet: bool = False
    command: str = ""


def run(request: Request) -> int:
    """Read stores, write page and figures, print verdicts, and return the exit status."""
    from flatmin.lab.pages.findings import Finding
    from flatmin.lab.stored_evidence import read_stores

    name = request.place.resolve().name if request.place.is_dir() else request.place.stem
    output = Output(request.output or Path(f"{name}-report.html"), request.figures)
    output.check(request.place)
    reading = read_stores(request.place)
    findings = [Finding.from_evidence(evidence) for evidence in reading.evidence]
    lines = output.write(
        findings,
        title=f"Experiments in {name}",
        command=request.command,
        provenance=reading.provenance,
        notes=reading.notes,
    )
    if not request.quiet:
        print_findings(findings)
        print("\n".join([*reading.notes, *lines]))
    return 0


def print_findings(findings: Sequence[Finding]) -> None:
    """Print the verdicts of each experiment, its failed and undecided claims, and missing trials."""
    from flatmin.lab.pages.findings import in_words, kind_of, tally
    from flatmin.lab.pages.settings import size_of, unfinished

    for finding in findings:
        evidence = finding.evidence
        lost = f", {len(evidence.failed)} failed" if evidence.failed else ""
        print(f"{evidence.name}: {tally(finding.claims)}; {size_of(evidence)}{lost}")
        for trouble in finding.trouble:
            print(f"  {trouble}")
        for claim in finding.claims:
            if kind_of(claim) in {"fails", "undecided"}:
                print(f"  {claim.verdict:<10} {claim.text}: {in_words(claim)}")
    missing = unfinished([finding.evidence for finding in findings])
    if missing:
        print(missing)

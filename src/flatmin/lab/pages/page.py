"""The content of the page about experiments: claims with verdicts, figures, and settings."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np

from flatmin._version import __version__
from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display, page_svg
from flatmin.lab.pages.findings import KINDS, Finding, Kind, in_words, kind_of, tally
from flatmin.lab.pages.settings import failures_of, settings_of, size_of, time_in_words, unfinished
from flatmin.lab.runs.provenance import Provenance
from flatmin.report.page import Chip, Fact, Figure, Overview, OverviewLine, Page, Section, Statement, Table, Verdict
from flatmin.report.words import counted, listed, number

__all__ = ["GENERATOR", "PageTexts", "experiments_page"]

#: The program named in the head of the page, by which former reports are recognised.
GENERATOR = f"flatmin report {__version__}"


class PageTexts(TypedDict, total=False):
    """Optional content of a page: the heading, the provenance of each recipe, the command to repeat it, notes."""

    title: str
    provenance: Mapping[str, Provenance]
    command: str
    notes: Sequence[str]


def experiments_page(findings: Sequence[Finding], **texts: Unpack[PageTexts]) -> Page:
    """Return the page about the findings of one or more recipes."""
    known = texts.get("provenance") or {}
    sections = [_section(finding, known.get(finding.name)) for finding in findings]
    if len(findings) > 1:
        sections.insert(0, _overview(findings))
    sections.append(_reading_guide(texts.get("command", "")))
    return Page(
        title=texts.get("title", "Experiments"),
        kicker="flatmin report",
        subtitle=f"{counted(len(findings), 'experiment')}: {listed([each.name for each in findings], most=20)}",
        verdict=_verdict(findings),
        highlights=_highlights(findings),
        sections=sections,
        notes=list(texts.get("notes", ())),
        generator=GENERATOR,
        broad=True,
    )


def _verdict(findings: Sequence[Finding]) -> Verdict:
    claims = [claim for finding in findings for claim in finding.claims]
    trials, counts = sum(finding.size for finding in findings), tally(claims)
    over = f"over {counted(trials, 'trial')} of {counted(len(findings), 'experiment')}"
    headline = f"{counts[:1].upper()}{counts[1:]}, {over}."
    return Verdict(bool(claims) and all(c.verdict == "holds" for c in claims), headline, _advice(findings))


def _advice(findings: Sequence[Finding]) -> str:
    """Return sentences that say which trials are missing, and which experiments have claims that do not hold."""
    sentences = [part for part in [unfinished([finding.evidence for finding in findings])] if part]
    for kind in ("fails", "undecided", "untested"):
        names = [f"{f.name} ({counted(f.count(kind), 'claim')} of {len(f.claims)})" for f in findings if f.count(kind)]
        if names:
            sentences.append(f"{KINDS[kind].label}: {listed(names, most=20)}.")
    lost = sum(len(finding.evidence.failed) for finding in findings)
    if lost:
        sentences.append(f"{counted(lost, 'trial')} failed and {'counts' if lost == 1 else 'count'} for nothing.")
    return " ".join(sentences)


def _highlights(findings: Sequence[Finding]) -> list[Fact]:
    counts = Counter(kind_of(claim) for finding in findings for claim in finding.claims)
    seconds = sum(r.seconds for f in findings for r in [*f.evidence.results, *f.evidence.failed])
    return [
        *(Fact(words.heading, str(counts[kind])) for kind, words in KINDS.items()),
        Fact("Trials", str(sum(finding.size for finding in findings))),
        Fact("Failed trials", str(sum(len(finding.evidence.failed) for finding in findings))),
        Fact("Time of the trials", time_in_words(seconds)),
    ]


def _overview(findings: Sequence[Finding]) -> Section:
    """Return the table of all claims, with links to them."""
    lines = []
    for finding in findings:
        chips = [
            Chip(name, kind.holds, str(index), f"{finding.name}, claim {index} {kind.one}")
            for index, name, kind, _ in _numbered(finding)
        ]
        cells = _outcome(finding), size_of(finding.evidence)
        lines.append(OverviewLine(_address(finding), finding.name, chips, cells))
    overview = Overview("Experiments and their claims", ("Experiment", "Claims", "Verdict", "Size"), lines)
    return Section("overview", "Overview", overview=overview)


def _numbered(finding: Finding) -> Iterator[tuple[int, str, Kind, Claim]]:
    """Yield the number, the address, the kind and the claim itself for each claim."""
    for index, claim in enumerate(finding.claims, 1):
        yield index, _address(finding, f"claim-{index}"), KINDS[kind_of(claim)], claim


def _outcome(finding: Finding) -> str:
    """Return the worst verdict among the claims, and how many claims have it."""
    words = {"fails": ("fails", "fail"), "undecided": ("undecided",) * 2, "untested": ("not tested",) * 2}
    for kind, (one, several) in words.items():
        count = finding.count(kind)
        if count:
            return f"{count} of {len(finding.claims)} {several if count > 1 else one}"
    return "all hold" if finding.claims else "no claim"


def _address(finding: Finding, part: str = "") -> str:
    """Return the address in the page of a recipe's section, or of a part of it; addresses are unique."""
    name = re.sub("[^A-Za-z0-9-]", lambda letter: f"_{ord(letter[0]):x}_", finding.name)
    return f"experiment-{name}" + (f".{part}" if part else "")


def _section(finding: Finding, provenance: Provenance | None) -> Section:
    """Return the section of a recipe: its figures, a short table of verdicts, and then claims and settings in full."""
    recipe = finding.recipe
    lost = f"; {len(finding.evidence.failed)} failed" if finding.evidence.failed else ""
    prose = [f"All numbers are from {size_of(finding.evidence)}{lost}."]
    if not finding.claims and not finding.trouble:
        prose.append("No claim has been judged with these trials.")
    leads = [Fact("Claim", _plain(recipe.claim)), Fact("Refuted by", _plain(recipe.refuted_by))]
    parts = [
        Section(_address(finding, "claims"), "Claims in full", prose, leads=leads, statements=_statements(finding)),
        Section(_address(finding, "settings"), "Settings", facts=settings_of(finding.evidence, provenance)),
    ]
    if finding.evidence.failed:
        summary, table = failures_of(finding.evidence)
        parts.append(Section(_address(finding, "failures"), "Failed trials", [summary], table=table))
    return Section(
        _address(finding),
        _plain(recipe.title),
        finding.trouble,
        figures=[_figure(_address(finding, display.name), display) for display in finding.displays],
        table=_verdicts(finding) if finding.claims else None,
        parts=parts,
        label=recipe.name,
    )


def _verdicts(finding: Finding) -> Table:
    """Return the short table of verdicts: a row for each claim, with the number that was found."""
    rows = [
        [kind.label, _plain(f"{index}. {claim.text[:1].upper()}{claim.text[1:]}"), in_words(claim).partition(";")[0]]
        for index, _, kind, claim in _numbered(finding)
    ]
    return Table("Verdicts", ("Verdict", "Claim", "Found"), rows, folded=False, words=True)


def _plain(text: str) -> str:
    """Return a text without backticks around formulas, and with numbers and % signs that stay on one line."""
    return text.replace("``", "").replace(" %", "\N{NO-BREAK SPACE}%")


def _statements(finding: Finding) -> list[Statement]:
    return [
        Statement(
            kind.holds,
            _plain(f"{index}. {claim.text[:1].upper()}{claim.text[1:]}"),
            in_words(claim),
            name=name,
            word=f"{kind.label}:",
        )
        for index, name, kind, claim in _numbered(finding)
    ]


def _figure(address: str, display: Display) -> Figure:
    head, rows = display.table()
    values = [[value.item() if isinstance(value, np.generic) else value for value in row] for row in rows]
    cells, keys = [list(map(_cell, row)) for row in values], [list(map(_key, row)) for row in values]
    table = Table(f"Data: {display.title}", head, cells, keys=keys)
    svg = page_svg(display, address)
    return Figure(display.title, display.alt, _plain(display.caption), svg=svg, wide=display.wide, table=table)


def _cell(value: Any) -> str:
    """Return the text of a cell of a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value).replace("-", "−")
    return "–" if value is None else number(value, 4) if isinstance(value, float) else str(value)


def _key(value: Any) -> float | str | None:
    """Return the sort key of a cell."""
    if isinstance(value, bool | int | float):
        return float(f"{value:.6g}") if abs(value) < float("inf") else None
    return value if value is None else str(value)


def _reading_guide(command: str) -> Section:
    """Return the section that explains the page's words and has the command that writes the page."""
    points = [
        "A claim names one number and a limit for it. It holds if the number's whole interval is on the "
        "claimed side of the limit, fails if the whole interval is on the other side, and is undecided otherwise; "
        "if these trials give no number, it is not tested here. Every claim is judged by itself. The "
        "interval of a random number has a probability of at least 95\N{NO-BREAK SPACE}%; intervals of several numbers "
        "in one claim are wider, so that all of them hold simultaneously with this probability.",
        "A number without an interval, such as the largest of all draws, describes these draws only; more draws "
        "may exceed it.",
        "Intervals are valid for a number of trials that was chosen in advance. They are not valid if a sweep is "
        "watched and stopped at a convenient verdict.",
        "A trial is one repetition of one cell of the grid. Its seed is a digest of the experiment, the parameters and "
        "the repetition, so a repeated trial has the same random draw. Methods that are compared see the same draws.",
        "A failed trial is one that ended with an error. It is counted and shown with its reason, and left out of all "
        "other numbers.",
    ]
    return Section("reading", "How to read this page", points=points, code=command)

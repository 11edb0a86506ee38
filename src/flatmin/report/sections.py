"""The sections of a report about one solution."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from flatmin._version import __version__
from flatmin.certificates import LARGEST_GAP, LARGEST_RESIDUAL
from flatmin.metric import Array
from flatmin.report import blocks, figures, words
from flatmin.report.page import Fact, Figure, Page, Section, Table

if TYPE_CHECKING:
    from flatmin.report import ReportContext

__all__ = ["solution_page"]

#: Cells that were filled in carry a dot in pictures of at most this many rows and columns.
MOST_DOTS = 60
#: The singular values of the truth are computed up to this smaller dimension.
LARGEST_TRUTH = 600
#: Rows of the history that are written out.
MOST_ROUNDS = 60

TITLES = {"observed": "Observed", "recovered": "Recovered", "true": "The truth"}
SETTINGS = {
    "alpha": "Strength of the scaled trace against the loss; 0 is an exact fit.",
    "metric_power": "1 is the flat norm, 0 the nuclear norm.",
    "max_rank": "Largest rank allowed.",
    "tol": "What the solver aims at, for residual and gap.",
    "max_iter": "Largest number of steps.",
    "time_limit": "Seconds allowed.",
    "seed": "Starts the random choices; the solution does not depend on it.",
}


def solution_page(context: ReportContext) -> Page:
    """Return the page about the solution of ``context``."""
    s, (d1, d2) = context.solution, context.problem.shape
    m = context.problem.measurement.size
    return Page(
        title=context.input_name or context.family.title,
        kicker="flatmin report",
        subtitle=f"{context.family.title}: {words.counted(m, 'measurement')} of a {d1} × {d2} matrix",
        verdict=words.verdict(s.status),
        caution=words.caution(context.problem.shape, s.rank, m),
        highlights=_highlights(context),
        sections=[part(context) for part in (_answer, _certificate, _limits, _search, _flatness, _repeat)],
        notes=context.notes,
        footer=f"Written by flatmin {__version__}. This page loads nothing from outside.",
    )


def _power(context: ReportContext) -> float:
    return float(context.solution.settings.get("metric_power", 1.0))


def _highlights(context: ReportContext) -> list[Fact]:
    s, c, error = context.solution, context.solution.certificate, _error(context)
    facts = [
        Fact("Rank", str(s.rank), f"of at most {min(context.problem.shape)}"),
        Fact("Relative gap", words.number(c.relative_gap, 2), f"a proof needs {words.number(LARGEST_GAP, 1)}"),
        Fact(
            "Relative residual",
            words.number(c.relative_residual, 2),
            f"a proof needs {words.number(LARGEST_RESIDUAL, 1)}",
        ),
        Fact("Only flattest", words.unique_word(c.unique), "up to about 0.1 %" if c.unique else ""),
        Fact("Time", f"{words.number(s.seconds, 2)} s", words.counted(s.iterations, "step")),
    ]
    if c.objective == "penalised":
        facts[2] = Fact("Relative residual", words.number(c.relative_residual, 2), "noise is allowed for")
    if error is not None:
        facts.insert(
            1,
            Fact("Error against truth", words.number(error, 2), "relative" if error <= 1e-6 else "it is not the truth"),
        )
    if context.summary.get("sigma") is not None:
        facts.append(Fact("Noise", words.number(context.summary["sigma"], 2), "estimated"))
    return facts


def _error(context: ReportContext) -> float | None:
    """Return the relative error against the truth, from the summary or computed."""
    given = context.summary.get("relative_error")
    if given is not None or context.truth is None or context.truth.shape != context.problem.shape:
        return None if given is None else float(given)
    size, difference = float(np.linalg.norm(context.truth)), 0.0
    L, R = context.solution.factors[0], context.solution.factors[-1]
    for i in range(0, len(L), 500):
        part = context.solution.parametrization.matrix((L[i : i + 500], R))
        difference += float(np.sum((part - context.truth[i : i + 500]) ** 2))
    return math.sqrt(difference) / size if size else math.sqrt(difference)


def _answer(context: ReportContext) -> Section:
    """Return the recovered matrix in pictures, and the rows and columns about which nothing is known."""
    s, (d1, d2) = context.solution, context.problem.shape
    prose = [f"As a matrix it has {d1} × {d2} entries and rank {s.rank}."]
    prose += _undetermined(context)
    if context.kind == "table":
        prose.append(
            "In the pictures every column is shifted and scaled by the mean and deviation of its observed values."
        )
    pictures = _images(context) if context.image is not None else _heat_maps(context)
    return Section("answer", f"The recovered {context.kind}", prose, figures=pictures)


def _undetermined(context: ReportContext) -> list[str]:
    out = []
    labels = (context.row_labels, context.column_labels)
    for index, names, word in zip(context.solution.undetermined, labels, ("row", "column"), strict=True):
        if len(index):
            shown = words.listed([names[i] if names else str(i) for i in index])
            count = words.counted(len(index), word)
            out.append(
                f"Undetermined: no measurement sees {count} ({shown}). The solution is zero there, for want of data."
            )
    return out + words.unmeasured(context.problem.metric)


def _images(context: ReportContext) -> list[Figure]:
    out = []
    pairs = (("observed", context.observed_image), ("recovered", context.image))
    for name, image in pairs:
        if image is None:
            continue
        h, w = image.shape[:2]
        alt = f"The {name} image, {h} pixels high and {w} wide."
        caption = ""
        if name == "observed":
            missing = float(np.mean(np.isnan(np.atleast_3d(image)).any(axis=2)))
            caption = f"{100 * missing:.0f} % of the pixels are missing (blue)."
        out.append(Figure(name.capitalize(), alt, caption, image=figures.picture(image)))
    return out


def _heat_maps(context: ReportContext) -> list[Figure]:
    """Return what was observed, what was recovered and what is true, as far as known, in the same colours."""
    s, shape = context.solution, context.problem.shape
    whole = blocks.recovered(s, shape)
    found = {"observed": blocks.observed(context.problem, whole), "recovered": whole, "true": None}
    if context.truth is not None and context.truth.shape == shape:
        found["true"] = blocks.truth_block(context.truth, whole)
    shown = {name: block for name, block in found.items() if block is not None}
    unit, marked = "", None
    if context.kind == "table":
        shown = dict(zip(shown, blocks.standardised(list(shown.values())), strict=True))
        unit = "deviations from the column mean"
    if "observed" in shown and max(whole.values.shape) <= MOST_DOTS:
        marked = np.isnan(shown["observed"].values) & ~np.isnan(shown["recovered"].values)
    scale = figures.scale_of(list(shown.values()))
    labels = (context.row_labels, context.column_labels)
    return [
        Figure(
            title=TITLES[name],
            alt=_alt(name, block),
            caption=_caption(name, block, marked if name == "recovered" else None),
            svg=figures.heat_map(
                f"{name}-matrix",
                block,
                scale,
                unit=unit,
                labels=labels,
                marked=marked if name == "recovered" else None,
            ),
        )
        for name, block in shown.items()
    ]


def _alt(name: str, block: blocks.Block) -> str:
    known = block.values[np.isfinite(block.values)]
    spread = f" Values from {words.number(known.min())} to {words.number(known.max())}." if known.size else ""
    return f"Heat map of the {name} matrix, {block.shape[0]} rows by {block.shape[1]} columns.{spread}"


def _caption(name: str, block: blocks.Block, marked: Array | None) -> str:
    parts = []
    if name == "observed" and np.isnan(block.values).any():
        parts.append("Grey cells were not observed.")
    if name == "recovered" and np.isnan(block.values).any():
        parts.append("Grey rows and columns are undetermined.")
    if marked is not None and marked.any():
        parts.append("Dots mark the cells that were filled in.")
    if not block.whole:
        rows, columns = block.values.shape
        parts.append(f"{rows} of {block.shape[0]} rows and {columns} of {block.shape[1]} columns, evenly spaced.")
    return " ".join(parts)


def _spectrum(context: ReportContext) -> Figure:
    s, problem = context.solution, context.problem
    D1, D2 = (D.tempered(_power(context)) for D in problem.metric)
    values, smaller = problem.parametrization.singular(s.factors, (D1, D2))[1], min(problem.shape)
    truth = None
    if context.truth is not None and context.truth.shape == problem.shape and smaller <= LARGEST_TRUTH:
        truth = np.linalg.svd(D1 @ context.truth @ D2, compute_uv=False)
        truth = truth[truth > 1e-10 * max(truth[0], 1e-300)]
    rest = smaller - len(values)
    caption = "Of the whitened matrix D1 X D2; their sum is what a flat solution minimises. "
    zeros = "none is zero" if rest == 0 else "the other one is zero" if rest == 1 else f"the other {rest} are zero"
    caption += f"Rank {len(values)}: {zeros}."
    alt = f"Singular values from {words.number(values[0])} down to {words.number(values[-1])}; rank {len(values)}."
    drawing = figures.singular_values("singular-values", values, smaller, truth)
    return Figure("Singular values", alt, caption, svg=drawing)


def _certificate(context: ReportContext) -> Section:
    c = context.solution.certificate
    intro = (
        "A certificate is a proof that can be checked without trusting the solver. This one has all its parts."
        if c.holds
        else "A certificate is a proof that can be checked without trusting the solver. This one is incomplete."
    )
    intro += " The solution and its dual vector are in solution.npz; “flatmin certify” repeats the check."
    return Section(
        "certificate",
        "The certificate",
        [intro],
        statements=words.proof(c, context.problem.measurement.size, _power(context)),
    )


def _limits(context: ReportContext) -> Section:
    s, problem = context.solution, context.problem
    points = words.limits(
        shape=problem.shape,
        rank=s.rank,
        n_measurements=problem.measurement.size,
        exact=s.certificate.objective == "interpolating",
        metric_power=_power(context),
        error=_error(context),
    )
    return Section("limits", "What it does not say", points=points)


def _search(context: ReportContext) -> Section:
    """Return the singular values, and how residual and gap fell."""
    s = context.solution
    history = {name: np.atleast_1d(values) for name, values in s.history.items()}
    names = [name for name in ("iteration", "seconds", "residual", "gap", "rank") if name in history]
    prose, pictures, table = [], [], None
    if s.rank:
        pictures.append(_spectrum(context))
    else:
        prose.append("The solution is zero, so there are no singular values to show.")
    if {"iteration", "residual", "gap"} <= set(names) and len(history["iteration"]):
        rounds = words.counted(len(history["iteration"]), "round")
        steps = words.counted(s.iterations, "step")
        prose.append(f"The solver took {steps} in {rounds} and {words.number(s.seconds, 2)} seconds.")
        pictures.append(_convergence(context, history))
        keep = blocks.picked(len(history["iteration"]), MOST_ROUNDS)
        rows = [[words.number(float(history[name][i]), 2) for name in names] for i in keep]
        table = Table("The rounds in numbers", [name.capitalize() for name in names], rows)
    else:
        prose.append("Nothing had to be searched for: there is no history to show.")
    return Section("search", "Rank and convergence", prose, figures=pictures, table=table)


def _convergence(context: ReportContext, history: Mapping[str, Array]) -> Figure:
    c = context.solution.certificate
    final = {"residual": c.relative_residual, "gap": c.relative_gap}
    thresholds = {"gap": LARGEST_GAP}
    if c.objective == "interpolating":
        thresholds["residual"] = LARGEST_RESIDUAL
    caption = "Diamonds are the final solution as certified; dashed lines are what a proof needs."
    shown = {key: np.append(history[key], final[key]) for key in final}
    if (shown["gap"] < 0).any():
        caption += " Hollow marks are negative gaps, shown by their size: the data are not fitted exactly there."
    if any((values == 0).any() for values in shown.values()):
        caption += " Marks on the bottom line are exact zeros."
    ends = " and ".join(words.number(final[key], 2) for key in ("residual", "gap"))
    alt = f"Relative residual and gap by iteration on a logarithmic scale; at the end {ends}."
    return Figure("Convergence", alt, caption, svg=figures.convergence("convergence", history, final, thresholds))


def _flatness(context: ReportContext) -> Section:
    s = context.solution
    prose = [
        "How sharply the loss bends at the factors that were found, computed exactly. Flat means that the scaled trace "
        "is as small as it can be."
    ]
    return Section(
        "flatness", "Flatness", prose, facts=words.flatness_facts(s.flatness, s.certificate, _power(context))
    )


def _repeat(context: ReportContext) -> Section:
    settings = [
        Fact(name.replace("_", " "), _setting(value), SETTINGS.get(name, ""))
        for name, value in context.solution.settings.items()
    ]
    versions = [Fact("flatmin", __version__), Fact("Python", platform.python_version())]
    versions += [Fact(name, version(name.lower())) for name in ("NumPy", "SciPy")]
    return Section("repeat", "To repeat it", code=context.command, facts=settings + versions)


def _setting(value: object) -> str:
    if value is None:
        return "not set"
    return words.number(float(value)) if isinstance(value, int | float | np.number) else str(value)

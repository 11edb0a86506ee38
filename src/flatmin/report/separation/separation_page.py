"""The page about separated data: pictures and errors first, then the fit and its certificate."""

import numpy as np

from flatmin.report.fitted_sections import certified_section, repeat_section
from flatmin.report.page import Fact, Page, Section, Table, Verdict
from flatmin.report.separation.separated_data import SeparatedData
from flatmin.report.separation.split_pictures import split_pictures
from flatmin.report.vocabulary import split_vocabulary
from flatmin.report.words import counted, judgement, number, sentence

__all__ = ["separation_page"]

#: Largest number of errors that are listed.
MOST_ERRORS = 50
#: Grey levels of a pixel of 8 bits.
LEVELS = 255


def separation_page(split: SeparatedData) -> Page:
    """Return the page about separated data."""
    summary = split.summary
    n, d = summary["shape"]
    sections = [_parts(split), _sizes(split), _fit(split)]
    size = f"{counted(n, 'row')} and {counted(d, 'column')} of numbers"
    if split.frames is not None:
        count, h, w, channels = split.frames
        size = f"{count} frames of {w}×{h} pixels, in {'grey' if channels == 1 else 'colour'}"
    return Page(
        title=split.input_name,
        kicker="flatmin separate",
        subtitle=size,
        verdict=_verdict(split),
        highlights=_highlights(split),
        sections=[*sections, repeat_section(split.command, summary["seed"])],
        notes=list(map(sentence, split.notes)),
    )


def _verdict(split: SeparatedData) -> Verdict:
    """Return the number of errors, and what the rest of the data is."""
    summary = split.summary
    count = counted(summary["n_errors"], summary["unit"])
    share = f"{number(100 * summary['error_share'], 2)} %"
    are = "is a gross error" if summary["n_errors"] == 1 else "are gross errors"
    noise = "without noise" if summary["sigma"] == 0 else f"plus noise {_noise(split)}"
    advice = f"The rest is a matrix of rank {summary['rank']}, {noise}."
    if not summary["converged"]:
        advice += " The fit did not converge, so the parts may change with more effort."
    return Verdict(summary["converged"], f"{count} ({share}) {are}.", advice)


def _noise(split: SeparatedData) -> str:
    """Return the level of the noise in words."""
    sigma = split.summary["sigma"]
    if sigma is None:
        return "of unknown level"
    if split.are_pictures:
        return f"of {number(LEVELS * sigma, 2)} grey levels of {LEVELS}"
    if np.all(split.scales == 1):
        return f"of standard deviation {number(sigma)}"
    return f"of {number(sigma, 2)} robust standard deviations of a column"


def _highlights(split: SeparatedData) -> list[Fact]:
    summary = split.summary
    known = f"of {counted(summary['n_known'], summary['unit'])}"
    noise, unit = number(summary["sigma"]), "standard deviation"
    if split.are_pictures and summary["sigma"] is not None:
        noise, unit = number(LEVELS * summary["sigma"], 2), f"grey levels of {LEVELS}"
    elif not np.all(split.scales == 1):
        unit = "robust standard deviations of a column"
    return [
        Fact("Gross errors", str(summary["n_errors"]), f"{number(100 * summary['error_share'], 2)} % {known}"),
        Fact("Rank", str(summary["rank"]), "of the low-rank part"),
        Fact("Noise", noise, unit),
        Fact("Time", f"{number(summary['seconds'], 2)} s"),
    ]


def _parts(split: SeparatedData) -> Section:
    prose = []
    if split.frames is not None:
        prose.append("The pictures show the frame with the most wrong pixels in each third of the clip.")
    return Section("parts", "The parts", prose, figures=split_pictures(split))


def _sizes(split: SeparatedData) -> Section:
    """Return the gross errors one by one, or the number of wrong pixels."""
    summary, mask = split.summary, split.mask
    prose = []
    if summary["sigma"] != 0:
        prose.append(
            "A cell is a gross error if it differs from the low-rank part by more than three standard deviations of "
            "the noise. About 0.3 % of normal noise is as large, so small errors may be noise."
        )
    if split.are_pictures:
        return Section("errors", "The gross errors", prose, facts=_about_pixels(split))
    sizes = np.abs(split.sparse) / split.scales
    places = np.argwhere(mask)
    order = np.argsort(-sizes[mask], kind="stable")[:MOST_ERRORS]
    rows: list[list[str]] = []
    keys: list[list[float | str | None]] = []
    for i, j in places[order]:
        cells = split.data[i, j], split.low_rank[i, j], split.sparse[i, j]
        rows.append([split.label(i), split.name(j), *(number(float(cell), 5) for cell in cells)])
        keys.append([int(i), split.name(j), *map(float, cells)])
    head = ("Row", "Column", "Value", "Low rank", "Difference")
    title = "All gross errors" if len(order) == len(places) else f"The {len(order)} largest of {len(places)} errors"
    table = Table(title, head, rows, folded=False, keys=keys) if rows else None
    return Section("errors", "The gross errors", prose, table=table)


def _about_pixels(split: SeparatedData) -> list[Fact]:
    sizes = LEVELS * np.abs(split.sparse[split.mask])
    if not len(sizes):
        return [Fact("Wrong pixels", "0")]
    facts = [
        Fact("Median size", number(float(np.median(sizes)), 2), f"grey levels of {LEVELS}"),
        Fact("Largest size", number(float(sizes.max()), 3), f"grey levels of {LEVELS}"),
    ]
    if split.frames is not None:
        wrong = split.mask.reshape(split.frames).any(axis=3).sum(axis=(1, 2))
        row = int(np.argmax(wrong))
        facts.append(Fact("Most in one frame", str(int(wrong[row])), f"in frame {split.label(row)}"))
        facts.append(Fact("Frames without errors", str(int((wrong == 0).sum())), f"of {len(wrong)}"))
    return facts


def _fit(split: SeparatedData) -> Section:
    summary, proof = split.summary, split.certificate
    model = (
        "The data are split into a matrix of low rank and gross errors in few cells, with penalties on the nuclear "
        "norm of the one and on the sum of the sizes of the other (robust principal component analysis)."
    )
    facts = [
        Fact("Strength", number(summary["alpha"]), "alpha of the penalised fit; 0 is an exact split"),
        Fact("Weight", number(summary["weight"]), "cost of a unit of error relative to the nuclear norm"),
    ]
    refit = (
        ""
        if summary["sigma"] == 0
        else (
            " The parts come from a least-squares fit of its rank to the cells without gross errors, which has no "
            "certificate."
        )
    )
    judged = "" if proof is None else judgement(proof, split_vocabulary(summary["weight"]))
    meaning = (
        f"The certificate is a statement about this split as an optimization problem. {judged} It "
        f"does not say that the parts are the true ones.{refit}"
    )
    return certified_section(model, facts, meaning, summary, proof)

"""The recovered unknown in pictures for any family, and its unmeasured rows and columns."""

from collections.abc import Mapping, Sequence

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.page import Figure, Section
from flatmin.report.pictures import blocks, figures
from flatmin.report.solved_problem import SolvedProblem
from flatmin.report.words import counted, listed, number, unmeasured

__all__ = ["heat_maps", "image", "images", "matrix_answer", "unseen"]

#: Filled-in cells have a dot in pictures with at most this number of rows and of columns.
MOST_DOTS = 60
#: Images whose longest side is at most this number of pixels are shown with square pixels, not smoothed.
COARSE_SIDE = 128

TITLES = {"observed": "Observed", "recovered": "Recovered", "true": "The truth"}


def matrix_answer(solved: SolvedProblem) -> list[Section]:
    """Return the recovered matrix in pictures, and its unmeasured rows and columns."""
    d1, d2 = solved.problem.shape
    prose = [f"As a matrix it has {d1} × {d2} entries and rank {solved.solution.rank}."]
    prose += unseen(solved)
    if solved.kind == "table":
        prose.append(
            "In the pictures every column is shifted and scaled by the mean and deviation of its observed values."
        )
    pictures = heat_maps(solved) if solved.image is None else images(solved.observed_image, solved.image)
    return [Section("answer", f"The recovered {solved.kind}", prose, figures=pictures)]


def unseen(solved: SolvedProblem, noun: str = "coordinate", names: Sequence[str] | None = None) -> list[str]:
    """Return sentences about unmeasured rows and columns; in symmetric models each of them is called a ``noun``."""
    names = names or solved.row_labels
    sides: list[tuple[Array, Sequence[str] | None, str]] = [(solved.solution.undetermined[0], names, noun)]
    if not solved.solution.parametrization.cone.is_hermitian:
        words = ("row", "column")
        sides = list(zip(solved.solution.undetermined, solved.labels, words, strict=True))
    out = []
    for index, known, word in sides:
        if len(index):
            shown = listed([known[i] if known else str(i) for i in index])
            count = counted(len(index), word)
            out.append(f"Undetermined: no measurement sees {count} ({shown}). The solution is zero there.")
    return out + unmeasured(solved.problem.metric)


def image(title: str, pixels: Array, alt: str, caption: str = "", wide: bool = False) -> Figure:
    """Return a picture (h, w) or (h, w, c), values from 0 to 1, as a figure."""
    coarse = max(pixels.shape[:2]) <= COARSE_SIDE
    return Figure(title, alt, caption, image=figures.picture(pixels), coarse=coarse, wide=wide)


def images(observed: Array | None, found: Array, title: str = "Recovered") -> list[Figure]:
    """Return the observed image, if there is one, and the recovered one."""
    out = []
    for name, pixels in (("Observed", observed), (title, found)):
        if pixels is None:
            continue
        h, w = pixels.shape[:2]
        caption = missing(pixels) if name == "Observed" else ""
        out.append(image(name, pixels, f"The {name.lower()} image, {h} pixels high and {w} wide.", caption))
    return out


def missing(pixels: Array) -> str:
    """Return which share of an image is missing."""
    share = float(np.mean(np.isnan(np.atleast_3d(pixels)).any(axis=2)))
    return f"{100 * share:.0f} % of the pixels are missing (blue)."


def heat_maps(
    solved: SolvedProblem,
    titles: Mapping[str, str] = TITLES,
    coordinates: tuple[str, str] = ("row", "column"),
    leading: Sequence[str] = (),
) -> list[Figure]:
    """Return heat maps of the observed, the recovered and the true matrix (if known), with a common colour scale.

    ``titles`` has the title of each map, and ``coordinates`` the names of the axes. ``leading`` names the maps whose
    values determine the colour scale.
    """
    shape = solved.problem.shape
    whole = blocks.recovered(solved.solution, shape)
    found = {"observed": blocks.observed(solved.problem), "recovered": whole, "true": None}
    if solved.truth is not None and solved.truth.shape == shape:
        found["true"] = blocks.part(solved.truth)
    shown = {name: block for name, block in found.items() if block is not None}
    unit, marked = "modulus" if np.iscomplexobj(solved.pair[0]) else "", None
    if solved.kind == "table":
        shown = dict(zip(shown, blocks.standardised(list(shown.values())), strict=True))
        unit = "deviations from the column mean"
    if "observed" in shown and max(whole.values.shape) <= MOST_DOTS:
        marked = np.isnan(shown["observed"].values) & ~np.isnan(shown["recovered"].values)
    scale = figures.scale_of([block for name, block in shown.items() if not leading or name in leading])
    out = []
    for name, block in shown.items():
        dots = marked if name == "recovered" else None
        svg = figures.heat_map(
            f"{name}-matrix", block, scale, unit=unit, labels=solved.labels, marked=dots, titles=coordinates
        )
        title, caption = titles.get(name, name.capitalize()), caption_of(name, block, dots)
        out.append(Figure(title, _alt(name, block), caption, svg=svg))
    return out


def _alt(name: str, block: blocks.Block) -> str:
    known = block.values[np.isfinite(block.values)]
    spread = f" Values from {number(known.min())} to {number(known.max())}." if known.size else ""
    return f"Heat map of the {name} matrix, {block.shape[0]} rows by {block.shape[1]} columns.{spread}"


def caption_of(name: str, block: blocks.Block, marked: Array | None = None) -> str:
    """Return the caption of a heat map: its missing cells, its dots, and its omitted rows and columns."""
    blank, (rows, columns) = np.isnan(block.values).any(), block.values.shape
    part = f"{rows} of {block.shape[0]} rows and {columns} of {block.shape[1]} columns, evenly spaced."
    sentences = [
        ("Grey cells were not observed.", name == "observed" and blank),
        ("Grey rows and columns are undetermined.", name == "recovered" and blank),
        ("Dots mark the cells that were filled in.", marked is not None and marked.any()),
        (part, not block.whole),
    ]
    return " ".join(text for text, applies in sentences if applies)

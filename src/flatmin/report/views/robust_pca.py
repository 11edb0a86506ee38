"""View of robust PCA: the data, the low-rank part and the gross errors, and their positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.entries import Entries
from flatmin.report.answers import TITLES, caption_of, heat_maps, image, images, missing, unseen
from flatmin.report.page import Fact, Figure, Section
from flatmin.report.pictures import blocks, charts, figures
from flatmin.report.solved_problem import SolvedProblem
from flatmin.report.views.base import View
from flatmin.report.words import counted, number

__all__ = ["VIEW"]

#: A gross error counts as rounding error if it is below this share of the largest value in the data.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class _Split:
    """The gross errors in the observed cells."""

    solved: SolvedProblem
    rows: Array
    cols: Array
    errors: Array

    @classmethod
    def from_solved(cls, solved: SolvedProblem) -> _Split:
        A = solved.problem.measurement
        assert isinstance(A, Entries)
        sparse = solved.solution.parts.get("sparse")
        errors = -solved.problem.residual(solved.solution.factors) if sparse is None else sparse[A.rows, A.cols]
        tiny = ROUNDING * float(np.max(np.abs(solved.problem.data), initial=0.0))
        return cls(solved, A.rows, A.cols, np.where(np.abs(errors) > tiny, errors, 0.0))

    @property
    def wrong(self) -> Array:
        """Which observed cells carry an error, (m,)."""
        return np.asarray(self.errors != 0)

    def matrix(self, values: Array) -> Array:
        """Return a matrix that holds ``values`` in the observed cells, NaN in the others."""
        out = np.full(self.solved.problem.shape, np.nan)
        out[self.rows, self.cols] = values
        return out


def _measured(solved: SolvedProblem) -> str:
    d1, d2 = solved.problem.shape
    cells = solved.problem.measurement.size
    known = "all cells" if cells == d1 * d2 else f"{cells} of the {d1 * d2} cells"
    return f"{known} of a {d1} × {d2} matrix, some of them wrong"


def _answer(solved: SolvedProblem) -> list[Section]:
    split = _Split.from_solved(solved)
    d1, d2 = solved.problem.shape
    prose = [
        f"The data are split into a matrix of rank {solved.solution.rank} and gross errors in "
        f"{counted(int(split.wrong.sum()), 'cell')}. {_objective(solved)}",
        *_refit(solved),
        *unseen(solved),
    ]
    gaps = d1 * d2 - len(split.rows)
    if gaps:
        are = "is" if gaps == 1 else "are"
        prose.append(
            f"{counted(gaps, 'cell')} {are} missing. They are filled from the low-rank part and never count as errors."
        )
    if solved.picture is not None:
        pictures = _pictures(solved, split)
    else:
        sparse = blocks.scattered(split.rows, split.cols, split.errors, solved.problem.shape)
        titles = {**TITLES, "recovered": "Low rank"}
        if solved.image is None:
            pictures = heat_maps(solved, titles=titles, leading=("recovered", "true"))
        else:
            pictures = images(solved.observed_image, solved.image, "Low rank")
        svg = figures.heat_map("sparse-matrix", sparse, figures.scale_of([sparse]), labels=solved.labels)
        caption = f"On their own colour scale. {caption_of('observed', sparse)}".strip()
        pictures.insert(2, Figure("Gross errors", "Heat map of the gross errors.", caption, svg=svg))
    return [Section("answer", "Low rank and gross errors", prose, figures=pictures), _support(split)]


def _objective(solved: SolvedProblem) -> str:
    loss, alpha = solved.problem.loss, float(solved.solution.settings.get("alpha", 0.0))
    if not loss.has_gross_errors:
        return ""
    if alpha > 0:
        weight = loss.weight_for(solved.problem.shape)
        cost = f"‖X‖_* and {number(weight, 4)} times ‖S‖₁" if weight else f"‖X‖_*, where ‖S‖₁ ≤ {number(loss.tau, 4)}"
        return (
            "The remainder of the data is noise. The objective is its mean square plus "
            f"{number(4 * alpha, 4)} times the norms of the parts: {cost}. This pulls both parts towards zero."
        )
    if loss.tau is not None:
        limit = number(loss.tau, 4)
        return f"The objective is the nuclear norm ‖X‖_* among all splits with errors ‖S‖₁ of at most {limit}."
    weight = loss.weight_for(solved.problem.shape)
    return (
        f"The objective is the nuclear norm ‖X‖_* plus {number(weight, 4)} times the sum ‖S‖₁ of the absolute errors. "
        "Its minimum is also flat: an X with a smaller ‖X‖_* has larger errors in ‖S‖₁."
    )


def _refit(solved: SolvedProblem) -> list[str]:
    """Return a sentence about the cells that the refit calls wrong."""
    wrong = solved.solution.parts.get("outliers")
    if wrong is None or solved.solution.noise is None or solved.solution.noise.alpha == 0:
        return []
    return [
        "The penalised split also counts the largest noise among the errors. The refit, of rank "
        f"{solved.solution.noise.rank}, calls {counted(int(np.count_nonzero(wrong)), 'cell')} wrong: those that differ "
        "from it by more than three standard deviations of the noise. They are the array “outliers” in solution.npz."
    ]


def _pictures(solved: SolvedProblem, split: _Split) -> list[Figure]:
    """Return pictures of the data, the low-rank part, the errors and their positions."""
    picture = solved.picture
    assert picture is not None
    wide = solved.kind == "frames"
    which = "The first, the middle and the last frame. " if wide else ""
    shown = [
        ("Observed", solved.observed_image, split.matrix(solved.problem.data), ""),
        ("Low rank", solved.image, solved.solution.matrix, ""),
        (
            "Gross errors",
            None,
            0.5 + split.matrix(split.errors) / 2,
            "Grey: no error; white: too bright; black: too dark.",
        ),
        ("Where they are", None, split.matrix(split.wrong.astype(float)), "White cells carry an error."),
    ]
    if solved.truth is not None:
        shown.append(("The truth", None, solved.truth, ""))
    out = []
    for title, given, matrix, caption in shown:
        pixels = picture(matrix) if given is None else given
        if pixels is None:
            continue
        blank = missing(pixels) if np.isnan(pixels).any() else ""
        text = f"{which}{caption} {blank}".strip()
        alt = f"{title}: a picture {pixels.shape[0]} pixels high and {pixels.shape[1]} wide."
        out.append(image(title, pixels, alt, text, wide=wide))
    return out


def _support(split: _Split) -> Section:
    """Return the positions, the number and the sizes of the errors."""
    errors, wrong = split.errors[split.wrong], split.wrong
    count, cells = int(wrong.sum()), len(wrong)
    share = f"{number(100 * count / cells)} % of the cells observed." if cells else ""
    facts = [Fact("Cells in error", str(count), share)]
    pictures = []
    if count:
        sizes = np.abs(errors)
        rows, cols = (int(np.bincount(index[wrong]).max()) for index in (split.rows, split.cols))
        facts += [
            Fact("Most in one row", str(rows), f"Of {split.solved.problem.shape[1]} cells."),
            Fact("Most in one column", str(cols), f"Of {split.solved.problem.shape[0]} cells."),
            Fact("Size ‖S‖₁", number(float(sizes.sum()), 6), "Sum of the absolute errors."),
            Fact("Median size", number(float(np.median(sizes))), "Half of the errors are larger."),
            Fact("Largest size", number(float(sizes.max())), "Largest absolute error."),
            Fact("Positive", f"{number(100 * float(np.mean(errors > 0)))} %", "Share of the errors that are positive."),
        ]
        pictures = [_sizes(sizes)] if split.solved.picture is not None else [_map(split), _sizes(sizes)]
    prose = [
        "Recovery can be expected if every row and every column has few errors, and the pattern of the errors does not "
        "itself have a low rank."
    ]
    return Section("errors", "The gross errors", prose, figures=pictures, facts=facts)


def _map(split: _Split) -> Figure:
    """Return a map of the cells in error; for large matrices the share of them in each tile."""
    d1, d2 = split.solved.problem.shape
    tiles = tuple(min(n, blocks.LARGEST_SIDE) for n in (d1, d2))
    i, j = (index * t // n for index, t, n in zip((split.rows, split.cols), tiles, (d1, d2), strict=True))
    total, wrong = np.zeros(tiles), np.zeros(tiles)
    np.add.at(total, (i, j), 1.0)
    np.add.at(wrong, (i, j), split.wrong)
    share = np.divide(wrong, total, out=np.full(tiles, np.nan), where=total > 0)
    rows, columns = (np.arange(t) * n // t for t, n in zip(tiles, (d1, d2), strict=True))
    block = blocks.Block(share, rows, columns, (d1, d2))
    caption = "1 marks a cell in error." if tiles == (d1, d2) else "Share of the cells in error, tile by tile."
    if np.isnan(share).any():
        caption += " Grey cells were not observed."
    svg = figures.heat_map("support", block, (0.0, float(np.nanmax(share)) or 1.0))
    return Figure("Where they are", f"Map of {int(split.wrong.sum())} cells in error.", caption, svg=svg)


def _sizes(sizes: Array) -> Figure:
    alt = f"Histogram of the sizes of {len(sizes)} errors, up to {number(float(sizes.max()))}."
    return Figure("How large they are", alt, "", svg=charts.histogram("sizes", sizes, "size of the error", "cells"))


def _highlights(solved: SolvedProblem) -> list[Fact]:
    split = _Split.from_solved(solved)
    count, cells = int(split.wrong.sum()), len(split.wrong)
    share = f"{number(100 * count / cells, 2)} % of the cells observed" if cells else ""
    return [Fact("Gross errors", str(count), share)]


VIEW = View(answer=_answer, measured=_measured, highlights=_highlights)

"""View of covariance estimation: the matrix, its eigenvalues, and the variance by direction."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.answers import TITLES, heat_maps, unseen
from flatmin.report.page import Figure, Section, Table
from flatmin.report.pictures import figures
from flatmin.report.solved_problem import LARGEST_TRUTH, SolvedProblem
from flatmin.report.views.base import View
from flatmin.report.words import counted, number

__all__ = ["VIEW"]

#: Largest number of directions in the table.
MOST_DIRECTIONS = 30


def _measured(solved: SolvedProblem) -> str:
    d = solved.problem.shape[0]
    return f"{counted(solved.problem.measurement.size, 'sketch')} of a {d} × {d} covariance matrix".replace("hs", "hes")


def _answer(solved: SolvedProblem) -> list[Section]:
    d, rank = solved.problem.shape[0], solved.solution.rank
    values = np.linalg.svd(solved.pair[0], compute_uv=False) ** 2
    prose = [
        f"The covariance of {counted(d, 'variable')} has rank {rank}: all variance lies along "
        f"{counted(rank, 'direction')}. The data are the variances along given vectors.",
        *unseen(solved, "variable"),
    ]
    titles = {**TITLES, "recovered": "Recovered covariance"}
    pictures = heat_maps(solved, titles=titles, coordinates=("variable", "variable"))
    if not rank:
        return [Section("answer", "The recovered covariance", prose, figures=pictures)]
    pictures.append(_eigenvalues(solved, values))
    total = float(values.sum())
    rows = [
        [
            str(j + 1),
            number(float(v)),
            f"{number(100 * v / total)} %",
            f"{number(100 * values[: j + 1].sum() / total)} %",
        ]
        for j, v in enumerate(values[:MOST_DIRECTIONS])
    ]
    table = Table("Variance by direction", ("Direction", "Variance", "Share", "So far"), rows)
    return [Section("answer", "The recovered covariance", prose, figures=pictures, table=table)]


def _eigenvalues(solved: SolvedProblem, values: Array) -> Figure:
    d, truth = solved.problem.shape[0], None
    if solved.truth is not None and d <= LARGEST_TRUTH:
        known = np.linalg.eigvalsh(solved.truth)[::-1]
        truth = known[known > 1e-10 * max(known[0], 1e-300)]
    svg = figures.singular_values("eigenvalues", values, d, truth, axis="index of the eigenvalue")
    caption = (
        f"Variance along each principal direction; the first has {number(100 * values[0] / values.sum())} % of it."
    )
    alt = f"Eigenvalues from {number(float(values[0]))} down to {number(float(values[-1]))}."
    return Figure("Eigenvalues of the covariance", alt, caption, svg=svg)


VIEW = View(answer=_answer, measured=_measured)

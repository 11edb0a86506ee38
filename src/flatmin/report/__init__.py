"""Reports: one self-contained HTML page about a solution, with the verdict in words, pictures and numbers."""

from pathlib import Path

from flatmin.report.imputation import FilledTable
from flatmin.report.rating import HeldOutValues, RatedTable
from flatmin.report.separation import SeparatedData
from flatmin.report.solved_problem import SolvedProblem

__all__ = [
    "FilledTable",
    "HeldOutValues",
    "RatedTable",
    "SeparatedData",
    "SolvedProblem",
    "write_imputation_report",
    "write_rating_report",
    "write_report",
    "write_separation_report",
]


def write_report(path: Path, solved: SolvedProblem) -> None:
    """Write the report of a solved problem to ``path``, one HTML file that loads nothing from outside."""
    from flatmin.report.page import render
    from flatmin.report.sections import solution_page

    path.write_text(render(solution_page(solved)), encoding="utf-8")


def write_imputation_report(path: Path, table: FilledTable) -> None:
    """Write the report of a completed table to ``path``, one HTML file that loads nothing from outside."""
    from flatmin.report.imputation.imputation_page import imputation_page
    from flatmin.report.page import render

    path.write_text(render(imputation_page(table)), encoding="utf-8")


def write_rating_report(path: Path, rated: RatedTable) -> None:
    """Write the report of predicted values of pairs to ``path``, one HTML file that loads nothing from outside."""
    from flatmin.report.page import render
    from flatmin.report.rating.rating_page import rating_page

    path.write_text(render(rating_page(rated)), encoding="utf-8")


def write_separation_report(path: Path, split: SeparatedData) -> None:
    """Write the report of separated data to ``path``, one HTML file that loads nothing from outside."""
    from flatmin.report.page import render
    from flatmin.report.separation.separation_page import separation_page

    path.write_text(render(separation_page(split)), encoding="utf-8")


__dir__ = __all__.copy

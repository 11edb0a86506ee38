"""One self-contained HTML page about a solution: the verdict in words, pictures, and the numbers behind them."""

from __future__ import annotations

from pathlib import Path

from flatmin.report.context import ReportContext

__all__ = ["ReportContext", "write_report"]


def write_report(path: Path, context: ReportContext) -> None:
    """Write the report of ``context`` to ``path``, one HTML file that loads nothing from outside."""
    from flatmin.report.page import render
    from flatmin.report.reading import Reading
    from flatmin.report.sections import solution_page

    path.write_text(render(solution_page(Reading(context))), encoding="utf-8")


def __dir__() -> list[str]:
    return __all__

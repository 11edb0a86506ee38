"""The report of signed sums."""

from flatmin.report.views import View

__all__ = ["VIEW"]

VIEW = View(measured=lambda solved: f"{solved.problem.measurement.size} signed sums")

"""The report of signed sums."""

from flatmin.report.views import View

__all__ = ["VIEW"]

VIEW = View(measured=lambda reading: f"{reading.problem.measurement.size} signed sums")

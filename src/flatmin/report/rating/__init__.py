"""The report of ``flatmin rate``: errors on held-out pairs, recommendations, and the certificate of the fit."""

from flatmin.report.rating.rated_table import HeldOutValues, RatedTable

__all__ = ["HeldOutValues", "RatedTable"]

__dir__ = __all__.copy

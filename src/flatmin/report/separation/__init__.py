"""The report of ``flatmin separate``: the low-rank part, the gross errors, and the certificate of the fit."""

from flatmin.report.separation.separated_data import SeparatedData

__all__ = ["SeparatedData"]

__dir__ = __all__.copy

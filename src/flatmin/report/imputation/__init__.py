"""The report of ``flatmin impute``: the filled cells, their errors, and the certificate of the fit."""

from flatmin.report.imputation.filled_table import FilledTable

__all__ = ["FilledTable"]

__dir__ = __all__.copy

"""Completion of large tables, cell by cell: exact fits, and penalised ones."""

__all__: list[str] = []
__dir__ = __all__.copy

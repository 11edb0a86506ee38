"""Completion of large tables, entry by entry: exact fits, and penalised ones."""

__all__: list[str] = []
__dir__ = __all__.copy

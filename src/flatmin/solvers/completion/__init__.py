"""Completion of large tables, cell by cell: exact fits, and penalised ones."""

__all__: list[str] = []


def __dir__() -> list[str]:
    return __all__

"""Typeset formulas in the sentences of a report."""

__all__: list[str] = []
__dir__ = __all__.copy

"""Compiled loops over the observed cells of a large sparse matrix. Numba is imported when `Cells` is first used."""

from typing import Any

__all__ = ["MIN_COMPILED_CELLS", "CellMatrix", "Cells"]

#: Number of cells from which compiled loops save more time than loading Numba takes. The rule depends on the number
#: alone, so that the digits of an answer do not depend on earlier computations.
MIN_COMPILED_CELLS = 50_000


def __getattr__(name: str) -> Any:
    if name in {"Cells", "CellMatrix"}:
        from flatmin.linalg.kernels import cells, matrix

        return cells.Cells if name == "Cells" else matrix.CellMatrix
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


__dir__ = __all__.copy

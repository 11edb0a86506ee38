"""Compiled loops over the observed cells of a large sparse matrix; Numba loads when `Cells` is first used."""

from typing import Any

__all__ = ["MIN_COMPILED_CELLS", "CellMatrix", "Cells"]

#: From this many cells on, compiled loops repay the time that loading Numba takes. A rule of size alone, so that the
#: digits of an answer do not depend on what ran before it.
MIN_COMPILED_CELLS = 50_000


def __getattr__(name: str) -> Any:
    if name in {"Cells", "CellMatrix"}:
        from flatmin.linalg.kernels import cells, matrix

        return cells.Cells if name == "Cells" else matrix.CellMatrix
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__

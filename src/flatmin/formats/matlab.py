"""MATLAB: files ``.mat`` (version 5) with a matrix completion problem in one of four forms.

========================================= ============================================================================
variables                                 meaning
========================================= ============================================================================
``rows``, ``cols``, ``values``, ``shape`` known cells; indices start at 1
``Omega``, ``b``, ``n1``, ``n2``          linear indices of known cells, column by column from 1, their values, and the
                                          shape
``A`` or ``At``, ``b``, ``c``, ``K``      the semidefinite programme of matrix completion in SeDuMi's form, with
                                          ``K.s`` alone
one matrix of any name                    sparse: stored entries are known; dense: all entries but NaN are known
========================================= ============================================================================
"""

from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin._core.memory import require
from flatmin._core.validation import integers, matrix_shape, numeric
from flatmin.errors import InputError
from flatmin.formats.base import KnownCells
from flatmin.formats.matrix_market import MatrixMarket
from flatmin.formats.sdpa_sparse import NUCLEAR, CompletionProgramme

__all__ = ["FORMAT", "Matlab"]

FORMS = ("rows, cols, values, shape", "Omega, b, n1, n2", "A or At, b, c, K", "one matrix")
#: Largest ratio of the memory of arrays to the size of their file, which the compression of such files can reach.
UNPACKED = 1100.0


class Matlab(MatrixMarket):
    """A matrix completion problem in a ``.mat`` file; the answer is a ``.mtx`` file."""

    suffixes = (".mat",)

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read a file of version 5."""
        found = _variables(path)
        if {"rows", "cols", "values", "shape"} <= found.keys():
            shape = matrix_shape(_index(found, "shape", 0))
            cells = _cells(_index(found, "rows"), _index(found, "cols"), _vector(found, "values"), shape)
        elif {"Omega", "b", "n1", "n2"} <= found.keys():
            shape = matrix_shape([*_index(found, "n1", 0), *_index(found, "n2", 0)])
            cols, rows = np.divmod(_index(found, "Omega"), shape[0])
            cells = _cells(rows, cols, _vector(found, "b"), shape)
        elif {"b", "c", "K"} <= found.keys() and not {"A", "At"}.isdisjoint(found):
            return cls(_sedumi(found, path.name).cells(path.name), sparse=True, notes=[NUCLEAR])
        else:
            return cls._of_matrix(found, path.name)
        return cls(cells, sparse=True)

    @classmethod
    def _of_matrix(cls, found: dict[str, Any], name: str) -> Self:
        matrices = {key: value for key, value in found.items() if np.ndim(value) == 2 and min(value.shape) > 1}
        if len(matrices) != 1:
            names = ", ".join(sorted(found)[:8]) or "nothing"
            raise InputError(f"{name} has the variables {names}, expected one of: {'; '.join(FORMS)}")
        matrix = next(iter(matrices.values()))
        if isinstance(matrix, np.ndarray):
            return cls(KnownCells.from_matrix(matrix, name))
        matrix = matrix.tocoo()
        values = numeric(matrix.data, f"the matrix of {name}")
        return cls(_cells(matrix.row, matrix.col, values, matrix.shape), sparse=True)


def _variables(path: Path) -> dict[str, Any]:
    """Return the variables of a file of version 5."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import matfile_version
    from scipy.sparse import coo_array, issparse

    with refused_if_damaged(f"{path} is not a whole .mat file of version 5"):
        version = matfile_version(str(path))[0]
        if version != 1:
            kind = {0: "4", 2: "7.3"}.get(version, str(version))
            raise InputError(f"{path} has MATLAB's version {kind}, expected version 5; save it with '-v7' or '-v6'")
        limit = UNPACKED * path.stat().st_size
        sizes = [
            8.0 * float(np.prod([float(d) for d in shape])) for _, shape, kind in whosmat(path) if kind != "sparse"
        ]
        if sum(sizes) > max(limit, 1e6):
            raise InputError(
                f"{path} has arrays of {sum(sizes) / 1e9:.3g} GB in {limit / UNPACKED / 1e9:.3g} GB of file"
            )
        require(3 * sum(sizes) + 3.0 * path.stat().st_size, f"reading {path.name}")
        found = loadmat(path, mat_dtype=True, chars_as_strings=False)
    return {
        key: coo_array(value) if issparse(value) else value for key, value in found.items() if not key.startswith("__")
    }


def _vector(found: dict[str, Any], key: str) -> Array:
    """Return a variable as a vector of finite numbers."""
    value = found[key]
    value = value.toarray() if hasattr(value, "toarray") and min(value.shape) == 1 else value
    return numeric(value, f"the variable {key!r}").ravel(order="F")


def _index(found: dict[str, Any], key: str, first: int = 1) -> Array:
    """Return whole numbers that start at ``first`` as indices that start at 0."""
    return integers(_vector(found, key), f"the variable {key!r}") - first


def _cells(rows: Array, cols: Array, values: Array, shape: tuple[int, int]) -> KnownCells:
    """Return known cells, after a check of lengths and ranges."""
    if not len(rows) == len(cols) == len(values) or not len(rows):
        lengths = f"{len(rows)}, {len(cols)} and {len(values)}"
        raise InputError(f"rows, columns and values have lengths {lengths}, expected equal ones of at least 1")
    for index, bound, what in ((rows, shape[0], "row"), (cols, shape[1], "column")):
        if index.min() < 0 or index.max() >= bound:
            worst = int(index[(index < 0) | (index >= bound)][0]) + 1
            raise InputError(f"a known cell is in {what} {worst}, expected 1 to {bound}")
    return KnownCells.from_entries(rows, cols, values, shape)


def _sedumi(found: dict[str, Any], name: str) -> CompletionProgramme:
    """Return the programme ``min ⟨c, vec Y⟩ with A vec Y = b``, with Y in one semidefinite block."""
    n, b = _order(found["K"], name), _vector(found, "b")
    is_transposed = "At" in found
    A, c = (_entries(found, key) for key in ("At" if is_transposed else "A", "c"))
    shape, (k, place) = A.shape, A.coords
    if is_transposed or (shape == (n * n, len(b)) and n * n != len(b)):
        shape, (k, place) = shape[::-1], (place, k)
    if shape != (len(b), n * n) or sorted(c.shape) != [1, n * n]:
        raise InputError(
            f"{name} has A of shape {shape} and c of shape {c.shape}, expected {(len(b), n * n)} and {n * n}"
        )
    on = c.coords[0] + c.coords[1]
    # ⟨A_k, Y⟩ adds the entries of both triangles of A_k
    rows, cols = np.minimum(place // n, place % n), np.maximum(place // n, place % n)
    order = np.lexsort((cols, rows, k))
    k, rows, cols, values = k[order], rows[order], cols[order], A.data[order]
    same = (k[1:] == k[:-1]) & (rows[1:] == rows[:-1]) & (cols[1:] == cols[:-1])
    first = np.flatnonzero(np.r_[np.ones(min(1, len(k)), bool), ~same])
    halves = np.add.reduceat(values, first) / 2 if len(values) else values
    return CompletionProgramme(n, (on // n, on % n, c.data), (k[first], rows[first], cols[first], halves), b)


def _order(K: Any, name: str) -> int:
    """Return ``K.s``, or raise `InputError` if K has other cones."""
    fields = getattr(K.dtype, "names", None) or ()
    sizes = {field: np.asarray(K[field].flat[0]).ravel() if K.size else np.zeros(0) for field in fields}
    others = [field for field, size in sizes.items() if field not in ("s", "xcomplex", "scomplex") and np.any(size)]
    block = sizes.get("s", np.zeros(0))
    if others or block.shape != (1,) or block.dtype.kind not in "iuf" or not 2 <= block[0] < 2**31 or block[0] % 1:
        raise InputError(f"{name} has other cones than one semidefinite block in K, expected K.s alone")
    return int(block[0])


def _entries(found: dict[str, Any], key: str) -> Any:
    """Return the entries of a matrix that are not zero, with indices of 64 bits."""
    from scipy.sparse import coo_array

    value = found[key]
    if value.dtype.kind not in "biuf" or value.ndim != 2:
        raise InputError(f"the variable {key!r} holds {value.dtype} values, expected a matrix of real numbers")
    value = coo_array(value)
    value.eliminate_zeros()
    coords = tuple(index.astype(np.int64) for index in value.coords)
    return coo_array((numeric(value.data, f"the variable {key!r}"), coords), shape=value.shape)


FORMAT = Matlab

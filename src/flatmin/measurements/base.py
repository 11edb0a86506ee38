"""Measurement: the base class of linear maps from matrices to vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.linalg.forward_error import UNIT, gamma, pieces, summed, summed_terms
from flatmin.linalg.metric import Metric
from flatmin.measurements._on_device import OnDevice

__all__ = ["BLOCK", "Measurement"]

#: Largest number of entries in a block of streamed sensing matrices, chosen to stay in the cache.
BLOCK = 250_000


class Measurement(ABC):
    """A linear map ``A : X ↦ (⟨A_1, X⟩, …, ⟨A_m, X⟩)`` with ``⟨A, X⟩ = Re tr(A* X)``.

    A new map is one file: subclass, set ``shape``, ``size`` and ``dtype``, define ``forward`` and ``adjoint``, and run
    `flatmin.testing.check_measurement` on an instance. Everything else has a default; override it with faster
    methods where they exist.

    Attributes
    ----------
    shape : tuple of int
        ``(d1, d2)``, the shape of the unknown matrix.
    size : int
        The number of measurements m.
    dtype : numpy.dtype
        float64, or complex128 for complex sensing matrices.
    is_rank_one : bool
        Whether every ``A_i = x_i x_i*``; such maps have `amplitudes` and `superposition`.

    Examples
    --------
    >>> import numpy as np
    >>> import flatmin as fm
    >>> A = fm.measurements.Dense(np.eye(2)[None])  # one measurement, the trace
    >>> A.size, A.forward(np.array([[1.0, 2.0], [3.0, 4.0]])), A.adjoint(np.array([2.0]))
    (1, array([5.]), array([[2., 0.],
           [0., 2.]]))
    """

    shape: tuple[int, int]
    size: int
    dtype: np.dtype[Any]
    is_rank_one: bool = False
    #: The products for arrays of other libraries (see `on`), of maps that have them.
    _on_device: type[OnDevice] | None = None

    @abstractmethod
    def forward(self, X: Array) -> Array:
        """Return ``A(X)``, real of shape (m,), for X of shape (d1, d2)."""

    @abstractmethod
    def adjoint(self, y: Array) -> Array:
        """Return ``A*(y) = Σ y_i A_i`` as an array (d1, d2), for real y of shape (m,)."""

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return ``A(L R*)`` for L (d1, k) and R (d2, k)."""
        return self.forward(L @ R.conj().T)

    def adjoint_operator(self, y: Array) -> Any:
        """Return ``A*(y)`` as an object with ``@`` and ``.T``: a sparse array if ``A*(y)`` is sparse."""
        return self.adjoint(y)

    def matrices(self, start: int = 0, stop: int | None = None) -> Array:
        """Return the sensing matrices ``A_start … A_(stop-1)``, shape (n, d1, d2)."""
        stop = self.size if stop is None else stop
        out = np.empty((stop - start, *self.shape), dtype=self.dtype)
        unit = np.zeros(self.size)
        for i in range(start, stop):
            unit[i] = 1.0
            out[i - start] = self.adjoint(unit)
            unit[i] = 0.0
        return out

    def norms(self) -> Array:
        """Return the Frobenius norm of every sensing matrix, shape (m,)."""
        return np.concatenate([np.linalg.norm(self.matrices(*block), axis=(1, 2)) for block in self._blocks()])

    def traces(self) -> Array:
        """Return ``Re tr A_i`` for every square sensing matrix, shape (m,)."""
        self._require_square("traces")
        blocks = [self.matrices(*block) for block in self._blocks()]
        return np.concatenate([np.einsum("mjj->m", A).real for A in blocks])

    def amplitudes(self, U: Array) -> Array:
        """Return ``x_i* U`` for U (d, k), shape (m, k), where ``A_i = x_i x_i*``: ``A(U U*)`` sums their squares."""
        raise InputError(f"{self!r} is not known to have sensing matrices x x*, expected RankOne or CodedDiffraction")

    def superposition(self, V: Array) -> Array:
        """Return ``Σ x_i V_i`` for V (m, k), shape (d, k): the adjoint of `amplitudes`."""
        raise InputError(f"{self!r} is not known to have sensing matrices x x*, expected RankOne or CodedDiffraction")

    def gram_diagonals(self) -> tuple[Array, Array]:
        """Return ``Σ A_i A_i*`` and ``Σ A_i* A_i``, each as a matrix or, if it is diagonal, as its diagonal."""
        d1, d2 = self.shape
        rows, cols = np.zeros((d1, d1), self.dtype), np.zeros((d2, d2), self.dtype)
        for blocks in self.stacked():
            for gram, block in zip((rows, cols), blocks, strict=True):
                gram += summed(block[piece].conj().T @ block[piece] for piece in pieces(len(block)))
        return rows, cols

    def stacked(self, weights: Array | None = None) -> Iterator[tuple[Array, Array]]:
        """Yield blocks of the stacked matrices ``[A_1*; …; A_m*]`` and ``[A_1; …; A_m]``, (n, d1) and (n', d2).

        Each A_i is multiplied by its weight if ``weights`` are given. The memory of a first block is used again for the
        next one.
        """
        shared = np.empty(0)
        for start, stop in self._blocks():
            A = self.matrices(start, stop)
            if weights is not None:
                A = weights[start:stop, None, None] * A
            if shared.size != A.size:
                shared = np.empty((self.shape[0], len(A), self.shape[1]), A.dtype)
            shared[:] = A.transpose(1, 0, 2)
            yield shared.reshape(self.shape[0], -1).conj().T, A.reshape(-1, self.shape[1])

    def metric(self) -> tuple[Metric, Metric]:
        """Return ``(D1, D2)`` with ``D1² = Σ A_i A_i* / (m d2)`` and ``D2² = Σ A_i* A_i / (m d1)``."""
        rows, cols = self.gram_diagonals()
        rounding = self.gram_rounding + 2 * UNIT
        return (
            Metric.root(rows / (self.size * self.shape[1]), rounding),
            Metric.root(cols / (self.size * self.shape[0]), rounding),
        )

    @property
    def is_complex(self) -> bool:
        """Whether the sensing matrices are complex."""
        return bool(np.issubdtype(self.dtype, np.complexfloating))

    @property
    def gram_rounding(self) -> float:
        """A number e that bounds the error of `gram_diagonals` G: at most ``e √(G_jj G_kk)`` in entry (j, k)."""
        step = min(self.size, max(1, BLOCK // max(1, self.shape[0] * self.shape[1])))
        return gamma(summed_terms(step * max(self.shape)) - (-self.size // step) + 2, self.is_complex)

    @property
    def adjoint_rounding(self) -> float:
        """A number e such that the error of `adjoint` is at most ``e Σ |y_i| |A_i|`` in every entry.

        The default holds if `adjoint` adds the terms in any order, as is assumed of maps known only by their products.
        """
        return gamma(self.size + 1, self.is_complex)

    def adjoint_error(self, y: Array, entry: float = 0.0) -> float:
        """Return a bound on the norm of the error of `adjoint` if the A_i have entries of relative error ``entry``."""
        size = float(np.linalg.norm(y)) * float(np.linalg.norm(self.norms()))
        return 1.01 * (self.adjoint_rounding + entry) * size

    def forward_error(self, L: Array, R: Array) -> Array:
        """Return bounds (m,) on the rounding errors of `forward_factors`; by default, for sums in any order."""
        reach = float(np.linalg.norm(L, axis=0) @ np.linalg.norm(R, axis=0))
        return np.asarray(self._forward_rounding(L.shape[1]) * 1.01 * reach * self.norms())

    def _forward_rounding(self, width: int) -> float:
        """Return e so that ``⟨A_i, L R*⟩`` has an error of at most ``e ‖A_i‖ Σ_c ‖L_c‖ ‖R_c‖``, c up to ``width``."""
        return gamma(width + self.shape[0] * self.shape[1] + 2, self.is_complex)

    def jacobian(self, L: Array, R: Array) -> Array | None:
        """Return the derivative of ``(L, R) ↦ A(L Rᵀ)`` as an array (m, k, d1 + d2), or None if products are faster.

        Entry ``[i, c]`` holds ``A_i R[:, c]`` followed by ``A_iᵀ L[:, c]``.
        """
        return None

    @property
    def has_normal_matrix(self) -> bool:
        """Whether `normal_matrix` exists and is small enough to be factorized."""
        return False

    def normal_matrix(self, G: Array, P: Array) -> Array:
        """Return ``tr(K_i P K_j G)`` for all pairs of measurements, shape (m, m), or only its lower triangle.

        Here ``K_i = [[0, A_i], [A_iᵀ, 0]]``, and P and G are symmetric, of order d1 + d2. For ``G = x xᵀ`` these are
        the products ``⟨J_i, P J_j⟩`` of the derivatives ``J_i = K_i x`` of ``(L, R) ↦ A(L Rᵀ)`` at ``x = [L; R]``.
        """
        raise NotImplementedError

    def products(self, R: Array) -> Array | None:
        """Return ``A_i R[:, c]`` at ``[i, c]``, shape (m, k, d1), or None if `adjoint_operator` is as fast."""
        return None

    def curvature_blocks(self, L: Array, R: Array) -> Array | None:
        """Return the diagonal blocks of ``JᵀJ`` for the derivative J of ``(L, R) ↦ A(L Rᵀ)``, shape (d1 + d2, k, k).

        There is one block for each row of L and R. Block p is ``Σ_i g gᵀ``, where g is row p of ``[A_i R; A_iᵀ L]``.
        The result is None for maps that cannot compute the blocks quickly, as by default.
        """
        return None

    def congruence(self, P1: Metric, P2: Metric) -> Measurement:
        """Return the map ``X ↦ A(P1 X P2)``."""
        return _Congruence(self, P1, P2)

    def weighted(self, weights: Array) -> Measurement:
        """Return the map with sensing matrices ``weights[i] · A_i``."""
        return _Selection(self, weights=weights)

    def merged(self) -> tuple[Measurement, Any] | None:
        """Return ``(A', Q)`` with ``A = Q A'`` and orthonormal columns Q (m, m'), or None if nothing can be merged.

        A' has no redundant measurements, and its measurements are in the order in which products are fastest. Data
        outside the range of Q contradict each other.
        """
        return None

    def take(self, index: Array) -> Measurement:
        """Return the map that keeps the measurements ``index`` (an index or boolean array), in that order."""
        return _Selection(self, self._positions(index))

    def as_linear_operator(self) -> Any:
        """Return a `scipy.sparse.linalg.LinearOperator` (m, d1·d2) on row-major ``vec(X)``; real maps only."""
        from scipy.sparse.linalg import LinearOperator

        if np.issubdtype(self.dtype, np.complexfloating):
            raise InputError("a complex measurement map is linear over the reals only; use forward and adjoint instead")
        return LinearOperator(
            (self.size, self.shape[0] * self.shape[1]),
            matvec=lambda x: self.forward(np.asarray(x).reshape(self.shape)),
            rmatvec=lambda y: self.adjoint(np.asarray(y).ravel()).ravel(),
            dtype=self.dtype,
        )

    def on(self, like: Any) -> Any:
        """Return the products of this map for arrays of the library, device and precision of ``like``.

        The result has `forward`, `adjoint` and `forward_factors`, and for `CodedDiffraction` also `amplitudes` and
        `superposition`. With PyTorch, gradients pass through them. The map must be `Dense`, `RankOne`,
        `CodedDiffraction`, `Identity`, `Mask`, or `Entries` that see no cell twice, otherwise `InputError` is raised.
        It needs the extra ``array-api``. Certificates are always computed by NumPy in double precision: pass the
        tensors to `flatmin.certify`.
        """
        if self._on_device is None:
            raise InputError(
                f"{self!r} has products for NumPy only, expected one of Dense, RankOne, CodedDiffraction, Entries"
            )
        return self._on_device(self, like)

    @property
    def nbytes(self) -> int:
        """The number of bytes that the map holds."""
        return sum(v.nbytes for v in vars(self).values() if isinstance(v, np.ndarray))

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, size={self.size})"

    def _blocks(self) -> Iterator[tuple[int, int]]:
        step = max(1, BLOCK // max(1, self.shape[0] * self.shape[1]))
        return ((start, min(start + step, self.size)) for start in range(0, self.size, step))

    def _require_square(self, name: str) -> None:
        if self.shape[0] != self.shape[1]:
            raise InputError(f"{name} of sensing matrices of shape {self.shape} was asked for, expected square ones")

    def _positions(self, index: Array) -> Array:
        try:
            return np.atleast_1d(np.arange(self.size)[index])
        except (IndexError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"the index of measurements is unsuitable for {self.size} of them: {error}") from error


class _Congruence(Measurement):
    """The map ``X ↦ A(P1 X P2)`` for symmetric P1 and P2, applied without copying the sensing matrices."""

    def __init__(self, inner: Measurement, P1: Metric, P2: Metric) -> None:
        self.inner, self.P1, self.P2 = inner, P1, P2
        self.shape, self.size, self.dtype = inner.shape, inner.size, inner.dtype
        self.is_rank_one = inner.is_rank_one and P1 is P2

    def amplitudes(self, U: Array) -> Array:
        return self.inner.amplitudes(self.P1 @ U)

    def superposition(self, V: Array) -> Array:
        return np.asarray(self.P1 @ self.inner.superposition(V))

    def matrices(self, start: int = 0, stop: int | None = None) -> Array:
        A = self.inner.matrices(start, stop)
        return np.asarray(self.P1.dense @ A @ self.P2.dense)

    def forward(self, X: Array) -> Array:
        return self.inner.forward((self.P1 @ X) @ self.P2)

    def adjoint(self, y: Array) -> Array:
        return np.asarray((self.P1 @ self.inner.adjoint(y)) @ self.P2)

    def forward_factors(self, L: Array, R: Array) -> Array:
        return self.inner.forward_factors(self.P1 @ L, self.P2 @ R)

    def jacobian(self, L: Array, R: Array) -> Array | None:
        left = self.P1.T
        J = self.inner.jacobian(left @ L, self.P2 @ R)
        if J is None:
            return None
        d1 = self.shape[0]
        J[..., :d1] = J[..., :d1] @ left
        J[..., d1:] = J[..., d1:] @ self.P2
        return J

    def products(self, R: Array) -> Array | None:
        inner = self.inner.products(self.P2 @ R)
        return None if inner is None else np.asarray(inner @ self.P1.T.dense)


class _Selection(Measurement):
    """Measurements ``weights[i] · A_index[i]`` of another map; by default, of all indices and with weights 1."""

    def __init__(self, inner: Measurement, index: Array | None = None, weights: Array | None = None) -> None:
        self.inner, self.index = inner, slice(None) if index is None else index
        self.weights = np.ones(1) if weights is None else weights
        self.shape, self.dtype = inner.shape, inner.dtype
        self.size = inner.size if index is None else len(index)
        self.is_rank_one = inner.is_rank_one and bool(np.all(self.weights >= 0))

    def congruence(self, P1: Metric, P2: Metric) -> Measurement:
        index = None if isinstance(self.index, slice) else self.index
        return _Selection(self.inner.congruence(P1, P2), index, self.weights)

    def amplitudes(self, U: Array) -> Array:
        return np.asarray(np.sqrt(self.weights)[:, None] * self.inner.amplitudes(U)[self.index])

    def superposition(self, V: Array) -> Array:
        return self.inner.superposition(self._spread(np.sqrt(self.weights)[:, None] * V))

    def forward(self, X: Array) -> Array:
        return self.weights * self.inner.forward(X)[self.index]

    def forward_factors(self, L: Array, R: Array) -> Array:
        return self.weights * self.inner.forward_factors(L, R)[self.index]

    def adjoint(self, y: Array) -> Array:
        return self.inner.adjoint(self._spread(self.weights * y))

    def adjoint_operator(self, y: Array) -> Any:
        return self.inner.adjoint_operator(self._spread(self.weights * y))

    def traces(self) -> Array:
        return self.weights * self.inner.traces()[self.index]

    @property
    def adjoint_rounding(self) -> float:
        return self.inner.adjoint_rounding + gamma(self.size + 2)

    @property
    def gram_rounding(self) -> float:
        return super().gram_rounding + 4 * UNIT

    def forward_error(self, L: Array, R: Array) -> Array:
        size = float(np.linalg.norm(L, axis=0) @ np.linalg.norm(R, axis=0)) * self.norms()
        return np.asarray(np.abs(self.weights) * self.inner.forward_error(L, R)[self.index] + 2 * UNIT * size)

    def jacobian(self, L: Array, R: Array) -> Array | None:
        J = self.inner.jacobian(L, R) if isinstance(self.index, slice) else None
        return None if J is None else self.weights[:, None, None] * J

    def products(self, R: Array) -> Array | None:
        inner = self.inner.products(R) if isinstance(self.index, slice) else None
        return None if inner is None else np.asarray(self.weights[:, None, None] * inner)

    def _spread(self, values: Array) -> Array:
        """Return, for each measurement j of ``inner``, the sum of the ``values[i]`` with ``index[i] == j``."""
        if isinstance(self.index, slice):
            return values
        spread = np.zeros((self.inner.size, *values.shape[1:]), values.dtype)
        np.add.at(spread, self.index, values)
        return spread

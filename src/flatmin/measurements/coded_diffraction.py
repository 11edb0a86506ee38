"""CodedDiffraction: intensities of masked Fourier transforms, for phase retrieval of signals and images."""

from __future__ import annotations

from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.linalg.forward_error import UNIT, gamma
from flatmin.linalg.metric import Metric
from flatmin.measurements._on_device import PatternsOnDevice
from flatmin.measurements.base import Measurement

__all__ = ["CodedDiffraction"]

#: Number of rows of the adjoint that are formed at a time.
ROWS_AT_ONCE = 64
#: Number of pixels, in all masks together, that are transformed at a time: 1 MiB in double precision.
PIXELS_AT_ONCE = 1 << 16
#: Numbers between two rows of an image that is transformed. Without them the numbers of a column would often be a power
#: of two apart, so that few lines of the cache hold all of them and a transform takes up to twice as long.
GAP = 4
#: Assumed rounding error of a fast transform of n numbers, relative to its norm, in units of ``UNIT (3 + log2 n)``. The
#: number is about four times the bound of Higham's theorem 24.2, which is for radix two, because pocketfft has other
#: radices too.
TRANSFORM_ROUNDING = 32.0
#: Two masks count as multiples of each other if one minus the cosine of their angle is at most this number.
SAME_MASK = 1e-12


class CodedDiffraction(Measurement):
    """``A(s s*) = |F(conj(mask_j) ∘ s)|²`` for every mask and frequency, F the unnormalized discrete Fourier transform.

    Measurement ``i = (j, k)`` is ``A_i = a_i a_i*`` with ``a_i = mask_j ∘ exp(2π√-1 k·l/n)`` over the pixels l; masks
    vary slowest, frequencies follow in row-major order. The unknown is the n×n matrix ``X = s s*`` for a signal or an
    image of n pixels. Fast transforms replace n×n matrices; pixels that vanish in every mask have a zero in the metric.

    Parameters
    ----------
    masks : array_like, shape (q, n) or (q, h, w)
        Real or complex modulations of a signal or of an image.

    Raises
    ------
    InputError
        If ``masks`` has another number of axes, is empty, or is not finite.

    Examples
    --------
    >>> A = CodedDiffraction([[1, 1, 1], [1, 1j, -1]])
    >>> s = np.array([[1.0], [2.0], [3.0]])
    >>> bool(np.allclose(A.forward_factors(s, s)[:3], abs(np.fft.fft(s[:, 0])) ** 2))
    True
    """

    is_rank_one = True
    _on_device = PatternsOnDevice

    def __init__(self, masks: Any) -> None:
        masks = numeric(masks, "masks", allow_complex=True)
        if masks.ndim not in (2, 3) or 0 in masks.shape:
            raise InputError(f"masks has shape {masks.shape}, expected (q, n) or (q, h, w) without an empty axis")
        self.masks = masks
        n = int(np.prod(masks.shape[1:]))
        self.size, self.shape, self.dtype = len(masks) * n, (n, n), np.dtype(complex)

    @property
    def _rows(self) -> Array:
        """The masks as the rows of a matrix, (q, n)."""
        return np.asarray(self.masks.reshape(len(self.masks), -1))

    @property
    def is_single_pattern(self) -> bool:
        """Whether all masks are multiples of one mask, so that all patterns are multiples of one pattern.

        One pattern does not determine a signal of two pixels or more in general: the reflected complex conjugate of the
        signal has the same pattern without a mask, and there are fewer intensities than real unknowns.
        """
        masks = self._rows
        sizes = np.linalg.norm(masks, axis=1)
        largest = masks[np.argmax(sizes)]
        aligned = np.abs(masks @ largest.conj()) >= (1 - SAME_MASK) * sizes * np.max(sizes)
        return bool(np.count_nonzero(largest) > 1 and np.all(aligned))

    def single(self) -> CodedDiffraction:
        """Return the same map with masks in single precision, whose transforms take a third of the time."""
        rough = copy(self)
        rough.masks, rough.dtype = self.masks.astype(np.complex64), np.dtype(np.complex64)
        rough.__dict__.pop("_conjugate", None)
        return rough

    @cached_property
    def n_parts(self) -> int:
        """The number of groups of pixels that no mask lets interfere; their relative phases are in no pattern."""
        from scipy.sparse import block_array, csr_array
        from scipy.sparse.csgraph import connected_components

        seen = csr_array(self._rows != 0)
        used = seen[:, np.flatnonzero(seen.sum(axis=0))][np.flatnonzero(seen.sum(axis=1))]
        return int(connected_components(block_array([[None, used], [used.T, None]]), directed=False)[0])

    @property
    def max_independent(self) -> int:
        """An upper bound on the number of independent intensities.

        The pattern of a mask with k pixels depends on ``k (k − 1) + 1`` real numbers, the autocorrelation, and has n
        intensities. Patterns of masks that are multiples of each other are multiples.
        """
        masks = self._rows
        sizes = np.linalg.norm(masks, axis=1)
        cosines = np.abs(masks @ masks.conj().T) / np.maximum(np.outer(sizes, sizes), np.finfo(float).tiny)
        repeated = np.any(np.tril(cosines >= 1 - SAME_MASK, -1), axis=1) | (sizes == 0)
        pixels = np.count_nonzero(masks, axis=1)[~repeated]
        return int(np.sum(np.minimum(self.shape[0], pixels * (pixels - 1) + 1)))

    def amplitudes(self, U: Array) -> Array:
        """Return ``a_i* U``, the masked Fourier transforms of the columns of U (n, k), shape (m, k)."""
        signals = np.asarray(U).T.reshape(-1, *self.masks.shape[1:])
        waves, spaced = np.empty((len(signals), *self.masks.shape), self.dtype), self._spaced()
        for signal, own in zip(signals, waves, strict=True):
            for part in self._parts:
                own[part] = self._seen(part, signal, spaced)
        return waves.reshape(len(signals), self.size).T

    @property
    def _parts(self) -> list[slice]:
        """Slices of the masks, so small that their patterns stay in the cache of a processor."""
        step = max(1, PIXELS_AT_ONCE // self.shape[0])
        return [slice(start, start + step) for start in range(0, len(self.masks), step)]

    def _spaced(self) -> Array:
        """Return an array for the waves of as many masks as a part has, whose rows are `GAP` numbers apart."""
        count, *sides = self.masks[self._parts[0]].shape
        return np.empty((count, *sides[:-1], sides[-1] + GAP), self.dtype)[..., :-GAP]

    def _seen(self, part: slice, signal: Array, spaced: Array) -> Array:
        """Return the amplitudes of one signal behind some of the masks, in their shape, kept in ``spaced``."""
        masks = self._conjugate[part]
        return self._transform(np.multiply(masks, signal, out=spaced[: len(masks)], dtype=self.dtype))

    def superposition(self, V: Array) -> Array:
        """Return ``Σ a_i V_i``, the adjoint of `amplitudes`, shape (n, k) for V of shape (m, k)."""
        waves = np.asarray(V).T.reshape(-1, *self.masks.shape)
        total, spaced = np.zeros((len(waves), *self.masks.shape[1:]), self.dtype), self._spaced()
        for own, image in zip(waves, total, strict=True):
            for part in self._parts:
                some = own[part]
                spaced[: len(some)] = some
                self._add(part, spaced[: len(some)], image)
        return total.reshape(len(waves), self.shape[0]).T

    def _add(self, part: slice, waves: Array, image: Array) -> None:
        """Add the superposition of the waves of some of the masks, which are overwritten, to an image."""
        images = self._transform(waves, inverse=True)
        images *= self.masks[part]
        image += images[0] if len(images) == 1 else images.sum(axis=0)

    def forward(self, X: Array) -> Array:
        """Return ``Re(a_i* X a_i)`` for every i; only for small n."""
        require(32.0 * self.size * self.shape[0], f"forward of {self!r} with a whole matrix")
        return np.asarray(np.einsum("mj,mj->m", self.amplitudes(X), self.vectors()).real)

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return ``Re Σ_k (a_i* L_k) conj(a_i* R_k)`` for every i."""
        left = self.amplitudes(L)
        right = left if L is R else self.amplitudes(R)
        both = np.einsum("mk,mk->m", left.real, right.real) + np.einsum("mk,mk->m", left.imag, right.imag)
        return np.asarray(both)

    def adjoint(self, y: Array) -> Array:
        """Return ``Σ y_i a_i a_i*``: for every mask, a circulant matrix multiplied by the mask and its conjugate."""
        require(48.0 * self.shape[0] ** 2, f"the whole matrix A*(y) of {self!r}")
        n, axes = self.shape[0], self.masks.shape[1:]
        kernels = self._transform(np.asarray(y, dtype=float).reshape(self.masks.shape) + 0j, inverse=True)
        total, width = np.zeros((n, n), dtype=complex), n // axes[0]
        step = max(1, ROWS_AT_ONCE // width)
        for mask, kernel in zip(self.masks, kernels, strict=True):
            twice = np.tile(kernel, [2] * len(axes))  # entry (l, l') is the kernel at l - l', periodically
            corner = twice[tuple(slice(size, None) for size in axes)]
            shifts = (*corner.strides, *(-step for step in corner.strides))
            circulant = np.lib.stride_tricks.as_strided(corner, (*axes, *axes), shifts, writeable=False)
            left, right = mask.reshape(axes[0], -1, 1), mask.conj().reshape(1, n)
            for start in range(0, axes[0], step):
                rows = slice(start, start + step)
                block = circulant[rows].reshape(-1, n) * right
                block *= left[rows].reshape(-1, 1)
                total[start * width : (start + step) * width] += block
        return total

    def adjoint_operator(self, y: Array) -> _LiftedAdjoint:
        """Return ``Σ y_i a_i a_i*`` as an operator with ``@`` and ``.T``, by fast transforms."""
        return _LiftedAdjoint(self, np.asarray(y, dtype=float))

    def vectors(self, start: int = 0, stop: int | None = None) -> Array:
        """Return the vectors ``a_start … a_(stop-1)`` as rows."""
        stop = self.size if stop is None else stop
        n = self.shape[0]
        units = np.zeros((stop - start, n), dtype=complex)
        units[np.arange(stop - start), np.arange(start, stop) % n] = 1.0
        waves = self._transform(units.reshape(-1, *self.masks.shape[1:]), inverse=True).reshape(-1, n)
        return np.asarray(self._rows[np.arange(start, stop) // n] * waves)

    def products(self, R: Array) -> Array:
        """Return ``a_i (a_i* R)`` for every i; only for small n."""
        require(48.0 * self.size * self.shape[0] * R.shape[1], f"the products A_i R of {self!r}")
        return np.asarray(self.amplitudes(R)[:, :, None] * self.vectors()[:, None, :])

    def matrices(self, start: int = 0, stop: int | None = None) -> Array:
        """Return the sensing matrices as outer products."""
        vectors = self.vectors(start, stop)
        return np.asarray(vectors[:, :, None] * vectors[:, None, :].conj())

    def norms(self) -> Array:
        """Return ``|a_i|²``, the energy of the mask, for every i."""
        return self.traces()

    def traces(self) -> Array:
        """Return ``tr A_i = |a_i|²`` for every i."""
        energy = np.sum(np.abs(self._rows) ** 2, axis=1)
        return np.repeat(energy, self.shape[0])

    def gram_diagonals(self) -> tuple[Array, Array]:
        """Return the diagonal of ``Σ A_i A_i* = n Σ_j |mask_j|² diag(|mask_j|²)``, twice."""
        squares = np.abs(self._rows) ** 2
        diagonal = self.shape[0] * (squares.sum(axis=1) @ squares)
        return diagonal, diagonal

    @property
    def gram_rounding(self) -> float:
        """The number of `Measurement.gram_rounding`, for sums of positive numbers."""
        return gamma(self.shape[0] + len(self.masks) + 8)

    @property
    def adjoint_rounding(self) -> float:
        """The number of `Measurement.adjoint_rounding`, for fast transforms, whose errors are relative to a norm."""
        return self._transform_rounding + gamma(len(self.masks) + 8)

    def adjoint_error(self, y: Array, entry: float = 0.0) -> float:
        """Return a bound on the error of `adjoint`: a circulant matrix is at most √n times as large as its kernel."""
        kernels = np.linalg.norm(np.reshape(y, (len(self.masks), -1)), axis=1)
        tops = np.max(np.abs(self._rows), axis=1) ** 2
        rounding = self._transform_rounding / float(np.sqrt(self.shape[0])) + gamma(len(self.masks) + 8) + 2 * entry
        return 1.01 * rounding * self.shape[0] * float(kernels @ tops)

    def forward_error(self, L: Array, R: Array) -> Array:
        """Return bounds (m,) on the errors of `forward_factors`: amplitudes of a factor times errors of the other."""
        left = np.abs(self.amplitudes(L))
        right = left if L is R else np.abs(self.amplitudes(R))
        offs = [self._wave_error(F) for F in (L, R)]
        error = 1.01 * (left @ offs[1] + right @ offs[0]) + float(offs[0] @ offs[1])
        return np.asarray(error + gamma(2 * L.shape[1] + 4) * np.einsum("mk,mk->m", left, right))

    def _wave_error(self, F: Array) -> Array:
        """Return bounds (k,) on the rounding errors of the amplitudes of every column."""
        pixels = np.abs(self._rows)
        return np.asarray(self._transform_rounding * np.sqrt((pixels.max(axis=0) ** 2) @ np.abs(F) ** 2) * 1.01)

    @property
    def _transform_rounding(self) -> float:
        """A number e such that a transform of a masked signal has an error of at most e times the signal's norm."""
        n = self.shape[0]
        return float(np.sqrt(n)) * (TRANSFORM_ROUNDING * UNIT * (3 + float(np.log2(n))) + gamma(4))

    def congruence(self, P1: Metric, P2: Metric) -> Measurement:
        """Return the map with masks ``P ∘ mask_j`` where ``P1 = P2 = diag(P)``, else a general congruence."""
        if not (P1.is_diagonal and P2.is_diagonal and np.array_equal(P1.values, P2.values)):
            return super().congruence(P1, P2)
        return CodedDiffraction(self.masks * P1.values.reshape(self.masks.shape[1:]))

    @cached_property
    def _conjugate(self) -> Array:
        return np.asarray(self.masks.conj())

    def _transform(self, waves: Array, inverse: bool = False) -> Array:
        """Transform over the pixels, in place. The ``inverse`` is the adjoint, which has no factor 1/n."""
        from scipy import fft

        axes = tuple(range(1 - self.masks.ndim, 0))
        transform, norm = (fft.ifftn, "forward") if inverse else (fft.fftn, "backward")
        return np.asarray(transform(waves, axes=axes, norm=norm, overwrite_x=True))


class _LiftedAdjoint:
    """The Hermitian matrix ``Σ y_i a_i a_i*`` of a `CodedDiffraction`, or its conjugate, applied by fast transforms."""

    def __init__(self, measurement: CodedDiffraction, weights: Array, conjugate: bool = False) -> None:
        self.measurement, self.weights, self.conjugate = measurement, weights, conjugate
        self.shape, self.dtype = measurement.shape, measurement.dtype

    @cached_property
    def norm_bound(self) -> float:
        """An upper bound on the operator norm, ``n max|weights|`` times the largest ``Σ_j |mask_j|²`` of a pixel."""
        return 1.01 * self.shape[0] * self._reach

    @cached_property
    def rounding(self) -> float:
        """A bound on the rounding error of a product with a unit vector: of two transforms and of a sum over masks."""
        A, n = self.measurement, self.shape[0]
        return 1.01 * self._reach * (2 * float(np.sqrt(n)) * A._transform_rounding + n * gamma(len(A.masks) + 8, True))

    @property
    def _reach(self) -> float:
        energy = np.sum(np.abs(self.measurement.masks) ** 2, axis=0)
        return float(np.max(energy) * np.max(np.abs(self.weights), initial=0.0))

    def toarray(self) -> Array:
        """Return the matrix as an array."""
        matrix = self.measurement.adjoint(self.weights)
        return matrix.conj() if self.conjugate else matrix

    def __matmul__(self, other: Array) -> Array:
        other = np.asarray(other)
        if self.conjugate:
            return np.asarray(_LiftedAdjoint(self.measurement, self.weights) @ other.conj()).conj()
        A = self.measurement
        weights, signals = self.weights.reshape(A.masks.shape), other.T.reshape(-1, *A.masks.shape[1:])
        total, spaced = np.zeros(signals.shape, self.dtype), A._spaced()
        for signal, image in zip(signals, total, strict=True):
            for part in A._parts:
                waves = A._seen(part, signal, spaced)
                waves *= weights[part]
                A._add(part, waves, image)
        return total.reshape(-1, len(other)).T.reshape(other.shape)

    @property
    def T(self) -> _LiftedAdjoint:
        """The transpose, which is the complex conjugate."""
        return self.conj()

    def conj(self) -> _LiftedAdjoint:
        """Return the complex conjugate."""
        return _LiftedAdjoint(self.measurement, self.weights, not self.conjugate)

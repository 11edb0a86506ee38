"""The base class of the cones of Hermitian matrices."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cones.base import Cone
from flatmin.linalg.operator_norm import TopSpectrum, hermitian_spectrum
from flatmin.linalg.subspaces import DENSE, as_array, complement, extreme_eigenvalue

__all__ = ["HermitianCone"]


@dataclass(frozen=True)
class HermitianCone(Cone):
    """A cone of Hermitian matrices; its dual norm is the largest eigenvalue, or absolute eigenvalue if `by_size`."""

    is_hermitian: ClassVar[bool] = True
    by_size: ClassVar[bool]

    def degrees_of_freedom(self, shape: tuple[int, int], rank: int, is_complex: bool = False) -> int:
        """Return ``rank (2d − rank + 1) / 2`` or, for complex matrices, ``rank (2d − rank)``."""
        return rank * (2 * shape[0] - rank) if is_complex else rank * (2 * shape[0] - rank + 1) // 2

    def spectrum(
        self, S: Any, U: Array, V: Array, *, unit: float, seed: int = 0, randomized: bool = True
    ) -> TopSpectrum:
        """Return bounds on the largest eigenvalue, or on the largest absolute one."""
        return hermitian_spectrum(S, U, unit=unit, seed=seed, by_size=self.by_size, randomized=randomized)

    def largest_value(self, S: Any, seed: int = 0) -> float:
        """Return the largest eigenvalue, or the largest absolute one."""
        d = S.shape[0]
        if isinstance(S, np.ndarray) or d <= DENSE:
            dense = as_array(S)
            values = np.linalg.eigvalsh((dense + dense.conj().T) / 2)
        else:
            from scipy.sparse.linalg import LinearOperator, eigsh

            operator = LinearOperator(S.shape, matvec=lambda x: S @ x, dtype=S.dtype)
            start = np.random.default_rng(seed).standard_normal(d).astype(S.dtype)
            ends = "BE" if not np.issubdtype(S.dtype, np.complexfloating) else "LA"
            values = eigsh(operator, k=2 if ends == "BE" else 1, which=ends, v0=start, return_eigenvectors=False)
        return float(np.max(np.abs(values)) if self.by_size else np.max(values))

    def rough_largest_value(self, S: Array) -> float:
        """Return the largest eigenvalue, or the largest absolute one, at least 0."""
        return max(extreme_eigenvalue(S), -extreme_eigenvalue(S, lowest=True) if self.by_size else 0.0, 0.0)

    def tangent_columns(self, sides: Array, U: Array, V: Array, blind: tuple[Array, Array] | None = None) -> Array:
        """Return B on the Hermitian elements of ``{U E* + F V*}``, including those that mix signs."""
        (m, q), outer = sides.shape[:2], complement(U, None if blind is None else blind[0])
        inner, rows, cols = sides @ U.conj(), *np.triu_indices(q, 1)
        diagonal = np.einsum("mcc->mc", inner).real
        rest = np.sqrt(2) * np.concatenate([inner[:, rows, cols], (sides @ outer.conj()).reshape(m, -1)], axis=1)
        return np.concatenate([diagonal, rest.real, rest.imag] if np.iscomplexobj(rest) else [diagonal, rest], axis=1)

"""Complement: the subspace on which a uniqueness dual has to be positive definite, and its linear algebra."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.linalg.metric import Metric
from flatmin.linalg.subspaces import EPS, lowest_on_complement
from flatmin.measurements import CodedDiffraction, Measurement
from flatmin.solvers.factored.tangent import solve_definite
from flatmin.solvers.vectors.amplitudes import row_inner

__all__ = ["Complement"]


#: Largest number of conjugate gradient steps of `Complement.solve`.
MOST_STEPS = 200
#: Share of the mean intensity that is added to intensities, by which the changes of `Complement.polished` are divided.
EVEN = 0.3


@dataclass(frozen=True, eq=False)
class Complement:
    """The part of the range of all A_i that is orthogonal to given columns Q.

    A uniqueness dual λ has ``W = A*(λ)`` with ``W Q = 0`` and W positive definite on this subspace. The measurement
    has ``is_rank_one``, and Q (d, r) has orthonormal columns. Iterations end at the clock's time limit.
    """

    measurement: Measurement
    Q: Array
    clock: Clock = field(default_factory=Clock)
    #: Factor of the A_i over those of ``measurement``, which may be scaled so that single precision holds all products.
    unit: float = 1.0

    @cached_property
    def V(self) -> Array:
        """The amplitudes ``x_i* Q``."""
        return np.asarray(self.measurement.amplitudes(self.Q))

    @cached_property
    def seen(self) -> Metric:
        """The projector on the range of all A_i."""
        return Metric.root(self.measurement.gram_diagonals()[0]).power(0)

    @cached_property
    def dimension(self) -> int:
        """The dimension of the complement."""
        return self.seen.rank - int(self.Q.shape[1])

    @cached_property
    def basis(self) -> Array:
        """An orthonormal basis of the complement, shape (d, dimension)."""
        known = np.hstack([self.Q, self.seen.blind])
        return np.asarray(np.linalg.qr(known, mode="complete")[0][:, known.shape[1] :])

    @cached_property
    def energy(self) -> Array:
        """The squared norms of the parts of the x_i that are orthogonal to Q, but at least 5 % of ``|x_i|²``."""
        whole = self.measurement.traces()
        return np.asarray(np.maximum(whole - row_inner(self.V, self.V), 0.05 * np.where(whole > 0, whole, 1)))

    def apply(self, dual: Array) -> Array:
        """Return ``A*(λ) Q`` so that ``Q* A*(λ) Q`` is Hermitian to the last digit, which conjugate gradients need."""
        return self.unit * self._apply(dual)

    def correlate(self, G: Array) -> Array:
        """Return ``Re⟨x_i* Q, x_i* G⟩``, the adjoint of `apply`."""
        return self.unit * self._correlate(G)

    def _apply(self, dual: Array) -> Array:
        image = self.measurement.superposition(dual[:, None] * self.V)
        core = self.Q.conj().T @ image
        return np.asarray(image - self.Q @ ((core - core.conj().T) / 2))

    def _correlate(self, G: Array) -> Array:
        return row_inner(self.V, self.measurement.amplitudes(G))

    @cached_property
    def rough(self) -> Complement:
        """The same in single precision, if the measurement has one: its transforms take a third of the time."""
        if not isinstance(self.measurement, CodedDiffraction):
            return self
        size = 2.0 ** np.round(np.log2(float(np.max(np.abs(self.measurement.masks))) or 1.0))
        measurement = CodedDiffraction(self.measurement.masks / size).single()
        return Complement(measurement, self.Q.astype(np.complex64), self.clock, float(size**2))

    @cached_property
    def resolution(self) -> float:
        """The relative accuracy that conjugate gradients reach: that of the precision, with room for its sums."""
        return 3e-4 if self.Q.dtype == np.complex64 else 1e-10

    def solve(self, weights: Array, right: Array, tol: float, finish: bool = False) -> Array:
        """Return G with ``A*(weights ∘ correlate(G)) Q = right``, by conjugate gradients in the precision of Q.

        With ``finish`` the clock does not end them.
        """
        top, size, share = 1.0, 1.0, weights
        if self.Q.dtype == np.complex64:
            top, size = float(np.max(weights)), float(np.linalg.norm(right)) or 1.0
            share, top = (weights / top).astype(np.float32), top * self.unit**2
        found = solve_definite(
            lambda G: self._apply(share * self._correlate(G)),
            (right / size).astype(self.Q.dtype),
            max(tol, self.resolution),
            MOST_STEPS,
            None if finish else self.clock,
            floor=0.0,
        )
        return np.asarray(found.astype(np.result_type(found, float), copy=False) * (size / top))

    def polished(self, dual: Array) -> Array:
        """Return λ changed so that ``A*(λ) Q = 0`` holds up to rounding, and normalized."""
        intensity = row_inner(self.V, self.V) / self.energy
        weights = 1 / (self.energy**2 * (intensity / max(float(np.mean(intensity)), 1e-300) + EVEN))
        scale = float(np.linalg.norm(self.apply(np.abs(dual))))
        for _ in range(8 if scale > 0 else 0):
            excess = self.apply(dual)
            relative = float(np.linalg.norm(excess)) / scale
            if relative <= 4 * EPS:
                break
            G = self.rough.solve(weights, excess, max(1e-10, 0.3 * EPS / relative), finish=True)
            dual = dual - weights * self.correlate(G)
        return self.normalized(dual)

    def normalized(self, dual: Array) -> Array:
        """Return the multiple of λ for which ``A*(λ)`` has a mean eigenvalue of one on the complement.

        If the trace of ``A*(λ)`` is not positive, there is no such multiple, and λ is returned unchanged.
        """
        total = float(dual @ self.measurement.traces())
        return np.asarray(dual * (self.dimension / total)) if total > 0 else dual

    def lowest(self, dual: Array, count: int, seed: int) -> tuple[Array, Array]:
        """Return Lanczos estimates of the lowest eigenvalues of ``A*(λ)`` on the complement, with eigenvectors."""
        return lowest_on_complement(self.measurement.adjoint_operator(dual), self.Q, self.seen, count, 1e-3, seed)

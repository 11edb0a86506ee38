"""Starting signal for phase retrieval from coded diffraction patterns: few Fourier transforms in single precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.measurements import CodedDiffraction

__all__ = ["amplitude_start"]

#: Number of Lanczos steps for the leading eigenvector, at which the descent starts.
LANCZOS_STEPS = 14
#: Number of pairs (a step and its change of the gradient) that limited-memory BFGS keeps.
BFGS_MEMORY = 10
#: Largest number of BFGS steps.
BFGS_STEPS = 150
#: Relative residual of the amplitudes at which the descent ends. Single precision allows no smaller residual.
SINGLE_RESIDUAL = 2e-5


def amplitude_start(measurement: CodedDiffraction, b: Array, clock: Clock, seed: int) -> Array:
    """Return a signal (n, 1) whose intensities are close to ``b``, by descent on ``½ Σ (|a_i* s| − √b_i)²``.

    The descent starts at the leading eigenvector of ``A*(T(b))``; see docs/theory/algorithms.md ("Start"). Negative
    intensities count as zero.
    """
    intensity = np.maximum(b, 0).reshape(measurement.masks.shape)
    if not intensity.any():
        return np.zeros((measurement.shape[0], 0), complex)
    target = np.sqrt(intensity / intensity.mean()).astype(np.float32)
    masks = _Masks.from_array(measurement.masks)
    s = _downhill(masks, target, masks.leading_signal(target, seed), clock)
    return np.asarray(s.astype(complex).reshape(-1, 1))


@dataclass(frozen=True, eq=False)
class _Masks:
    """The masks in single precision, scaled so that the mean of ``seen``, which is ``Σ_j |mask_j|²``, is about one."""

    masks: Array
    conjugate: Array
    seen: Array

    @classmethod
    def from_array(cls, masks: Array) -> _Masks:
        scaled = masks / np.linalg.norm(masks)
        seen = np.sum(np.abs(scaled) ** 2, axis=0) * scaled[0].size
        small = scaled.astype(np.complex64)
        return cls(small, small.conj(), np.where(seen > 0, seen, 1).astype(np.float32))

    def waves(self, s: Array) -> Array:
        from scipy import fft

        found = np.empty_like(self.masks)
        for mask, wave in zip(self.conjugate, found, strict=True):  # one by one they stay in the cache of a processor
            wave[...] = fft.fftn(mask * s, overwrite_x=True)
        return np.asarray(found)

    def adjoint(self, waves: Array) -> Array:
        from scipy import fft

        total = np.zeros_like(self.masks[0])
        for mask, wave in zip(self.masks, waves, strict=True):
            total += mask * fft.ifftn(wave, norm="forward", overwrite_x=True)
        return np.asarray(total)

    def leading_signal(self, target: Array, seed: int) -> Array:
        """Return the leading eigenvector of ``A*(T(target²))``, scaled so that its amplitudes fit the target best.

        T limits large intensities. The eigenvector is computed in whitened coordinates by Lanczos steps.
        """
        y = target**2
        tempered = (y - 1) / (y + max(np.sqrt(len(target)) - 1, 0.1))
        root = np.sqrt(self.seen)
        rng = np.random.default_rng(seed)
        v = (rng.standard_normal(root.shape) + 1j * rng.standard_normal(root.shape)).astype(np.complex64)
        v[~self.masks.any(axis=0)] = 0
        basis: list[Array] = [v / np.linalg.norm(v)]
        diagonal, off = [], [np.float32(0)]
        for step in range(min(LANCZOS_STEPS, v.size)):
            x = self.adjoint(tempered * self.waves(basis[-1] / root)) / root
            diagonal.append(_dot(basis[-1], x))
            x = x - diagonal[-1] * basis[-1] - (off[-1] * basis[-2] if step else 0)
            off.append(np.float32(np.linalg.norm(x)))
            if off[-1] <= 1e-6 * max(map(abs, diagonal)):
                break
            basis.append(x / off[-1])
        off = off[1 : len(diagonal)]
        combination = np.linalg.eigh(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1))[1][:, -1]
        s = sum(c * q for c, q in zip(combination.astype(np.float32), basis, strict=False)) / root
        amplitudes = np.abs(self.waves(s))
        return np.asarray(s * np.float32(np.vdot(amplitudes, target) / np.vdot(amplitudes, amplitudes)))


def _downhill(masks: _Masks, target: Array, s: Array, clock: Clock) -> Array:
    """Minimise the amplitude loss by limited-memory BFGS, preconditioned by ``Σ_j |mask_j|²``."""
    waves = masks.waves(s)
    value, gradient = _loss(masks, target, waves)
    enough = (SINGLE_RESIDUAL * float(np.linalg.norm(target))) ** 2 / 2
    memory: list[tuple[Array, Array, float]] = []
    for _ in range(BFGS_STEPS):
        if value <= enough or clock.out_of_time:
            break
        direction = -_inverse_hessian(memory, gradient, masks.seen)
        change, slope = masks.waves(direction), _dot(gradient, direction)
        t = np.float32(1)
        while True:
            moved = waves + t * change
            now, new_gradient = _loss(masks, target, moved)
            if now <= value + 1e-4 * t * slope or t < 1e-3:
                break
            t /= 2
        if not now < value:
            break
        step, turn = t * direction, new_gradient - gradient
        if _dot(step, turn) > 0:
            memory = [*memory[1 - BFGS_MEMORY :], (step, turn, 1 / _dot(step, turn))]
        s, waves, value, gradient = s + step, moved, now, new_gradient
    return s


def _loss(masks: _Masks, target: Array, waves: Array) -> tuple[float, Array]:
    """Return the amplitude loss and its gradient."""
    amplitudes = np.abs(waves)
    short = amplitudes - target
    return _dot(short, short) / 2, masks.adjoint(short / np.maximum(amplitudes, np.float32(1e-30)) * waves)


def _inverse_hessian(memory: list[tuple[Array, Array, float]], gradient: Array, seen: Array) -> Array:
    """Return the product of BFGS's inverse Hessian with the gradient, by the two-loop recursion."""
    q, shares = gradient.copy(), []
    for step, turn, rho in reversed(memory):
        shares.append(rho * _dot(step, q))
        q -= np.float32(shares[-1]) * turn
    q /= seen
    if memory:
        _, turn, rho = memory[-1]
        q *= np.float32(1 / (rho * _dot(turn, turn / seen)))
    for (step, turn, rho), share in zip(memory, reversed(shares), strict=True):
        q += np.float32(share - rho * _dot(turn, q)) * step
    return q


def _dot(x: Array, y: Array) -> float:
    return float(np.vdot(x, y).real)

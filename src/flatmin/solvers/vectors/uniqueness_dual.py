"""Dual vectors which prove that a positive semidefinite interpolant of rank-one measurements is unique.

They are λ for which ``W = A*(λ)`` vanishes on the interpolant's range and is positive definite on the complement; see
docs/theory/uniqueness.md ("Measurements by vectors"). The smallest eigenvalue of W on the complement is the margin. The
larger the margin, the less any other matrix that nearly fits can differ from the interpolant.
"""

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Measurement
from flatmin.solvers.vectors.amplitudes import row_inner
from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.margin_ascent import RAISED_LEVEL, ascend_margin, raise_lowest

__all__ = ["uniqueness_dual"]

#: Largest dimension in which margins are eigenvalues of a dense array. In larger dimensions they are Lanczos estimates.
LARGEST_DENSE = 800
#: Largest number of floating-point operations of an interior point step that is affordable.
LARGEST_STEP = 4e9
#: Number of floating-point operations up to which interior point steps are taken for any margin.
CHEAP_STEP = 5e8
#: Margin from which more expensive interior point steps are not worthwhile.
GOOD_MARGIN = 0.01
#: Margin below which the lowest eigenvalues are not raised, because the margin would probably stay negative.
HOPELESS_MARGIN = -0.1
#: Largest dimension in which a margin can be proved, and is therefore improved.
LARGEST_RAISED = 5000
#: Margin from which `_profile` needs no room for the constraints.
AMPLE_MARGIN = 0.15
#: Number of measurements in the random sample from which `_profile` chooses its two numbers.
SAMPLE_SIZE = 2000


def uniqueness_dual(
    measurement: Measurement, U: Array, *, seed: int = 0, time_limit: float | None = None
) -> Array | None:
    """Return λ with ``A*(λ)`` zero on U and positive definite on its complement, or None if none is found.

    The measurement is whitened and has ``is_rank_one``; U (d, r) is the factor of the interpolant in the same
    coordinates, of full rank. The mean eigenvalue of ``A*(λ)`` on the complement is one. After ``time_limit`` seconds
    no further improvement is tried. None says nothing about uniqueness. See docs/theory/algorithms.md ("Measurements by
    vectors: the uniqueness dual").
    """
    Q = np.linalg.qr(U)[0] if U.shape[1] else U.astype(measurement.dtype)
    complement = Complement(measurement, Q, Clock(time_limit=time_limit))
    if complement.dimension <= 0:
        return np.zeros(measurement.size)
    if not Q.shape[1]:  # every A_i is semidefinite, and so is their sum
        return complement.normalized(measurement.traces())
    dual = _proposal(complement, seed)
    if dual is None:
        return None
    if len(Q) > LARGEST_RAISED:
        return dual  # the certificate's estimate of its margin is as good as any
    margin = _margin(complement, dual, seed)
    work = measurement.size**2 * (measurement.size / 3 + sum(Q.shape)) * (4 if np.iscomplexobj(Q) else 1)
    better = None
    if work <= CHEAP_STEP or (work <= LARGEST_STEP and margin < GOOD_MARGIN):
        better = complement.polished(ascend_margin(complement, dual))
    elif HOPELESS_MARGIN < margin < RAISED_LEVEL / 2:
        better = raise_lowest(complement, dual, seed)
    if better is not None:
        dual, margin = max((dual, margin), (better, _margin(complement, better, seed)), key=lambda found: found[1])
    return dual if margin > 1e3 * EPS * len(Q) else None


def _proposal(complement: Complement, seed: int) -> Array | None:
    """Return the λ whose margin would be largest if the x_i were independent random vectors, or None without such a λ.

    Its values are ``p_i = τ ((a + q_i)^-½ − 1)`` with ``q_i |x_i|² = Re⟨x_i* Q, x_i* G⟩``; Newton's method finds the
    multipliers G (docs/theory/algorithms.md, "Proposal").
    """
    intensity = row_inner(complement.V, complement.V) / complement.energy
    profile = _profile(intensity, complement.dimension / complement.measurement.size, seed)
    if profile is None:
        return None
    a, slope = profile
    s, rough = a + slope * intensity, complement.rough
    scale = float(np.linalg.norm(rough.apply(1 / complement.energy)))
    for _ in range(12):
        dual = (1 / np.sqrt(s) - 1) / complement.energy
        excess = rough.apply(dual)
        relative = float(np.linalg.norm(excess)) / scale
        if relative <= max(1e-7, 10 * rough.resolution) or complement.clock.out_of_time:
            break
        G = rough.solve(0.5 * s**-1.5 / complement.energy**2, excess, max(1e-8, min(0.1, relative)))
        step = rough.correlate(G) / complement.energy
        falls = step < 0
        reach = float(np.min(-s[falls] / step[falls])) if falls.any() else np.inf
        s = s + min(1.0, 0.95 * reach) * step
    return complement.polished(dual)


def _profile(intensity: Array, ratio: float, seed: int) -> tuple[float, float] | None:
    """Return ``a`` and ``b`` with ``Σ p β = 0`` for ``p = (a + bβ)^-½ − 1`` on a sample of the intensities ``β``.

    Of the values tried for ``a``, the one with the largest margin is taken. Unless that margin is ample, it is divided
    by three, which leaves room for the later changes of ``p`` that meet the linear constraints.
    """
    beta = intensity
    if len(beta) > SAMPLE_SIZE:
        beta = np.random.default_rng(seed).choice(beta, SAMPLE_SIZE, replace=False)
    if not np.any(beta > 0):
        return None
    best, choice = -np.inf, 0.0
    for a in np.geomspace(1e-3, 0.9, 25):
        p = 1 / np.sqrt(a + _balanced(a, beta) * beta) - 1
        mean = float(np.mean(p)) / ratio
        margin = (float(np.mean(p / (1 + p))) / ratio - 1) / mean if mean > 0 else -np.inf
        if margin > best:
            best, choice = margin, float(a)
    choice /= 1 if best > AMPLE_MARGIN else 3
    return (choice, _balanced(choice, beta)) if choice else None


def _balanced(a: float, beta: Array) -> float:
    """Return the b with ``Σ β (a + bβ)^-½ = Σ β``, by bisection."""
    low, high = 0.0, 1 / float(np.min(beta[beta > 0]))
    for _ in range(60):
        b = (low + high) / 2
        low, high = (b, high) if np.sum(beta / np.sqrt(a + b * beta)) > np.sum(beta) else (low, b)
    return b


def _margin(complement: Complement, dual: Array, seed: int) -> float:
    """Return the smallest eigenvalue of ``A*(λ)`` on the complement of Q: exactly, or a Lanczos estimate."""
    if len(complement.Q) > LARGEST_DENSE:
        values, _ = complement.lowest(dual, 1, seed)
        return float(values[0]) if len(values) else -np.inf
    W, N = complement.measurement.adjoint(dual), complement.basis
    return float(np.linalg.eigvalsh(N.conj().T @ W @ N)[0])

"""Proofs that a positive semidefinite interpolant of rank-one measurements is the only one.

If some ``W = A*(λ)`` is positive semidefinite, vanishes on the columns of U and is positive definite on their
complement, every positive semidefinite X with ``A(X) = A(U U*)`` has ``tr(W X) = ⟨λ, A(U U*)⟩ = 0``, so it lives on the
columns of U. Together with injectivity there it is ``U U*``. The larger the smallest eigenvalue of W on the complement
(the margin), the less any other matrix that nearly fits can differ.
"""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Measurement
from flatmin.solvers.vectors.amplitudes import row_inner
from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.margin_ascent import ascend_margin
from flatmin.solvers.vectors.raised_eigenvalues import LEVEL, raise_lowest

__all__ = ["uniqueness_dual"]

#: Up to this dimension the eigenvalues are those of an array; beyond, Lanczos estimates them.
DENSE = 800
#: The interior point method is used up to this many operations a step …
LARGEST_STEP = 4e9
#: … wherever the first proposal has a smaller margin, or a step is as cheap as this.
GOOD_MARGIN, CHEAP_STEP = 0.01, 5e8
#: In larger problems the lowest eigenvalues are raised, unless the lowest one is below this …
HOPELESS = -0.1
#: … up to this dimension, beyond which nothing could prove the margin.
LARGEST_RAISED = 5000
#: Measurements looked at where the profile of the first proposal is chosen.
SAMPLE = 2000


def uniqueness_dual(
    measurement: Measurement, U: Array, *, seed: int = 0, time_limit: float | None = None
) -> Array | None:
    """Return λ with ``A*(λ)`` zero on U and positive definite on its complement, or None where none is found.

    A first proposal maximises what random vectors would have for a margin (`_proposal`), matrix-free. Where that is
    small, an interior point method maximises the margin itself, or, in large problems, the lowest eigenvalues are
    raised a few at a time.

    Parameters
    ----------
    measurement : Measurement
        A map with ``is_rank_one``, whitened.
    U : ndarray, shape (d, r)
        The factor of the interpolant in the same coordinates, of full rank.
    time_limit : float, optional
        Seconds after which no further improvement is tried.

    Returns
    -------
    ndarray, shape (m,), or None
        Scaled such that the mean eigenvalue of ``A*(λ)`` on the complement is one; ``A*(λ) U`` vanishes to rounding.
        None says nothing about uniqueness.

    Examples
    --------
    >>> from flatmin.measurements import RankOne
    >>> rng = np.random.default_rng(0)
    >>> A, s = RankOne(rng.standard_normal((60, 10))), rng.standard_normal((10, 1))
    >>> W = A.adjoint(uniqueness_dual(A, s))
    >>> bool(np.linalg.norm(W @ s) < 1e-12), bool(np.linalg.eigvalsh(W)[1] > 0.1)
    (True, True)
    """
    Q = np.linalg.qr(U)[0] if U.shape[1] else U.astype(measurement.dtype)
    complement = Complement(measurement, Q, time_limit=time_limit)
    if complement.dimension <= 0:
        return np.zeros(measurement.size)
    if not Q.shape[1]:  # every A_i is semidefinite, and their weighted sum sees all that is seen
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
    elif HOPELESS < margin < LEVEL / 2:
        better = raise_lowest(complement, dual, seed)
    if better is not None:
        dual, margin = max((dual, margin), (better, _margin(complement, better, seed)), key=lambda found: found[1])
    return dual if margin > 1e3 * EPS * len(Q) else None


def _proposal(complement: Complement, seed: int) -> Array | None:
    """Return λ for which independent random vectors would have the largest margin, or None.

    Weights ``p_i`` on random unit vectors in n dimensions have the margin ``max_τ Σ τ p_i/(τ + p_i)/n − τ`` (the edge
    of the Marchenko–Pastur law). Its maximiser under ``A*(λ)Q = 0`` is ``p_i = τ ((a + q_i)^-½ − 1)``, where
    ``q_i |x_i|² = Re⟨x_i* Q, x_i* G⟩``; the multipliers G minimise the convex ``Σ q_i − 2 (a + q_i)^½``, by Newton's
    method.
    """
    intensity = row_inner(complement.V, complement.V) / complement.energy
    profile = _profile(intensity, complement.dimension / complement.measurement.size, seed)
    if profile is None:
        return None
    a, slope = profile
    s = a + slope * intensity
    scale = float(np.linalg.norm(complement.apply(1 / complement.energy)))
    for _ in range(12):
        dual = (1 / np.sqrt(s) - 1) / complement.energy
        excess = complement.apply(dual)
        relative = float(np.linalg.norm(excess)) / scale
        if relative <= 1e-7 or complement.out_of_time:
            break
        G = complement.solve(0.5 * s**-1.5 / complement.energy**2, excess, max(1e-8, min(0.1, relative)))
        step = complement.correlate(G) / complement.energy
        falls = step < 0
        reach = float(np.min(-s[falls] / step[falls])) if falls.any() else np.inf
        s = s + min(1.0, 0.95 * reach) * step
    return complement.polished(dual)


def _profile(intensity: Array, ratio: float, seed: int) -> tuple[float, float] | None:
    """Return a and b with ``Σ p β = 0`` for ``p = (a + bβ)^-½ − 1``, judged on a sample of the intensities β.

    The a of the largest margin is reduced to a third, because p still has to move to meet all constraints.
    """
    beta = intensity
    if len(beta) > SAMPLE:
        beta = np.random.default_rng(seed).choice(beta, SAMPLE, replace=False)
    if not np.any(beta > 0):
        return None
    best, choice = -np.inf, 0.0
    for a in np.geomspace(1e-3, 0.9, 25):
        p = 1 / np.sqrt(a + _balanced(a, beta) * beta) - 1
        mean = float(np.mean(p)) / ratio
        margin = (float(np.mean(p / (1 + p))) / ratio - 1) / mean if mean > 0 else -np.inf
        if margin > best:
            best, choice = margin, float(a)
    return (choice / 3, _balanced(choice / 3, beta)) if choice else None


def _balanced(a: float, beta: Array) -> float:
    """Return the b with ``Σ β (a + bβ)^-½ = Σ β``, by bisection."""
    low, high = 0.0, 1 / float(np.min(beta[beta > 0]))
    for _ in range(60):
        b = (low + high) / 2
        low, high = (b, high) if np.sum(beta / np.sqrt(a + b * beta)) > np.sum(beta) else (low, b)
    return b


def _margin(complement: Complement, dual: Array, seed: int) -> float:
    """Return the smallest eigenvalue of ``A*(λ)`` on the complement of Q: exactly, or a Lanczos estimate."""
    if len(complement.Q) > DENSE:
        values, _ = complement.lowest(dual, 1, seed)
        return float(values[0]) if len(values) else -np.inf
    W, N = complement.measurement.adjoint(dual), complement.basis
    return float(np.linalg.eigvalsh(N.conj().T @ W @ N)[0])

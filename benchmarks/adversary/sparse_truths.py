"""Products of two to four vectors with an integer truth: no bound exceeds its value, and no fit lies too far away.

Solutions are moved a little, so that they fit and are flat only up to rounding. The value of the truth is exact for two
factors, and has sixty digits for more. Some columns are repeated, which gives two minima at depth two.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict
from flatmin.measurements import Dense
from flatmin.proofs.depth.hadamard import hadamard_certificate

__all__ = ["attack"]


def attack(seed: int) -> Verdict:
    """Compare the truth, and at depth two its mirror image in repeated columns, with bounds and radii."""
    rng = np.random.default_rng(seed)
    depth, n = 2 + seed % 3, int(rng.integers(2, 9))
    A = rng.integers(-9, 10, (int(rng.integers(1, n + 1)), n)).astype(float)
    twins = bool(rng.random() < 0.4)
    if twins:
        A[:, 1] = A[:, 0]
    x = rng.integers(-9, 10, n) * (rng.random(n) < rng.uniform(0.2, 1)).astype(float)
    x = x * A.any(axis=0)  # claims are about vectors that vanish where nothing is measured
    if not (A @ x).any():
        return Verdict(0, None, 0)
    problem = fm.Problem(Dense(A), A @ x, fm.Hadamard(depth))
    solution = fm.flat_minimum(problem, seed=seed)
    size = 10.0 ** -rng.integers(9, 17)
    moved = tuple(F * (1 + size * rng.standard_normal(F.shape)) for F in solution.factors)
    held = 0
    with mpmath.workdps(60):
        value = _value(A, x, depth)
        for factors in (solution.factors, moved):
            proof = hadamard_certificate(problem, factors, solution.certificate.dual)
            held += proof.holds
            if mpmath.mpf(proof.lower_bound) > value:
                return Verdict(
                    held, f"the bound {proof.lower_bound:.17g} exceeds the value {float(value):.17g} of a fit"
                )
            if not proof.holds:
                continue
            product = [mpmath.fprod(mpmath.mpf(float(np.ravel(F)[j])) for F in factors) for j in range(n)]
            for other in (x, x[[1, 0, *range(2, n)]]) if twins else (x,):
                apart = mpmath.norm(mpmath.matrix(product) - mpmath.matrix(other.tolist()))
                excess = max(0.0, float(value / mpmath.mpf(proof.value) - 1)) * (1 + 1e-9)
                radius = proof.error_radius(0.0, excess)
                if radius is not None and depth == 2 and apart > mpmath.mpf(radius):
                    return Verdict(True, f"a fit lies {float(apart):.3g} away, the radius for it is {radius:.3g}")
                same = value <= mpmath.mpf(proof.value) and apart > 2e-2 * mpmath.norm(mpmath.matrix(product))
                if same and proof.unique is True:
                    return Verdict(True, f"called unique, a fit as flat lies {float(apart):.3g} away")
    return Verdict(held, None, 2)


def _value(A: Any, x: Any, depth: int) -> Any:
    """Return ``2N Σ w_j |x_j|^p`` with the mean squares w of the columns."""
    p = 2 - mpmath.mpf(2) / depth
    weights = [mpmath.fsum(mpmath.mpf(a) ** 2 for a in column) / len(A) for column in A.T.tolist()]
    return 2 * depth * mpmath.fsum(w * mpmath.mpf(abs(t)) ** p for w, t in zip(weights, x.tolist(), strict=True))

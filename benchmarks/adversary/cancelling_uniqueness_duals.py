"""Measurements by vectors that two matrices fit: no uniqueness dual may prove that there is only one.

All vectors have ``x_1 = ± x_2``, so that ``e_1 e_1ᵀ`` and ``e_2 e_2ᵀ`` have the same measurements. Some vectors repeat.
Uniqueness duals are random, honest for one of the repeated vectors, or have huge parts that cancel on them.
"""

from __future__ import annotations

import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict
from flatmin.measurements import RankOne
from flatmin.proofs.cone_certificate import certificate_of, trivial_dual

__all__ = ["attack"]


def attack(seed: int) -> Verdict:
    """Certify one of the two matrices, with several uniqueness duals."""
    rng = np.random.default_rng(seed)
    d, repeats = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    x = rng.integers(-9, 10, (int(rng.integers(d, d * d + 2)), d)).astype(float)
    x[:, 1] = rng.choice([-1.0, 1.0], len(x)) * x[:, 0]
    x = np.concatenate([np.repeat(x[:1], repeats, axis=0), x])
    shared = rng.integers(0, 4, d) * (np.arange(d) > 1) + rng.integers(0, 2) * (np.arange(d) < 2)
    U = np.column_stack([float(rng.integers(1, 9)) * np.eye(d)[:, 0], shared])
    problem = fm.Problem(RankOne(x), RankOne(x).forward(U @ U.T), fm.Gram())
    if not problem.data.any():
        return Verdict(0, None, 0)
    trivial, held = trivial_dual(problem), 0
    apart = float(np.sqrt(2) * U[0, 0] ** 2)
    honest = fm.flat_minimum(problem, seed=seed).certificate
    duals = [rng.standard_normal(len(x)), _outside(problem, U, rng)]
    if honest.uniqueness_dual is not None:
        duals.append(honest.uniqueness_dual)
    for other in duals:
        for top in (0.0, 2.0 ** rng.integers(20, 60)):
            forged = np.array(other)
            forged[:2] += np.array([top, -top]) * float(np.max(np.abs(other)))
            proof = certificate_of(problem, (U,), trivial, uniqueness_dual=forged)
            held += proof.holds
            if proof.holds and proof.unique is True:
                return Verdict(True, f"called unique, another fit lies {apart:.3g} away")
            if proof.holds and proof.radius is not None and proof.radius < apart:
                return Verdict(True, f"another fit lies {apart:.3g} away, the radius is {proof.radius:.3g}")
    return Verdict(held, None, 2 * len(duals))


def _outside(problem: fm.Problem, U: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a vector whose matrix is, as nearly as possible, the projector on the complement of the solution."""
    Q = np.linalg.qr(np.asarray(problem.metric[0]) @ U)[0]
    W = np.linalg.inv(np.asarray(problem.metric[0]) + 1e-9 * np.eye(len(U)))
    rows = (W @ problem.measurement.matrices() @ W).reshape(problem.measurement.size, -1)
    target = np.eye(len(U)) - Q @ Q.T
    return np.asarray(np.linalg.lstsq(rows.T, target.ravel(), rcond=1e-9)[0])

"""Integer splits ``Y = u vᵀ + S`` with dual matrices of any size: no bound may exceed the objective of that split."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict
from flatmin.measurements import Mask
from flatmin.proofs.robust.certificate import robust_certificate

__all__ = ["attack"]


def attack(seed: int) -> Verdict:
    """Solve robust PCA of integers, and certify with its dual matrix and with disturbed and huge ones."""
    rng = np.random.default_rng(seed)
    d1, d2 = (int(d) for d in rng.integers(3, 12, 2))
    u, v = rng.integers(1, 6, d1), rng.integers(1, 6, d2)
    S = rng.integers(-50, 51, (d1, d2)) * (rng.random((d1, d2)) < rng.uniform(0, 0.3))
    seen = rng.random((d1, d2)) < 0.9
    seen[0, 0] = True
    Y, weight = (np.outer(u, v) + S)[seen].astype(float), float(rng.uniform(0.05, 1))
    tau = float(np.abs(S[seen]).sum()) if rng.random() < 0.5 else None
    loss = fm.losses.Absolute(tau=tau) if tau is not None else fm.losses.Absolute(weight=weight)
    problem = fm.Problem(Mask(seen), Y, loss=loss)
    solution = fm.flat_minimum(problem)
    turn = float(np.sqrt(np.linalg.norm(v) / np.linalg.norm(u)))
    square = [Fraction(turn) ** sign * int(w @ w) for sign, w in ((2, u), (-2, v))]
    objective = sum(square, Fraction()) / 2
    if tau is None:
        objective += Fraction(weight) * int(np.abs(S[seen]).sum())
    dual = solution.certificate.dual
    duals = [dual, dual + 10.0 ** rng.integers(-12, 3) * rng.standard_normal(dual.size), 2.0**60 * dual]
    proofs = [robust_certificate(problem, solution.factors, other, look_further=False) for other in duals]
    held = sum(proof.holds for proof in proofs)
    for proof in proofs:
        if proof.bound_kind != "estimated" and Fraction(proof.lower_bound) > objective:
            excess = float(Fraction(proof.lower_bound) / objective - 1)
            return Verdict(held, f"a bound exceeds the objective of a split by a share of {excess:.2g}")
    return Verdict(held, None, len(proofs))

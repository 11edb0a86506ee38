"""Problems with two flat minima by construction: no certificate may call either of them, or their mean, unique.

In the coordinates of singular vectors U, V along the axes both are ``U S Vᵀ`` with integer S ⪰ 0 of the same trace.
One sensing matrix is ``U Vᵀ``, whose dual vector proves that both are smallest in the nuclear norm (metric power 0),
and all others are orthogonal to the difference. In robust PCA a row can be kept or dropped at the same price.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict
from flatmin.measurements import Dense, Identity
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.proofs.robust.certificate import robust_certificate

__all__ = ["attack"]

#: Two minima are a multiple 2^-k of an integer matrix apart, with k from 0 to this.
NEAREST = 30


def attack(seed: int) -> Verdict:
    """Certify both minima, their mean, and the solution that flatmin finds."""
    rng = np.random.default_rng(seed)
    if seed % 4 == 3:
        return _row(rng)
    problem, first, second = _problem(rng, ("product", "signed", "gram")[seed % 4])
    dual, held = np.r_[1.0, np.zeros(problem.measurement.size - 1)], 0
    dual *= float(rng.uniform(0.99, 1.01)) if rng.random() < 0.3 else 1.0
    solution = fm.flat_minimum(problem, metric_power=0, seed=seed)
    proofs = [(solution.certificate, solution.matrix)]
    for X in (first, second, (first + second) / 2):
        for vector in (_scaled(problem, dual), solution.certificate.dual):
            proofs.append((certificate_of(problem, _factors(problem, X), vector, metric_power=0), X))
    for proof, X in proofs:
        held += proof.holds
        apart = max(float(np.linalg.norm(X - other)) for other in (first, second))
        if proof.holds and proof.unique is True and apart > 2e-2 * np.linalg.norm(X):
            return Verdict(True, f"the solution is called unique, another minimum lies {apart:.3g} away")
        if proof.holds and proof.radius is not None and apart > proof.radius * (1 + 1e-12) + 1e-12 * apart:
            return Verdict(True, f"another minimum lies {apart:.3g} away, the radius is {proof.radius:.3g}")
    return Verdict(held, None, len(proofs))


def _problem(rng: np.random.Generator, kind: str) -> tuple[fm.Problem, Any, Any]:
    """Return a problem and two smallest matrices that fit."""
    q = int(rng.integers(2, 4))
    d1, d2 = int(rng.integers(q, q + 3)), int(rng.integers(q, q + 3))
    U, V = np.eye(d1)[:, rng.permutation(d1)[:q]], np.eye(d2)[:, rng.permutation(d2)[:q]]
    S = np.diag(rng.integers(2, 9, q)).astype(float)
    change = np.zeros((q, q))
    change[0, 0], change[1, 1] = 1, -1
    if rng.random() < 0.5:
        change = np.zeros((q, q))
        change[0, 1] = change[1, 0] = 1
    if kind != "product":
        signs = rng.choice([-1.0, 1.0]) * np.ones(q) if kind == "signed" else np.ones(q)
        V = U * signs
    H, first, apart = U @ change @ V.T, U @ S @ V.T, 2.0 ** -int(rng.integers(0, NEAREST + 1))
    m = int(rng.integers(1, len(U) * len(V)))
    T = rng.integers(-4, 5, (m, len(U), len(V))).astype(float)
    T = T if kind == "product" else T + T.transpose(0, 2, 1)
    T = np.sum(H * H) * T - np.einsum("mij,ij->m", T, H)[:, None, None] * H
    A = Dense(np.concatenate([(U @ V.T)[None], T]))
    model = {"product": fm.Product(), "signed": fm.SignedGram(), "gram": fm.Gram()}[kind]
    return fm.Problem(A, A.forward(first), model), first, first + apart * H


def _scaled(problem: fm.Problem, numbers: Any) -> Any:
    """Return a dual vector, or singular values, in units of the metric to the power 0, a multiple of the identity."""
    return numbers * float(np.prod([np.max(D.tempered(0).values) for D in problem.metric]))


def _factors(problem: fm.Problem, X: Any) -> Any:
    """Return factors of a matrix of the model."""
    if problem.parametrization.cone.is_hermitian:
        w, Q = np.linalg.eigh(X)
        triplets = Q, np.abs(w), Q * np.where(w < 0, -1.0, 1.0)
    else:
        U, s, Vt = np.linalg.svd(X, full_matrices=False)
        triplets = U, s, Vt.T
    metric = problem.metric[0].tempered(0), problem.metric[1].tempered(0)
    U, s, V = triplets
    return problem.parametrization.flattest(U, _scaled(problem, s), V, metric)


def _row(rng: np.random.Generator) -> Verdict:
    """A row of n equal numbers costs ``√n t`` as X, and ``n t / √n`` as errors with the weight 1/√n."""
    n, size = int(4 ** rng.integers(1, 4)), float(rng.integers(1, 9))
    problem = fm.Problem(Identity((1, n)), np.full(n, size), loss=fm.losses.Absolute(weight=n**-0.5))
    held = 0
    for share in (0.0, 1.0, float(rng.uniform(0, 1))):
        pair = np.array([[np.sqrt(share * size)]]), np.full((n, 1), np.sqrt(share * size))
        proof = robust_certificate(problem, pair, np.full(n, n**-0.5))
        held += proof.holds
        apart = max(share, 1 - share) * size * n**0.5
        if proof.unique is True:
            return Verdict(True, f"a split with {share:.2g} of a row is called unique")
        if proof.holds and proof.radius is not None and apart > proof.radius:
            return Verdict(True, f"a split lies {apart:.3g} away, the radius is {proof.radius:.3g}")
    return Verdict(held, None, 3)

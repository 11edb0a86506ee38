"""Small problems of every model, with the proofs that `flatmin.prove` writes for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

import flatmin as fm
from flatmin.measurements import Dense, Entries, Identity, RankOne

__all__ = ["PROBLEMS", "proof_of"]

#: Rank-one factors of an integer matrix.
INTEGERS = np.array([2.0, -1, 1, 3, -2, 1]), np.array([1.0, 2, -1, 1, 3])


def sensing(seed: int, integers: bool = False, noise: float = 0.0) -> fm.Problem:
    """Return sensing of a 6 × 5 matrix of rank one."""
    if not integers:
        m = 40 if noise else 26
        return fm.families.matrix_sensing.sample((6, 5), 1, m, noise=noise, seed=seed).problem
    A = Dense(np.random.default_rng(seed).integers(-3, 4, (24, 6, 5)))
    return fm.Problem(A, A.forward(np.outer(*INTEGERS)))


def bilinear(seed: int) -> fm.Problem:
    """Return bilinear sensing of a 6 × 5 matrix of rank one."""
    return fm.families.bilinear_sensing.sample((6, 5), 1, 27, seed=seed).problem


def completion(seed: int, m: int = 38, rank: int = 1, integers: bool = False, weighted: bool = False) -> fm.Problem:
    """Return completion of an 8 × 6 matrix."""
    rng = np.random.default_rng(seed)
    rows, cols = np.divmod(np.sort(rng.choice(48, m, replace=False)), 6)
    A = Entries(rows, cols, (8, 6), rng.integers(1, 4, m) if weighted else None)
    draw = partial(rng.integers, 1, 4) if integers else lambda size: rng.standard_normal(size)
    L, R = (np.asarray(draw(size=(d, rank)), float) for d in (8, 6))
    return fm.Problem(A, A.forward(L @ R.T))


def unseen(seed: int) -> fm.Problem:
    """Return completion of a matrix whose third row and first column no entry sees."""
    problem = completion(seed, 44)
    A = problem.measurement
    assert isinstance(A, Entries)
    kept = (A.rows != 2) & (A.cols != 0)
    return fm.Problem(Entries(A.rows[kept], A.cols[kept], A.shape), problem.data[kept])


def network(seed: int, integers: bool = False) -> fm.Problem:
    """Return a quadratic network on six inputs, with one positive and one negative unit."""
    rng = np.random.default_rng(seed)
    B = rng.integers(-2, 3, (20, 6, 6)) if integers else rng.standard_normal((20, 6, 6))
    u, v = rng.integers(-2, 3, (2, 6)) if integers else rng.standard_normal((2, 6))
    A = Dense(B + B.transpose(0, 2, 1))
    return fm.Problem(A, A.forward(np.outer(u, u) - np.outer(v, v)), fm.SignedGram())


def covariance(seed: int, integers: bool = False, dense: bool = False) -> fm.Problem:
    """Return the measurements of a 5 × 5 covariance matrix of rank two by quadratic forms or dense matrices."""
    rng = np.random.default_rng(seed)
    draw: Callable[..., Any] = (lambda *size: rng.integers(-3, 4, size)) if integers else rng.standard_normal
    U = np.asarray(draw(5, 2) if integers else draw((5, 2)), float)
    if dense:
        B = rng.standard_normal((14, 5, 5))
        A: Any = Dense(B + B.transpose(0, 2, 1))
    else:
        A = RankOne(draw(20, 5) if integers else draw((20, 5)))
    return fm.Problem(A, A.forward(U @ U.T), fm.Gram())


def phases(seed: int, real: bool = False, integers: bool = False) -> fm.Problem:
    """Return phase retrieval of four numbers."""
    if not integers:
        return fm.families.phase_retrieval.sample(4, 1, 16 if real else 24, seed=seed, real=real).problem
    rng = np.random.default_rng(seed)
    x, signal = (rng.integers(-2, 3, size) + 1j * rng.integers(-2, 3, size) for size in ((24, 4), (4, 1)))
    A = RankOne(x)
    return fm.Problem(A, A.forward(signal @ signal.conj().T), fm.Gram())


def gross_errors(seed: int, missing: int = 0, integers: bool = False) -> fm.Problem:
    """Return a 9 × 8 matrix of rank one with three gross errors."""
    rng = np.random.default_rng(seed)
    L, R = (rng.integers(1, 3, d).astype(float) if integers else rng.standard_normal(d) for d in (9, 8))
    Y = np.outer(L, R).ravel()
    Y[rng.choice(72, 3, replace=False)] += rng.choice([-4.0, 4.0], 3) if integers else rng.standard_normal(3) * 5
    A: Any = Identity((9, 8))
    if missing:
        kept = np.sort(rng.choice(72, 72 - missing, replace=False))
        A, Y = Entries(*np.divmod(kept, 8), (9, 8)), Y[kept]
    return fm.Problem(A, Y, loss=fm.losses.Absolute(weight=0.375))


def zero(seed: int) -> fm.Problem:
    """Return sensing of the zero matrix."""
    return fm.Problem(sensing(seed).measurement, np.zeros(26))


#: Problems by name, and the options of their solutions.
PROBLEMS: dict[str, tuple[Callable[[int], fm.Problem], dict[str, float]]] = {
    "sensing": (sensing, {}),
    "integer sensing": (partial(sensing, integers=True), {}),
    "noisy sensing": (partial(sensing, noise=0.1), {}),
    "sensing, metric power 0": (sensing, {"metric_power": 0}),
    "penalised sensing": (partial(sensing, noise=0.1), {"alpha": 0.01}),
    "bilinear": (bilinear, {}),
    "completion": (completion, {}),
    "integer completion": (partial(completion, integers=True), {}),
    "weighted completion": (partial(completion, weighted=True), {}),
    "completion below the threshold": (partial(completion, m=26, rank=2), {}),
    "completion with unseen rows": (unseen, {}),
    "completion, metric power 0": (completion, {"metric_power": 0}),
    "network": (network, {}),
    "integer network": (partial(network, integers=True), {}),
    "penalised network": (network, {"alpha": 0.001}),
    "covariance": (covariance, {}),
    "integer covariance": (partial(covariance, integers=True), {}),
    "dense semidefinite": (partial(covariance, dense=True), {}),
    "phase retrieval": (phases, {}),
    "real phase retrieval": (partial(phases, real=True), {}),
    "integer phase retrieval": (partial(phases, integers=True), {}),
    "gross errors": (gross_errors, {}),
    "gross errors, missing cells": (partial(gross_errors, missing=8), {}),
    "integer gross errors": (partial(gross_errors, integers=True), {}),
    "zero": (zero, {}),
}


@cache
def proof_of(name: str, seed: int = 0) -> tuple[bytes, bytes]:
    """Return the bytes of a proof and of its instance."""
    make, options = PROBLEMS[name]
    problem = make(seed)
    proof = fm.prove(problem, fm.flat_minimum(problem, **options))
    return proof.text.encode(), proof.instance

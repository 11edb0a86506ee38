"""The referee judges answers from the answer alone: objective, bound, gap, residual, and distance to the truth.

A competitor returns a matrix, factors or a signal; flatmin also returns its dual vectors, which can prove a bound but
cannot make a false one valid.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

import flatmin as fm
from flatmin._core.arrays import Array

#: Relative distance from the truth above which an answer counts as a different one.
DIFFERENT = 1e-6
#: Folder of the best dual vectors that flatmin found, for the judgement of others; None for no folder.
DUALS = "FLATMIN_BENCHMARK_DUALS"
#: Number of cells up to which a dual vector is computed if none is stored.
SMALL = 250_000


def verdict(problem: fm.Problem, truth: Any, answer: Any) -> dict[str, Any]:
    """Return the parts of an answer: factors, a matrix, or a signal; and flatmin's dual vectors."""
    ours = answer if isinstance(answer, fm.Solution) else None
    given = ours.factors if ours else semidefinite(problem, answer)
    if not all(np.isfinite(part).all() for part in (given if isinstance(given, tuple) else (given,))):
        raise ValueError("its answer is not finite")
    duals = (ours.certificate.dual, ours.certificate.uniqueness_dual) if ours else (reference(problem), None)
    error = distance(problem, truth, given)
    if duals[0] is None:
        return unproved(problem, truth, given) | {"error": error}
    proof = fm.certify(problem, given, duals[0], uniqueness_dual=duals[1])
    if ours:
        keep(problem, proof)
    return {
        "value": proof.value,
        "gap": proof.relative_gap,
        "gap size": abs(proof.relative_gap),
        "residual": proof.relative_residual,
        "holds": proof.holds,
        "error": error,
        "unique": proof.unique,
        "margin": proof.margin,
        "margin kind": proof.margin_kind,
        "rank": ours.rank if ours else None,
        "honest": honest(problem, ours, proof, error) if ours and determined(problem) else None,
    }


def unproved(problem: fm.Problem, truth: Any, given: Any) -> dict[str, Any]:
    """Return the judgement where no dual vector is known: the gap is open.

    In its place counts by how much the objective exceeds the truth's, the best known. The residual is the model's
    own: of tables with gross errors it is zero, as what an answer leaves of the data counts as errors.
    """
    nothing = np.zeros_like(problem.data)
    proof, known = (fm.certify(problem, matrices, nothing) for matrices in (given, truth))
    excess = max(0.0, proof.value / known.value - 1) if known.value > 0 else float("inf")
    words = dict.fromkeys(("gap", "unique", "margin", "margin kind", "rank", "honest"))
    size = {"value": proof.value, "gap size": excess, "residual": proof.relative_residual}
    return {**words, **size, "holds": False}


def determined(problem: fm.Problem) -> bool:
    """Return whether the data determine the trace, so that only uniqueness needs a proof."""
    return isinstance(problem.parametrization, fm.Gram) and problem.measurement.is_rank_one


def place(problem: fm.Problem) -> Path | None:
    """Return the file of the dual vector of a problem, None if there is no folder."""
    folder = os.environ.get(DUALS)
    if not folder:
        return None
    name = hashlib.sha256(np.ascontiguousarray(problem.data).tobytes()).hexdigest()[:16]
    return Path(folder) / f"{name}.npz"


def keep(problem: fm.Problem, proof: fm.Certificate) -> None:
    """Store a dual vector if its bound is the best so far; the bound of any vector is valid."""
    file = place(problem)
    if file is None or proof.dual is None:
        return
    if file.exists() and float(np.load(file)["bound"]) >= proof.lower_bound:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, dual=proof.dual, bound=proof.lower_bound)


def reference(problem: fm.Problem) -> Array | None:
    """Return a dual vector for answers without one: flatmin's, or the trivial one if it is optimal."""
    A = problem.measurement
    if determined(problem):
        return np.asarray(A.traces() / A.size)
    file = place(problem)
    if file is not None and file.exists():
        return np.asarray(np.load(file)["dual"])
    return fm.flat_minimum(problem, tol=1e-9).certificate.dual if np.prod(problem.shape) <= SMALL else None


def semidefinite(problem: fm.Problem, answer: Any) -> Any:
    """Return an answer without the negative eigenvalues that a matrix of the model cannot have."""
    if not isinstance(problem.parametrization, fm.Gram) or np.shape(answer) != problem.shape:
        return answer
    values, vectors = np.linalg.eigh((answer + answer.conj().T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0.0)),)


def distance(problem: fm.Problem, truth: Any, given: Any) -> float:
    """Return the relative distance to the truth, a matrix or factors; of signals, after aligning the global phase."""
    if isinstance(truth, tuple):
        return between_factors(given, truth)
    if truth.shape != problem.shape:
        columns = np.asarray(given[0] if isinstance(given, tuple) else given).reshape(problem.shape[0], -1)
        left, values, _ = np.linalg.svd(columns, full_matrices=False)
        found, truth = left[:, 0] * values[0], truth.reshape(-1)
        inner = np.vdot(found, truth)
        found = found * (inner / abs(inner) if inner else 1.0)
    else:
        model = problem.parametrization
        found = model.matrix(model.check(given, problem.shape)) if isinstance(given, tuple) else given
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def between_factors(given: Any, truth: tuple[Array, Array]) -> float:
    """Return ``|L Rᵀ − L₀ R₀ᵀ|/|L₀ R₀ᵀ|`` to rounding and without any matrix d1 × d2, if the answer has factors."""
    if not isinstance(given, tuple):
        difference, size = given - truth[0] @ truth[1].T, truth[0] @ truth[1].T
        return float(np.linalg.norm(difference) / np.linalg.norm(size))

    def size_of(L: Array, R: Array) -> float:
        return float(np.linalg.norm(np.linalg.qr(L, mode="r") @ np.linalg.qr(R, mode="r").T))

    together = (np.hstack([given[0], -truth[0]]), np.hstack([given[1], truth[1]]))
    return size_of(*together) / size_of(*truth)


def honest(problem: fm.Problem, solution: fm.Solution, proof: fm.Certificate, error: float) -> bool:
    """Return whether a claim about uniqueness is possible: the truth fits equally well, and another fit is checked."""
    unique = solution.certificate.unique
    if unique is True:
        return bool(proof.unique is True and error <= DIFFERENT)
    if unique is None:
        return True
    other, model = solution.certificate.alternative, problem.parametrization
    if other is None or not fm.certify(problem, other, proof.dual).holds:
        return False
    apart = np.linalg.norm(model.matrix(other) - solution.matrix)
    return bool(apart > DIFFERENT * np.linalg.norm(solution.matrix))

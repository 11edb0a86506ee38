"""Checks of a solution."""

from __future__ import annotations

import numpy as np

from flatmin.certificates import LARGEST_GAP, LARGEST_RESIDUAL, LARGEST_WHITENED_RESIDUAL
from flatmin.metric import Array, Metric
from flatmin.problem import Problem
from flatmin.solution import Solution, Status
from flatmin.solvers import certify
from flatmin.testing._checks import TOLERANCE, agree, require

__all__ = ["check_solution"]


def check_solution(solution: Solution, problem: Problem | None = None) -> None:
    """Check that a solution does not contradict itself and, given its problem, recompute its certificate.

    Given the problem, value, residual and lower bound are computed again with plain dense NumPy from the measurement
    map, the data, the factors and the dual vector alone, as a stranger would who has only the saved file.

    Parameters
    ----------
    solution : Solution
        From `flat_minimum`, or loaded from a file.
    problem : Problem, optional
        The problem it solves; small enough for a dense singular value decomposition of a d1×d2 matrix.

    Raises
    ------
    AssertionError
        With one sentence: what is contradictory, and by how much.

    Examples
    --------
    >>> import flatmin as fm
    >>> p = fm.families.matrix_sensing.sample((4, 3), 1, 12).problem
    >>> fm.testing.check_solution(fm.flat_minimum(p), p)
    """
    _check_consistency(solution)
    if problem is not None:
        _check_proof(solution, problem)


def _check_consistency(solution: Solution) -> None:
    proof, flat = solution.certificate, solution.flatness
    for name, F in zip(solution.parametrization.names, solution.factors, strict=True):
        require(solution, bool(np.isfinite(F).all()), f"{name} contains NaN or infinity")
    for F, index in zip(solution.parametrization.pair(solution.factors), solution.undetermined, strict=True):
        require(solution, F.shape[1] == solution.rank, f"there are {F.shape[1]} columns, expected {solution.rank}")
        require(solution, not np.any(F[index]), "an undetermined row or column is not zero")
    gap = (proof.value - proof.lower_bound) / proof.value if proof.value else 0.0
    cause = "relative_gap = (value − lower_bound) / value"
    agree(solution, "relative_gap", proof.relative_gap, gap, cause, scale=1.0)
    small = proof.relative_residual <= LARGEST_RESIDUAL and proof.whitened_residual <= LARGEST_WHITENED_RESIDUAL
    fits = proof.objective == "penalised" or small
    earned = abs(proof.relative_gap) <= LARGEST_GAP and fits and proof.bound_kind != "estimated"
    require(solution, proof.holds == earned, f"holds is {proof.holds}, but its gap, residual and bound say {earned}")
    status = solution.status
    require(solution, proof.holds or not status.certified, f"status {status.name} without a certificate that holds")
    unique = status is Status.unique_flat_minimum
    require(solution, not unique or proof.unique is True, f"status {status.name}, but unique is {proof.unique}")
    good = proof.unique is not True or (proof.holds and (proof.injectivity or 0) > 0 and (proof.margin or 0) > 0)
    require(solution, good, "unique is True without a positive injectivity and margin")
    slack = flat.scaled_trace - flat.fibre_minimum
    require(
        solution,
        slack >= -TOLERANCE * flat.scaled_trace,
        f"scaled_trace {flat.scaled_trace:.10g} is below fibre_minimum {flat.fibre_minimum:.10g}",
    )
    if solution.settings.get("metric_power", 1.0) == 1.0 and proof.objective == "interpolating":
        agree(solution, "value", proof.value, flat.fibre_minimum, "value = the minimum over the fibre", tolerance=1e-8)


def _check_proof(solution: Solution, problem: Problem) -> None:
    """Recompute value, residual and bound; a claim may be weaker than what is found, never stronger."""
    proof, A, b = solution.certificate, problem.measurement, problem.data
    alpha, power = (solution.settings.get(k, v) for k, v in (("alpha", 0.0), ("metric_power", 1.0)))
    model = problem.parametrization
    factor, hermitian = model.trace_factor, model.cone != "rectangular"
    over = (A.size, A.size) if hermitian else (A.size * A.shape[1], A.size * A.shape[0])
    roots = [_dense_power(np.asarray(Metric.root(S / n)), power) for S, n in zip(A.gram_diagonals(), over, strict=True)]
    X = solution.matrix
    residual = A.forward(X) - b
    size = float(np.linalg.norm(b))
    found = float(np.linalg.norm(residual)) / size if size else float(np.linalg.norm(residual))
    require(
        solution,
        abs(found - proof.relative_residual) <= 1e-3 * found + 1e-12,
        f"the relative residual is {found:.3g}, the certificate says {proof.relative_residual:.3g}",
    )
    nuclear = float(np.linalg.svd(roots[0][0] @ X @ roots[1][0], compute_uv=False).sum())
    S = roots[0][1] @ A.adjoint(proof.dual) @ roots[1][1]
    norm = float(np.linalg.eigvalsh(S)[-1] if model.cone == "semidefinite" else np.linalg.norm(S, 2))
    scaled = proof.dual / max(1.0, norm)
    value, bound = factor * nuclear, factor * float(b @ scaled)
    if alpha > 0:
        value = float(np.mean(residual**2)) + alpha * value
        bound = alpha * bound - factor**2 / 4 * A.size * alpha**2 * float(scaled @ scaled)
    agree(solution, "value recomputed from the factors", proof.value, value, "another problem?", tolerance=1e-7)
    require(
        solution,
        proof.dual_norm >= norm * (1 - 1e-9),
        f"the dual matrix has norm {norm:.12g}, above the proved bound {proof.dual_norm:.12g}",
    )
    require(
        solution,
        proof.lower_bound <= bound + 1e-9 * max(abs(bound), abs(value)),
        f"the dual proves {bound:.12g}, less than the lower bound {proof.lower_bound:.12g} that is claimed",
    )
    if proof.alternative is not None:
        _check_alternative(solution, problem, alpha, power)


def _check_alternative(solution: Solution, problem: Problem, alpha: float, power: float) -> None:
    """Check that the other flat minimum is another one, and certify it with the same dual vector."""
    proof, X = solution.certificate, solution.matrix
    assert proof.alternative is not None
    other = problem.parametrization.matrix(proof.alternative)
    apart = float(np.linalg.norm(other - X)) / max(float(np.linalg.norm(X)), np.finfo(float).tiny)
    earned = certify(problem, proof.alternative, proof.dual, alpha=alpha, metric_power=power)
    require(
        solution,
        earned.holds and apart > 1e-6,
        f"the alternative is no other flat minimum: holds {earned.holds}, gap {earned.relative_gap:.2g}, residuals "
        f"{earned.relative_residual:.2g} and {earned.whitened_residual:.2g}, distance {apart:.2g}",
    )


def _dense_power(D: Array, power: float) -> tuple[Array, Array]:
    """Return ``D^p`` in the scale that keeps a penalty's meaning, and its pseudo-inverse."""
    values, Q = np.linalg.eigh(D)
    inside = values > len(values) * np.finfo(float).eps * max(values[-1], np.finfo(float).tiny)
    values = np.where(inside, values, 0)
    scaled = np.where(inside, values, 1) ** power * np.mean(values**2) ** ((1 - power) / 2) * inside
    inverse = np.divide(1, scaled, out=np.zeros_like(scaled), where=scaled > 0)
    return (Q * scaled) @ Q.conj().T, (Q * inverse) @ Q.conj().T


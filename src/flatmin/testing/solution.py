"""Checks of a solution."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.metric import Metric
from flatmin.losses import Absolute
from flatmin.parametrizations import Chain, Hadamard, Product
from flatmin.problem import Problem
from flatmin.proofs.certificate import LARGEST_CHANCE, LARGEST_GAP, LARGEST_RESIDUAL, LARGEST_WHITENED_RESIDUAL
from flatmin.solution import Solution, Status
from flatmin.solvers import certify
from flatmin.testing._checks import TOLERANCE, agree, require

__all__ = ["check_solution"]


def check_solution(solution: Solution, problem: Problem | None = None) -> None:
    """Check that a solution does not contradict itself and, given its problem, recompute its certificate.

    Value, residual and lower bound are computed again with plain dense NumPy from the problem, the factors and the dual
    vector alone.

    Parameters
    ----------
    solution : Solution
        From `flat_minimum`, or loaded from a file.
    problem : Problem, optional
        The problem it solves; small enough for a dense singular value decomposition of a d1×d2 matrix.

    Raises
    ------
    AssertionError
        If two numbers contradict each other; one sentence names them and the size of the difference.

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
    proof, flat = solution.checked_certificate, solution.flatness
    for name, F in zip(solution.parametrization.names, solution.factors, strict=True):
        require(solution, bool(np.isfinite(F).all()), f"{name} contains NaN or infinity")
    pair = solution.parametrization.pair(solution.factors)
    for F in pair if solution.parametrization.has_cone_norm else ():
        require(solution, F.shape[1] == solution.rank, f"there are {F.shape[1]} columns, expected {solution.rank}")
    for F, other, index in zip(pair, pair[::-1], solution.undetermined, strict=True):
        require(solution, not np.any(F[index] @ other.conj().T), "an undetermined row or column is not zero")
    gap = (proof.value - proof.lower_bound) / (proof.value or 1.0)
    cause = "relative_gap = (value − lower_bound) / value, of a value of 0 the difference"
    agree(solution, "relative_gap", proof.relative_gap, gap, cause, scale=1.0)
    small = proof.relative_residual <= LARGEST_RESIDUAL and proof.whitened_residual <= LARGEST_WHITENED_RESIDUAL
    fits = proof.objective == "penalised" or (small and proof.residual_reach <= LARGEST_GAP)
    earned = abs(proof.relative_gap) <= LARGEST_GAP and fits and proof.bound_kind != "estimated"
    require(solution, proof.holds == earned, f"holds is {proof.holds}, but its gap, residual and bound say {earned}")
    _check_chance(solution)
    status = solution.status
    require(solution, proof.holds or not status.certified, f"status {status.name} without a certificate that holds")
    unique = status is Status.unique_flat_minimum
    require(solution, not unique or proof.unique is True, f"status {status.name}, but unique is {proof.unique}")
    good = proof.unique is not True or (proof.holds and (proof.injectivity or 0) > 0 and (proof.margin or 0) > 0)
    require(solution, good, "unique is True without a positive injectivity and margin")
    if flat.fibre_minimum is None:
        return
    require(
        solution,
        flat.scaled_trace - flat.fibre_minimum >= -TOLERANCE * flat.scaled_trace,
        f"scaled_trace {flat.scaled_trace:.10g} is below fibre_minimum {flat.fibre_minimum:.10g}",
    )
    if "sparse" in solution.parts:
        costs = f"value {proof.value:.10g} is below the nuclear norm {flat.fibre_minimum / 4:.10g}"
        require(solution, proof.value >= flat.fibre_minimum / 4 * (1 - TOLERANCE), costs)
    elif solution.settings.get("metric_power", 1.0) == 1.0 and proof.objective == "interpolating":
        agree(solution, "value", proof.value, flat.fibre_minimum, "value = the minimum over the fibre", tolerance=1e-8)


def _rounding(problem: Problem, solution: Solution) -> float:
    """Return a bound on the rounding error of the norm of the residual, which a certificate adds to it."""
    P, Q = problem.parametrization.pair(solution.factors)
    reach = float(np.linalg.norm(P, axis=0) @ np.linalg.norm(Q, axis=0))
    terms = 2000 + P.shape[0] * Q.shape[0] + problem.measurement.size
    return float(np.finfo(float).eps * terms * reach * np.linalg.norm(problem.measurement.norms()))


def _check_chance(solution: Solution) -> None:
    """Check that probabilistic bounds state their probability of failure, and that other bounds state none."""
    proof = solution.checked_certificate
    likely, chance = "probabilistic" in (proof.bound_kind, proof.margin_kind), proof.failure_probability
    stated = chance is not None and 0 < chance <= LARGEST_CHANCE
    cause = f"a bound is probabilistic, with failure_probability {chance}, expected one of at most {LARGEST_CHANCE:g}"
    require(solution, stated or not likely, cause)
    require(solution, likely or chance is None, f"failure_probability is {chance}, but no bound is probabilistic")


def _check_proof(solution: Solution, problem: Problem) -> None:
    """Recompute value, residual and bound; the solution may claim less than the recomputed numbers, but not more."""
    proof, A, b = solution.checked_certificate, problem.measurement, problem.data
    alpha, power = (solution.settings.get(k, v) for k, v in (("alpha", 0.0), ("metric_power", 1.0)))
    X = solution.matrix
    residual = A.forward(X) - b
    size = float(np.linalg.norm(b))
    found = float(np.linalg.norm(residual)) / size if size else float(np.linalg.norm(residual))
    if problem.loss.has_gross_errors:
        found = _excess(problem.loss, residual) / (float(np.abs(b).sum()) or 1.0)
    rounding = 1e-12 + _rounding(problem, solution) / (size or 1.0)
    require(
        solution,
        -1e-3 * found - 1e-12 <= proof.relative_residual - found <= 1e-3 * found + rounding,
        f"the relative residual is {found:.3g}, the certificate says {proof.relative_residual:.3g}",
    )
    if problem.loss.has_gross_errors:
        value, norm, bound = _split_bound(problem, problem.loss, X, proof.dual)
    elif isinstance(problem.parametrization, Hadamard):
        value, norm, bound = _sparse_bound(problem, problem.parametrization, X, proof.dual, alpha)
    elif isinstance(problem.parametrization, Chain):
        value, norm, bound = _layered_bound(problem, problem.parametrization, X, proof.dual, alpha)
    else:
        value, norm, bound = _bound(problem, X, proof.dual, alpha, power)
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


def _bound(problem: Problem, X: Array, dual: Array, alpha: float, power: float) -> tuple[float, float, float]:
    """Return the value of X, the norm of the dual matrix and the lower bound, from their definitions."""
    A, b, model = problem.measurement, problem.data, problem.parametrization
    factor, hermitian = model.trace_factor, model.cone.is_hermitian
    over = (A.size, A.size) if hermitian else (A.size * A.shape[1], A.size * A.shape[0])
    roots = [_dense_power(np.asarray(Metric.root(S / n)), power) for S, n in zip(A.gram_diagonals(), over, strict=True)]
    nuclear = float(np.linalg.svd(roots[0][0] @ X @ roots[1][0], compute_uv=False).sum())
    S = roots[0][1] @ A.adjoint(dual) @ roots[1][1]
    norm = float(np.linalg.eigvalsh(S)[-1] if model.cone.is_semidefinite else np.linalg.norm(S, 2))
    scaled = dual / max(1.0, norm)
    value, bound = factor * nuclear, factor * float(b @ scaled)
    if alpha > 0:
        value = float(np.mean((A.forward(X) - b) ** 2)) + alpha * value
        strong = alpha * scaled
        bound = alpha * bound - factor**2 / 4 * A.size * float(strong @ strong)
    return value, norm, bound


def _excess(loss: Absolute, residual: Array) -> float:
    return 0.0 if loss.tau is None else max(0.0, float(np.abs(residual).sum()) - loss.tau)


def _split_bound(problem: Problem, loss: Absolute, X: Array, dual: Array) -> tuple[float, float, float]:
    """Return value, dual norm and bound for low rank and gross errors, from ``‖W‖_op`` and the largest entry of W."""
    A, b, weight = problem.measurement, problem.data, loss.weight_for(problem.shape)
    value = float(np.linalg.svd(X, compute_uv=False).sum())
    norm, largest = float(np.linalg.norm(A.adjoint(dual), 2)), float(np.max(np.abs(dual)))
    if weight is None:
        return value, norm, (float(b @ dual) - (loss.tau or 0.0) * largest) / max(1.0, norm)
    norm = max(norm, largest / weight)
    return value + weight * float(np.abs(A.forward(X) - b).sum()), norm, float(b @ dual) / max(1.0, norm)


def _sparse_bound(problem: Problem, model: Hadamard, X: Array, dual: Array, alpha: float) -> tuple[float, float, float]:
    """Return value, dual norm and bound for a product of N vectors, by Hölder's inequality and the Fenchel dual."""
    p, rows = 2 - 2 / model.depth, problem.measurement.matrices()[:, :, 0]
    weights = np.mean(rows**2, axis=0)
    value = 2 * model.depth * float(weights @ np.abs(X[:, 0]) ** p)
    seen = weights > 0
    s = np.abs(dual @ rows[:, seen]) * weights[seen] ** (-1 / p)
    if alpha > 0:
        norm = float(np.max(s, initial=0.0) if p == 1 else np.sum(s ** (p / (p - 1))) ** (1 - 1 / p))
        strength = 2 * model.depth * alpha
        conjugate = 0.0 if p == 1 else (p - 1) * float(np.sum((s / p) ** (p / (p - 1))))
        bound = _penalised(problem, strength * dual / (max(1.0, norm) if p == 1 else 1.0), strength * conjugate)
        return float(np.mean((problem.measurement.forward(X) - problem.data) ** 2)) + alpha * value, norm, bound
    if p == 1:
        norm = float(np.max(s, initial=0.0))
        return value, norm, 2 * model.depth * float(problem.data @ dual) / max(1.0, norm)
    norm = float(np.sum(s ** (p / (p - 1))) ** (1 - 1 / p))
    product = max(float(problem.data @ dual), 0.0) / norm if norm else 0.0
    return value, norm, 2 * model.depth * product**p


def _penalised(problem: Problem, y: Array, conjugate: float) -> float:
    """Return the Fenchel dual of a mean of squares plus a penalty: ``⟨b, y⟩ − (m/4) ‖y‖² − conjugate``."""
    return float(problem.data @ y) - len(y) / 4 * float(y @ y) - conjugate


def _layered_bound(problem: Problem, model: Chain, X: Array, dual: Array, alpha: float) -> tuple[float, float, float]:
    """Return value, dual norm and bound for a product of N matrices.

    If the metric is not isotropic, all three are those of a product of two matrices, with the factor ``√(d1 d2)``.
    """
    A, cells, depth = problem.measurement, X.size, model.depth
    if model.isotropy(problem.metric) is None:
        product = Problem(A, problem.data, Product())
        scale = float(np.sqrt(cells))
        value, norm, bound = _bound(product, X, dual, alpha * scale, 1.0)
        return (value, norm, bound) if alpha > 0 else (scale * value, norm, scale * bound)
    gamma = float(np.mean(A.norms() ** 2)) / cells
    norm = float(np.linalg.norm(A.adjoint(dual), 2)) / gamma
    if alpha > 0:
        p, strength = 2 - 2 / depth, 2 * depth * alpha * gamma * cells ** (1 / depth)
        value = float(np.mean((A.forward(X) - problem.data) ** 2)) + strength * float(np.linalg.norm(X, "nuc")) ** p
        if p == 1:
            return value, norm, _penalised(problem, strength * dual / max(1.0, gamma * norm), 0.0)
        conjugate = strength * (p - 1) * (gamma * norm / p) ** (p / (p - 1))
        return value, norm, _penalised(problem, strength * dual, conjugate)
    sizes = (float(np.linalg.norm(X, "nuc")), max(float(problem.data @ dual), 0.0) / (gamma * norm) if norm else 0.0)
    value, bound = (float(2 * depth * gamma * cells ** (1 / depth) * size ** (2 - 2 / depth)) for size in sizes)
    return value, norm, bound


def _check_alternative(solution: Solution, problem: Problem, alpha: float, power: float) -> None:
    """Check that the alternative differs from the solution, and certify it with the same dual vector."""
    proof, X = solution.checked_certificate, solution.matrix
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
    """Return ``D^p``, scaled to the units of D by the root mean square of D's eigenvalues, and its pseudo-inverse."""
    values, Q = np.linalg.eigh(D)
    inside = values > len(values) * np.finfo(float).eps * max(values[-1], np.finfo(float).tiny)
    values = np.where(inside, values, 0)
    scaled = np.where(inside, values, 1) ** power * np.mean(values**2) ** ((1 - power) / 2) * inside
    inverse = np.divide(1, scaled, out=np.zeros_like(scaled), where=scaled > 0)
    return (Q * scaled) @ Q.conj().T, (Q * inverse) @ Q.conj().T

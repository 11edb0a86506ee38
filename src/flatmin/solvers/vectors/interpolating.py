"""Solver for positive semidefinite matrices measured by vectors: it finds a fit and tries to prove it unique.

A proof of uniqueness is all that a certificate needs here, because all fits are equally flat.
"""

from dataclasses import replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin._core.threads import one_thread
from flatmin.measurements import Measurement
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import LARGEST_RESIDUAL, Certificate
from flatmin.proofs.cone_certificate import certificate_of, trivial_dual
from flatmin.solution import Solution
from flatmin.solvers.task import Task, status_of
from flatmin.solvers.vectors.amplitude_steps import Search, descend
from flatmin.solvers.vectors.amplitudes import root_mean_square
from flatmin.solvers.vectors.interpolation import interpolate
from flatmin.solvers.vectors.uniqueness_dual import uniqueness_dual

__all__ = ["another_interpolant", "interpolating_minimum", "prove_unique"]

#: Time limit of the search for a uniqueness dual, in seconds.
LONGEST_PROOF = 15.0
#: Largest number of entries of the factor for which a second solution is looked for.
LARGEST_SEARCH = 20_000
#: Smallest time limit of the search for a second solution, in seconds.
SHORTEST_SEARCH = 0.2
#: Time limit of the search for a second solution, as a multiple of the time that the first solution took.
SEARCH_SHARE = 1.0
#: Largest relative residual of a second solution.
SECOND_RESIDUAL = 1e-10
#: Largest number of Levenberg–Marquardt steps from each start of the search for a second solution.
SEARCH_STEPS = 96
#: Relative distance from which two solutions count as different.
DISTINCT_DISTANCE = 1e-3


def interpolating_minimum(task: Task, clock: Clock) -> Solution:
    """Return a positive semidefinite solution of ``⟨x_i x_i*, X⟩ = b_i`` with a proof of uniqueness if one is found.

    The data determine the trace ``tr(D X)``, so every solution is equally flat. If no proof is found, a second solution
    is looked for.
    """
    problem = task.problem
    with one_thread():
        limits = replace(task.limits, max_rank=task.max_rank, tol=min(task.limits.tol, LARGEST_RESIDUAL))
        found = interpolate(problem.whitened, problem.data, clock=clock, limits=limits, start=_start(task))
        factors, patience = _factors(problem, found.U), max(SHORTEST_SEARCH, SEARCH_SHARE * clock.seconds)
        if task.limits.time_limit is not None:
            patience = min(patience, max(0.0, task.limits.time_limit - clock.seconds))
        proof = prove_unique(problem, factors, task.limits.seed, patience if task.max_rank is None else 0.0)
    status = status_of(proof, clock, consistent=not found.optimal_misfit, converged=found.converged)
    return task.solution(clock, factors, proof, status, found.history)


def _start(task: Task) -> Array | None:
    """Return the factor of the warm start in whitened coordinates, or None if there is no warm start."""
    if task.warm_start is None:
        return None
    problem, given = task.problem, task.warm_start
    factors = problem.check(given.factors if isinstance(given, Solution) else given)
    return problem.metric[0] @ problem.parametrization.pair(factors)[0]


def _factors(problem: Problem, U: Array) -> Factors:
    """Return the flattest factors of the matrix that is ``U U*`` in whitened coordinates."""
    model = problem.parametrization
    return model.flattest(*model.cone.decompose(U, U), problem.metric)


def prove_unique(problem: Problem, factors: Factors, seed: int = 0, patience: float = 0.0) -> Certificate:
    """Return the certificate of a positive semidefinite solution, with the best proof of uniqueness that is found.

    Without such a proof, a second solution is looked for during at most ``patience`` seconds.
    """
    trivial = trivial_dual(problem)
    proof = certificate_of(problem, factors, trivial, seed=seed, look_further=False)
    if not proof.holds:
        return proof
    U, s, _ = problem.parametrization.singular(factors, problem.metric)
    U = U[:, s > 1e-13 * s.max(initial=0.0)]
    dual = uniqueness_dual(problem.whitened, U, seed=seed, time_limit=LONGEST_PROOF)
    if dual is not None:
        proof = certificate_of(problem, factors, trivial, uniqueness_dual=dual, seed=seed)
    if proof.unique is None and patience > 0 and proof.margin_kind is None and U.size <= LARGEST_SEARCH:
        known = problem.metric[0] @ problem.parametrization.pair(factors)[0]
        other = another_interpolant(problem.whitened, problem.data, known, clock=Clock(None, patience), seed=seed)
        alternative = None if other is None else _factors(problem, other)
        if alternative and certificate_of(problem, alternative, proof.dual, seed=seed, look_further=False).holds:
            return replace(proof, unique=False, alternative=alternative)
    return proof


def another_interpolant(
    measurement: Measurement, b: Array, U: Array, *, clock: Clock, seed: int = 0, attempts: int = 3
) -> Array | None:
    """Look for a second positive semidefinite matrix that fits the data, from random starts with many columns.

    Return the factor (d, k') of this matrix, or None if no attempt finds one. The relative residual of the matrix is at
    most 1e-10, and its relative distance from the known solution ``U U*`` is at least 1e-3.
    """
    d, b = measurement.shape[0], np.asarray(b, dtype=float)
    size = root_mean_square(b)
    if size == 0:
        return None
    search = Search(measurement, b / size, np.ones_like(b), clock, d)
    rng = np.random.default_rng(seed)
    enough = (k for k in range(1, d + 1) if search.freedom(k) >= measurement.size)
    width = min(next(enough, d) + 2, d)
    for _ in range(attempts):
        W = rng.standard_normal((d, width)).astype(measurement.dtype)
        if np.iscomplexobj(W):
            W = W + 1j * rng.standard_normal((d, width))
        point = descend(search, search.at(search.scaled(W)), SEARCH_STEPS)
        found = np.asarray(point.U * np.sqrt(size))
        if search.residual(point) <= SECOND_RESIDUAL and _distance(found, U) >= DISTINCT_DISTANCE:
            return found
        if clock.exhausted:
            break
    return None


def _distance(U: Array, W: Array) -> float:
    """Return ``‖UU* − WW*‖_F / ‖WW*‖_F`` from the small Gram matrices."""
    grams = np.array([np.linalg.norm(P.conj().T @ Q) ** 2 for P, Q in ((U, U), (W, W), (U, W))])
    return float(np.sqrt(np.maximum(grams @ [1, 1, -2], 0) / max(float(grams[1]), 1e-300)))

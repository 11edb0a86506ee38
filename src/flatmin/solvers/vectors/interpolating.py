"""Positive semidefinite matrices measured by vectors: every fit is flat, so the solver proves that it is unique."""

from dataclasses import replace

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin._core.threads import one_thread
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import LARGEST_RESIDUAL, Certificate
from flatmin.proofs.cone_certificate import certificate_of, trivial_dual
from flatmin.solution import Solution
from flatmin.solvers.task import Task, status_of
from flatmin.solvers.vectors.another_interpolant import another_interpolant
from flatmin.solvers.vectors.interpolation import interpolate
from flatmin.solvers.vectors.uniqueness_dual import uniqueness_dual

__all__ = ["interpolating_minimum", "prove_unique"]

#: Seconds for the improvement of a proof.
LONGEST_PROOF = 5.0
#: Number of unknowns up to which a second solution is searched.
LARGEST_SEARCH = 20_000
#: Least seconds of this search, and its time over that of the first solution.
SHORTEST_SEARCH = 0.2
SEARCH_SHARE = 1.0


def interpolating_minimum(task: Task, clock: Clock) -> Solution:
    """Return a positive semidefinite solution of ``⟨x_i x_i*, X⟩ = b_i`` and a proof of uniqueness, where there is one.

    The data determine the trace ``tr(D X)``, so every solution is as flat as any other. What matters is whether there
    are others: `flatmin.solvers.vectors.uniqueness_dual.uniqueness_dual` looks for the proof that there are none.
    Where it finds none, a second solution is looked for.
    """
    problem = task.problem
    with one_thread():
        found = interpolate(
            problem.whitened,
            problem.data,
            clock=clock,
            max_rank=task.max_rank,
            tol=min(task.limits.tol, LARGEST_RESIDUAL),
            seed=task.limits.seed,
            start=_start(task),
            callback=task.limits.callback,
        )
        factors, patience = _factors(problem, found.U), max(SHORTEST_SEARCH, SEARCH_SHARE * clock.seconds)
        if task.limits.time_limit is not None:
            patience = min(patience, max(0.0, task.limits.time_limit - clock.seconds))
        proof = prove_unique(problem, factors, task.limits.seed, patience if task.max_rank is None else 0.0)
    status = status_of(proof, clock, consistent=not found.optimal_misfit, converged=found.converged)
    return task.solution(clock, factors, proof, status, found.history)


def _start(task: Task) -> Array | None:
    """Return the whitened factor to start from, if there is one."""
    if task.warm_start is None:
        return None
    problem, given = task.problem, task.warm_start
    factors = problem.check(given.factors if isinstance(given, Solution) else given)
    return problem.metric[0] @ problem.parametrization.pair(factors)[0]


def _factors(problem: Problem, U: Array) -> Factors:
    """Return the factors of the matrix that is ``U U*`` in whitened coordinates."""
    model = problem.parametrization
    return model.flattest(*model.cone.decompose(U, U), problem.metric)


def prove_unique(problem: Problem, factors: Factors, seed: int = 0, patience: float = 0.0) -> Certificate:
    """Return the certificate of a positive semidefinite solution, with the best proof of uniqueness that is found.

    Where there is no such proof, a second solution is looked for as long as ``patience`` lasts, in seconds.
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
        proof = _with_alternative(problem, factors, proof, seed, patience)
    return proof


def _with_alternative(
    problem: Problem, factors: Factors, proof: Certificate, seed: int, patience: float
) -> Certificate:
    """Return the proof with ``unique`` False and another solution, if one is found that fits as well."""
    known = problem.metric[0] @ problem.parametrization.pair(factors)[0]
    other = another_interpolant(problem.whitened, problem.data, known, clock=Clock(None, patience), seed=seed)
    if other is None:
        return proof
    alternative = _factors(problem, other)
    judged = certificate_of(problem, alternative, proof.dual, seed=seed, look_further=False)
    return replace(proof, unique=False, alternative=alternative) if judged.holds else proof

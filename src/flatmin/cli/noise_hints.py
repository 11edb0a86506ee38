"""Hints that a solution may fit noise, with the option that allows for it, or that the data are too few."""

import numpy as np

from flatmin.families.phase_retrieval import why_undetermined
from flatmin.losses import Absolute
from flatmin.problem import Problem
from flatmin.proofs.cone_certificate import trace_is_determined
from flatmin.solution import Solution, Status

__all__ = ["data_hints", "noise_hints"]

#: A fit whose rank is at least this share of the largest possible rank looks like a fit of noise.
NEARLY_FULL = 0.8
#: Relative residual above which the fit at which a search ended looks like a fit of noisy intensities.
UNFIT_RESIDUAL = 1e-4


def data_hints(problem: Problem) -> list[str]:
    """Return what can be said before a solve: why diffraction patterns do not determine a signal."""
    reason = why_undetermined(problem.measurement)
    return [] if reason is None else [reason]


def noise_hints(problem: Problem, solution: Solution) -> list[str]:
    """Return sentences about a rank, or a misfit, that suggests noise."""
    out = _about_signal(solution) if "signal" in solution.parts and solution.rank > 1 else []
    if problem.loss.has_gross_errors:
        return out + _about_errors(problem, problem.loss, solution)
    fits = solution.status in (Status.unique_flat_minimum, Status.flat_minimum)
    if solution.status is Status.inconsistent_data and trace_is_determined(problem):
        why = "No positive semidefinite matrix fits the data exactly"
    elif _searches_for_a_fit(problem, solution):
        misfit = solution.checked_certificate.relative_residual
        why = f"No exact fit was found, and the best one leaves a relative residual of {misfit:.1e}, as noise would"
    elif fits or solution.status is Status.inconsistent_data:
        why = _too_large_a_rank(problem, solution, "exact" if fits else "best")
    else:
        why = ""
    if why:
        out.append(f"{why}; if the data are noisy, use --alpha auto, or a number.")
    return out + _about_noise(problem, solution)


def _about_signal(solution: Solution) -> list[str]:
    """Return what a rank above one says about a signal: noise adds columns to a penalised fit."""
    noise = solution.noise
    if noise is None or noise.rank != 1:
        return [f"The fit has rank {solution.rank}, so no single signal explains the data; its leading part is shown."]
    return [
        f"The intensities are noisy: noise adds {solution.rank - 1} columns to the penalised fit, whose leading part "
        "is shown. A single signal explains the data up to noise: the refit. In Python, PhaseRetrieval() returns it "
        "without waiting for the penalised fit."
    ]


def _searches_for_a_fit(problem: Problem, solution: Solution) -> bool:
    """Return whether a search for an exact fit to intensities ended at a limit, far from one."""
    proof = solution.checked_certificate
    exact = proof.objective == "interpolating" and trace_is_determined(problem)
    return exact and not solution.status.certified and proof.relative_residual > UNFIT_RESIDUAL


def _too_large_a_rank(problem: Problem, solution: Solution, fit: str) -> str:
    """Return why the rank suggests noise, or "". Exact fits of noise need a degree of freedom per measurement."""
    rank, m, largest = solution.rank, problem.measurement.size, _largest_rank(problem, solution)
    free = _freedom(problem, solution)
    if rank < 2 or largest < 3 or (fit == "exact" and free < m):
        return ""
    if rank >= NEARLY_FULL * largest:
        return f"The {fit} fit has rank {rank}, and the largest possible rank is {largest}"
    return f"The {fit} fit has rank {rank}, more degrees of freedom than the {m} measurements" if free > m else ""


def _largest_rank(problem: Problem, solution: Solution) -> int:
    return min(d - len(unseen) for d, unseen in zip(problem.shape, solution.undetermined, strict=True))


def _freedom(problem: Problem, solution: Solution) -> int:
    """Return the degrees of freedom of matrices of this rank on the measured rows and columns."""
    d1, d2 = (d - len(unseen) for d, unseen in zip(problem.shape, solution.undetermined, strict=True))
    is_complex = any(np.iscomplexobj(F) for F in solution.factors)
    return problem.parametrization.cone.degrees_of_freedom((d1, d2), solution.rank, is_complex)


def _about_noise(problem: Problem, solution: Solution) -> list[str]:
    noise = solution.noise
    if noise is None or noise.agrees or trace_is_determined(problem):
        return []
    return [
        f"The penalty finds rank {noise.penalised_rank} and the test of residuals {noise.rank}: the noise may have "
        "structure, or the matrix may have a low rank only nearly. Do not rely on the rank or the refit."
    ]


def _about_errors(problem: Problem, loss: Absolute, solution: Solution) -> list[str]:
    largest = _largest_rank(problem, solution)
    weight = loss.weight_for(problem.shape)
    if solution.rank < NEARLY_FULL * largest or largest < 3 or weight is None:
        return []
    return [
        f"The low-rank part has rank {solution.rank}, and the largest possible rank is {largest}. If the data are "
        f"noisy or have too many gross errors, a --weight below {weight:.2g} lowers the rank."
    ]

"""Variance stabilization: weights that give all counts the same noise, although variances differ like means."""

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin._core.threads import one_thread
from flatmin.errors import InputError
from flatmin.measurements import CodedDiffraction, RankOne
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.cone_certificate import trace_is_determined
from flatmin.solution import Noise
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.noise.pivotal import level_of_noise
from flatmin.solvers.noise.refit import least_squares, unscaled
from flatmin.solvers.task import Task
from flatmin.solvers.vectors.amplitude_steps import Search, descend

__all__ = ["StabilizedCounts", "stabilize_variance"]

#: Relative change of the weights at which they have settled.
SETTLED_CHANGE = 1e-2
#: Largest number of rounds, each with new weights and a new fit.
MAX_ROUNDS = 20
#: Number added to expected counts, in units of φ, because an expected count of zero is only an estimate.
DARK_COUNT = 0.5
#: Smallest unit φ, relative to the mean of the counts.
MIN_UNIT = 1e-6
#: Largest number of steps of a weighted fit.
WEIGHTED_STEPS = 25
#: Largest number of array entries for which the vectors of diffraction patterns are formed.
MAX_VECTORS = 4_000_000


@dataclass(frozen=True, eq=False)
class StabilizedCounts:
    """Counts with weights that give all of them the same noise.

    Attributes
    ----------
    problem : Problem
        The measurements and data times the weights, to be solved with ``alpha="auto"``. Then ``noise.sigma ** 2`` is φ,
        and ``noise.refit`` is close to the most likely matrix of its rank.
    weights : ndarray, shape (m,)
        The weights w, which are positive.
    factors : tuple of ndarray
        The fit from which the weights were computed; it is not certified.
    unit : float
        φ, the ratio of the variance of a count to its mean.
    std_error : float
        Standard error of `unit`.
    """

    problem: Problem
    weights: Array
    factors: Factors
    unit: float
    std_error: float


def stabilize_variance(
    problem: Problem,
    *,
    max_rank: int | None = None,
    max_iter: int | None = None,
    seed: int = 0,
    noise: Noise | None = None,
) -> StabilizedCounts:
    """Return a problem of counts with weights that give all counts the same noise.

    Counts y, in any unit, have the variance ``φ E y``, where φ is the unit: 1 for counts that are not rescaled. With
    weights w proportional to ``1 / (E y + φ/2)^½`` the noise of ``w ∘ y`` is even, and w is scaled so that the mean
    variance of ``w ∘ y`` is φ. The expectations E y come from a low-rank fit. Weights are computed from the fit, and
    the fit is computed with the weights, in turn. Least squares with these weights is Fisher scoring, so the result
    solves the likelihood equations of the Poisson distribution, except for the small constant φ/2. Unlike weights
    ``1/y``, these do not favour measurements that came out low by chance.

    Parameters
    ----------
    problem : Problem
        Measurements of a `Product`, `Gram` or `SignedGram` model with the loss `Squared`; the data are counts, or
        counts times a constant.
    max_rank : int, optional
        The largest rank of the fit from which the weights are computed; 1 is right in phase retrieval. The rank is
        found as in ``flat_minimum(problem, alpha="auto")``.
    max_iter : int, optional
        The largest number of steps.
    seed : int
        Seed of random choices.
    noise : Noise, optional
        The noise that ``alpha="auto"`` finds in the data without weights; it saves a search for the rank.

    Returns
    -------
    StabilizedCounts
        The weighted problem, the weights, the fit from which they are computed, and φ.

    Raises
    ------
    InputError
        If the model is not supported, the mean of the data is negative, or an argument is out of range.

    Notes
    -----
    The weights are a heuristic: the rank of the fit is found from data with uneven noise, and may be wrong. The
    certificate of a weighted problem is about the weighted loss.

    References
    ----------
    Wedderburn, "Quasi-likelihood functions, generalized linear models, and the Gauss-Newton method", Biometrika 61(3),
    1974.

    Examples
    --------
    >>> import numpy as np
    >>> import flatmin as fm
    >>> from flatmin.solvers import stabilize_variance
    >>> clean = fm.families.phase_retrieval.sample(20, 1, 200)
    >>> photons = np.random.default_rng(0).poisson(50 * clean.problem.data / clean.problem.data.mean())
    >>> found = stabilize_variance(fm.Problem(clean.problem.measurement, photons, fm.Gram()), max_rank=1)
    >>> noise = fm.flat_minimum(found.problem, alpha="auto").noise
    >>> noise.rank, bool(abs(found.unit - 1) < 3 * found.std_error)
    (1, True)
    """
    limits = Limits(max_rank=max_rank, max_iter=max_iter, seed=seed)
    task = Task(problem, limits=limits)
    problem.expect_convex("counts were given")
    if noise is not None and not isinstance(noise, Noise):
        raise InputError(f"noise is a {type(noise).__name__}, expected the noise of a Solution, or None")
    mean = float(np.mean(problem.data))
    if mean <= 0 and problem.data.any():
        raise InputError(f"the mean of the counts is {mean:.3g}, expected a positive one")
    weights = np.ones_like(problem.data)
    if noise is None:
        if mean > 0 and not isinstance(problem.measurement, CodedDiffraction):
            weights = _weights(np.maximum(problem.data, 0), mean)
        noise = level_of_noise(replace(task, problem=_weighted(problem, weights)), limits.start())
    if noise.rank == 0 or noise.sigma is None or noise.alpha == 0:  # exact data keep weights of one
        return _evened(problem, np.ones_like(weights) if noise.alpha == 0 else weights, noise.refit, noise.freedom)
    return _settled(problem, noise.refit, noise.freedom, limits)


def _settled(problem: Problem, factors: Factors, freedom: int, limits: Limits) -> StabilizedCounts:
    """Alternate between weights and fits, starting at given factors, until the weights have settled."""
    y, weights, clock = problem.data, np.ones_like(problem.data), limits.start()
    unit = mean = float(np.mean(y))
    for _ in range(MAX_ROUNDS):
        expected = _expected(problem, factors)
        for _ in range(MAX_ROUNDS):
            unit, before = max(_unit(y, expected, unit, freedom), MIN_UNIT * mean), unit
            if abs(unit - before) <= SETTLED_CHANGE * before:
                break
        found = _weights(expected, unit)
        change, weights = float(np.max(np.abs(np.log(found / weights)))), found
        if change <= SETTLED_CHANGE or clock.exhausted:
            break
        factors = _weighted_fit(problem, weights, factors, limits.seed, clock)
    return _evened(problem, weights, factors, freedom)


def _evened(problem: Problem, weights: Array, factors: Factors, freedom: int) -> StabilizedCounts:
    squares, free = (weights * problem.residual(factors)) ** 2, max(len(weights) - freedom, 1)
    unit, error = float(squares.sum() / free), float(squares.std() / np.sqrt(free))
    return StabilizedCounts(_weighted(problem, weights), weights, factors, unit, error)


def _expected(problem: Problem, factors: Factors) -> Array:
    return np.asarray(np.maximum(problem.data + problem.residual(factors), 0))


def _unit(y: Array, expected: Array, unit: float, freedom: int) -> float:
    """Return the mean square of weighted residuals: the next estimate of φ."""
    squares = (_weights(expected, unit) * (y - expected)) ** 2
    return float(np.sum(squares) / (len(y) - freedom))


def _weights(expected: Array, unit: float) -> Array:
    """Return the weights for expected counts, scaled so that the mean variance of weighted counts is the unit."""
    squares = 1 / (expected + DARK_COUNT * unit)
    return np.asarray(np.sqrt(squares / np.mean(squares * expected)))


def _weighted(problem: Problem, weights: Array) -> Problem:
    """Return the weighted problem. Small diffraction patterns become `RankOne`, a form that weights preserve."""
    A = problem.measurement
    if np.all(weights == 1):
        return problem
    if isinstance(A, CodedDiffraction) and A.size * A.shape[0] <= MAX_VECTORS:
        A = RankOne(A.vectors())
    return Problem(A.weighted(weights), weights * problem.data, problem.parametrization)


def _weighted_fit(problem: Problem, weights: Array, factors: Factors, seed: int, clock: Clock) -> Factors:
    """Return the weighted least-squares fit of the rank of given factors, with a very small penalty."""
    A = problem.measurement
    if trace_is_determined(problem):
        U = factors[0]
        search = Search(A, problem.data, weights, clock, U.shape[1])
        with one_thread():
            return (descend(search, search.at(U.astype(A.dtype)), WEIGHTED_STEPS, curved=True).U,)
    weighted = _weighted(problem, weights)
    scaled = Scaled.from_problem(weighted, 1.0, seed, weighted=False)
    x, _ = scaled.start(weighted, factors)
    left = float(np.linalg.norm(weighted.residual(factors))) / scaled.size
    with one_thread():
        end = least_squares(scaled, x, 1 / max(left, 1e-300), clock)
    return unscaled(weighted, scaled, end.x)

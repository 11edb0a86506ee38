"""Variance stabilization: weights that make the noise of counts even; their variance is proportional to their mean."""

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

#: Relative change of the weights at which they have settled, and the number of rounds of fits and weights.
SETTLED = 1e-2
MAX_ROUNDS = 20
#: Share of the unit added to expected counts, since an expectation of zero is not known exactly.
DARK = 0.5
#: Smallest unit, relative to the mean.
MIN_UNIT = 1e-6
#: Steps of a weighted fit.
STEPS = 25
#: Numbers up to which the vectors of diffraction patterns are formed.
MAX_VECTORS = 4_000_000


@dataclass(frozen=True, eq=False)
class StabilizedCounts:
    """Counted data with even noise.

    Attributes
    ----------
    problem : Problem
        The measurements and data times the weights: what to solve with ``alpha="auto"``. ``noise.sigma ** 2`` is then
        φ, and ``noise.refit`` close to the likeliest matrix of its rank.
    weights : ndarray, shape (m,)
        w, positive.
    factors : tuple of ndarray
        The fit behind the weights; it is not certified.
    unit : float
        φ: the variance of a count over its mean.
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
    """Return a problem of counts with weights that make its noise even.

    Counts y, in any unit, have the variance ``φ E y``, where φ is the unit: 1 for counts that are not rescaled. With
    weights w proportional to ``1 / (E y + φ/2)^½`` the noise of ``w ∘ y`` is even, and w is scaled so that its mean
    variance is φ. The expectation is that of a low-rank fit: weights are made of a fit and the fit with the weights, in
    turn. Least squares with these weights is Fisher scoring, so its fixed point solves the likelihood equations of the
    Poisson distribution, up to the small constant; unlike weights ``1/y`` these do not favour measurements that came
    out low.

    Parameters
    ----------
    problem : Problem
        Measurements of a `Product`, `Gram` or `SignedGram` model with the loss `Squared`; the data are counts, or
        counts times a constant.
    max_rank : int, optional
        The largest rank of the fit that weights are made of; 1 is right in phase retrieval. The rank is found as by
        ``flat_minimum(problem, alpha="auto")``.
    max_iter : int, optional
        The largest number of steps.
    seed : int
        Starts random choices.
    noise : Noise, optional
        The noise that ``alpha="auto"`` finds in the data without weights; it saves a search for the rank.

    Returns
    -------
    StabilizedCounts
        The weighted problem, the weights, the fit that they are made of, and φ.

    Raises
    ------
    InputError
        If the model is another one, the data are negative on the whole, or an argument is out of range.

    Notes
    -----
    The weights are a heuristic, in that they use a fit at a rank that noise of unequal variance may mislead; the
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
    mean = float(np.mean(problem.data))
    if mean <= 0 and problem.data.any():
        raise InputError(f"the mean of the counts is {mean:.3g}, expected a positive one")
    weights = np.ones_like(problem.data)
    if noise is None:
        if mean > 0 and not isinstance(problem.measurement, CodedDiffraction):
            weights = _weights(np.maximum(problem.data, 0), mean)
        noise = level_of_noise(replace(task, problem=_weighted(problem, weights)), limits.start())
    if noise.rank == 0 or noise.sigma is None:
        return _evened(problem, weights, noise.refit, noise.freedom)
    return _settled(problem, noise.refit, noise.freedom, limits)


def _settled(problem: Problem, factors: Factors, freedom: int, limits: Limits) -> StabilizedCounts:
    """Return weights that belong to a fit with these weights, from a fit nearby."""
    y, weights, clock = problem.data, np.ones_like(problem.data), limits.start()
    unit = mean = float(np.mean(y))
    for _ in range(MAX_ROUNDS):
        expected = _expected(problem, factors)
        for _ in range(MAX_ROUNDS):
            unit, before = max(_unit(y, expected, unit, freedom), MIN_UNIT * mean), unit
            if abs(unit - before) <= SETTLED * before:
                break
        found = _weights(expected, unit)
        change, weights = float(np.max(np.abs(np.log(found / weights)))), found
        if change <= SETTLED or clock.exhausted:
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
    """Return weights with which the mean variance of counts is that of one unit."""
    squares = 1 / (expected + DARK * unit)
    return np.asarray(np.sqrt(squares / np.mean(squares * expected)))


def _weighted(problem: Problem, weights: Array) -> Problem:
    """Return the weighted problem; small diffraction patterns by vectors, which keep their structure under weights."""
    A = problem.measurement
    if np.all(weights == 1):
        return problem
    if isinstance(A, CodedDiffraction) and A.size * A.shape[0] <= MAX_VECTORS:
        A = RankOne(A.vectors())
    return Problem(A.weighted(weights), weights * problem.data, problem.parametrization)


def _weighted_fit(problem: Problem, weights: Array, factors: Factors, seed: int, clock: Clock) -> Factors:
    """Return the least-squares fit with weights at the rank of factors nearby, with hardly a penalty."""
    A = problem.measurement
    if trace_is_determined(problem):
        U = factors[0]
        search = Search(A, problem.data, weights, clock, U.shape[1])
        with one_thread():
            return (descend(search, search.at(U.astype(A.dtype)), STEPS, curved=True).U,)
    weighted = _weighted(problem, weights)
    scaled = Scaled.from_problem(weighted, 1.0, seed, weighted=False)
    x, _ = scaled.start(weighted, factors)
    left = float(np.linalg.norm(weighted.residual(factors))) / scaled.size
    with one_thread():
        end = least_squares(scaled, x, 1 / max(left, 1e-300), clock)
    return unscaled(weighted, scaled, end.x)

"""Least squares over positive semidefinite matrices of any rank for measurements ``x_i x_i*``.

Phase retrieval and covariance estimation are such problems. The measurements of ``X = U U*`` are ``|U* x_i|²``, and
every fit is equally flat; `flatmin.solvers.vectors.uniqueness_dual` proves uniqueness.
"""

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.linalg.metric import Metric
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import CodedDiffraction, Measurement
from flatmin.solvers.vectors.amplitude_loss import amplitude_start
from flatmin.solvers.vectors.amplitude_steps import SLOW_DESCENT, SLOW_STEP, Point, Search, descend
from flatmin.solvers.vectors.amplitudes import root_mean_square, row_inner

__all__ = ["Interpolation", "InterpolationSchedule", "interpolate"]


@dataclass(frozen=True)
class InterpolationSchedule:
    """Settings of the search: when descents pause, how the number of columns changes, and when the search ends."""

    stride: int = 12  #: Number of Levenberg–Marquardt steps between two inspections of the singular values.
    trial_steps: int = 25  #: Number of steps at a truncated rank, and in each round of the search for the least misfit.
    fit_residual: float = 1e-10  #: Largest relative residual at which a smaller rank is accepted.
    min_drop: float = 1.5  #: Smallest ratio of neighbouring singular values between which a factor is truncated.
    patience: int = 3  #: Number of slow descents in a row after which the search for a fit ends.
    #: In the search for a fit, each squared residual is divided by its intensity plus this share of the mean intensity.
    floor: float = 0.03
    #: The search for a fit ends if no matrix can reduce the squared misfit by more than this share.
    hopeless: float = 0.5
    #: The search for the least misfit ends if no matrix can reduce the squared misfit by more than this share.
    optimal: float = 1e-6
    #: If the misfit no longer falls, the search for the least misfit ends already at this share, because rounding can
    #: hide smaller shares.
    optimal_if_stalled: float = 1e-2
    max_rounds: int = 40  #: Largest number of rounds of the search for the least misfit, each of which adds columns.
    negligible: float = 1e-5  #: Relative singular value below which the search for the least misfit removes a column.
    #: A direction of descent is appended if its negative eigenvalue is at least this share of the lowest eigenvalue.
    steep: float = 0.3
    largest_dense: int = 1500  #: Largest dimension in which eigenvectors are computed from a dense array.


SCHEDULE = InterpolationSchedule()
#: Limits of a search for which none are given.
DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class Interpolation:
    """The result of a search for ``U`` with ``A(U U*) = b``.

    The columns of U are orthogonal and not zero; ``residual`` is ``‖A(U U*) − b‖ / ‖b‖``, 0 for zero data. If
    ``optimal_misfit`` is true, no positive semidefinite matrix fits, and U has nearly the least residual: convexity
    proves that the squared residual of any other matrix is smaller by at most 1 % (in most cases, by at most 1e-6 of
    it).
    """

    U: Array
    residual: float
    converged: bool
    optimal_misfit: bool
    history: dict[str, list[float]]


def interpolate(
    measurement: Measurement,
    b: Array,
    *,
    clock: Clock,
    limits: Limits = DEFAULT_LIMITS,
    start: Array | None = None,
    width: int = 1,
) -> Interpolation:
    """Find a positive semidefinite ``X = U U*`` with ``A(X) = b``, or the one that fits best.

    docs/theory/algorithms.md explains the search ("Measurements by vectors: a fit"). The measurement has
    ``is_rank_one``; the search converges faster if it is whitened. Negative data are kept, though no matrix fits them.
    A fit has a relative residual of at most ``limits.tol``, which further steps reduce to rounding errors. The search
    starts at the factor ``start`` (d, k), or else at ``width`` leading eigenvectors.
    """
    d, tol, seed = measurement.shape[0], limits.tol, limits.seed
    b = np.asarray(b, dtype=float)
    size, blind = root_mean_square(b), not measurement.traces().any()
    if size == 0 or blind:
        return Interpolation(np.zeros((d, 0), measurement.dtype), float(size > 0), size == 0, size > 0, {})
    data = b / size
    weights = np.sqrt(1 / (np.maximum(data, 0) / np.mean(np.abs(data)) + SCHEDULE.floor))
    search = Search(measurement, data, weights, clock, min(limits.max_rank or d, d), limits.callback)
    if start is None:
        start = _spectral_start(search, min(width, search.max_rank), seed)
    else:
        start = np.asarray(start, measurement.dtype) / np.sqrt(size)
    point, least = _fit(search, search.at(start), tol, seed), False
    if search.residual(point) > tol and not clock.exhausted:
        search = replace(search, weights=np.ones_like(data))
        point, least = _least_misfit(search, search.at(point.U), seed)
    U, s, _ = np.linalg.svd(point.U, full_matrices=False)
    keep = s > np.sqrt(EPS) * s.max(initial=0.0)
    point = search.at(U[:, keep] * s[keep])
    residual = search.residual(point)
    return Interpolation(point.U * np.sqrt(size), residual, residual <= tol, least and residual > tol, search.history)


def _spectral_start(search: Search, width: int, seed: int) -> Array:
    """Return the leading eigenvectors of ``A*(T(b))``, scaled to fit the data best. T limits large intensities."""
    A, b = search.measurement, search.b
    d = A.shape[0]
    energy = A.traces()
    if isinstance(A, CodedDiffraction) and width == 1 and A.size >= 2 * d and energy.any():
        return search.scaled(amplitude_start(A, b, search.clock, seed))
    intensity = np.divide(np.maximum(b, 0), energy, out=np.zeros_like(b), where=energy > 0)
    if not intensity.any():
        return np.zeros((d, 0), A.dtype)
    intensity /= intensity.mean()
    tempered = (intensity - 1) / (intensity + max(np.sqrt(A.size / d) - 1, 0.1))
    weights = np.divide(-tempered, energy, out=np.zeros_like(b), where=energy > 0)
    values, vectors = _lowest(A, weights, width, Metric(np.ones(d)), seed)
    return search.scaled(vectors * np.sqrt(np.maximum(-values, 0.1 * abs(values[0]))))


def _fit(search: Search, point: Point, tol: float, seed: int) -> Point:
    """Descend, remove and add columns until the data are fitted, or a fit is proved impossible or seems unlikely."""
    stalls, before = 0, np.inf
    while True:  # each round either reduces the least misfit so far by a fixed share, or is one of few stalls in a row
        before = min(before, point.misfit)
        point = descend(search, point, SCHEDULE.stride)
        if search.residual(point) <= tol:
            point = descend(search, point, 2 * SCHEDULE.stride)
            return _truncate(search, point, max(SCHEDULE.fit_residual, 2 * search.residual(point))) or point
        shorter = _truncate(search, point, SCHEDULE.fit_residual)
        if shorter is not None or search.clock.exhausted:
            return shorter or point
        if point.U.shape[1] and point.misfit < SLOW_DESCENT * before:
            continue
        stalls = 0 if point.misfit <= SLOW_STEP * before else stalls + 1
        lowest, grown = _grow(search, point, seed)
        if stalls == SCHEDULE.patience or _avoidable(search, point, lowest) <= SCHEDULE.hopeless:
            return point
        point = grown


def _least_misfit(search: Search, point: Point, seed: int) -> tuple[Point, bool]:
    """Minimise the misfit over all positive semidefinite matrices, and say whether a proof shows that it is least."""
    before = np.inf
    for _ in range(SCHEDULE.max_rounds):
        point = descend(search, point, SCHEDULE.trial_steps, curved=True)
        U, s, _ = np.linalg.svd(point.U, full_matrices=False)
        keep = s > SCHEDULE.negligible * s.max(initial=0.0)
        if not keep.all():
            point = search.at(U[:, keep] * s[keep])
        lowest, grown = _grow(search, point, seed)
        share = _avoidable(search, point, lowest)
        stalled = point.misfit > (1 - SCHEDULE.optimal) * before
        if share <= SCHEDULE.optimal or (share <= SCHEDULE.optimal_if_stalled and stalled):
            return point, True
        if search.clock.exhausted:
            break
        point, before = grown, point.misfit
    return point, False


def _truncate(search: Search, point: Point, enough: float) -> Point | None:
    """Return a fit at a smaller rank, or None; the two ranks after which the singular values drop most are tried.

    Matrices of these ranks must have fewer degrees of freedom than there are data, so that a fit is no coincidence.
    """
    U, s, _ = np.linalg.svd(point.U, full_matrices=False)
    drops = s[:-1] / np.maximum(s[1:], 1e-300)
    for rank in sorted(np.argsort(-drops)[:2] + 1):
        if drops[rank - 1] >= SCHEDULE.min_drop and search.freedom(rank) < search.measurement.size:
            trial = descend(search, search.at(U[:, :rank] * s[:rank]), SCHEDULE.trial_steps)
            if search.residual(trial) <= enough:
                return trial
    return None


def _grow(search: Search, point: Point, seed: int) -> tuple[float, Point]:
    """Append columns along the steepest directions of descent, each with its best length, up to the largest rank.

    Return the lowest eigenvalue of ``A*(wr)`` in the metric, and the new point.
    """
    count = max(1, min(point.U.shape[1], search.max_rank - point.U.shape[1]))
    values, vectors = _lowest(search.measurement, search.weights * point.r, count, search.whitening, seed)
    steep = values < min(SCHEDULE.steep * values[0], 0.0)
    for v in vectors[:, steep].T[: search.max_rank - point.U.shape[1]]:
        w = search.measurement.amplitudes(v[:, None])
        q = search.weights * row_inner(w, w)
        square = -float(point.r @ q) / max(float(q @ q), 1e-300)
        if square > 0 and search.measures(v[:, None], w):
            length = np.sqrt(square)
            U, V = np.hstack([point.U, length * v[:, None]]), np.hstack([point.V, length * w])
            point = Point(U, V, point.r + square * q)
    return float(values[0]), point


def _lowest(A: Measurement, y: Array, count: int, whitening: Metric, seed: int) -> tuple[Array, Array]:
    """Return the lowest eigenvalues of ``D^-½ A*(y) D^-½`` and ``D^-½`` times their eigenvectors."""
    d = A.shape[0]
    S = A.adjoint_operator(y)
    if not isinstance(S, np.ndarray) and d <= count + 1:
        S = S.toarray()  # Lanczos iterations need a larger dimension
    if isinstance(S, np.ndarray) and d <= SCHEDULE.largest_dense:
        from scipy.linalg import eigh

        values, vectors = eigh((whitening @ S) @ whitening, subset_by_index=[0, count - 1])
        return values, whitening @ vectors
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    operator = LinearOperator((d, d), matvec=lambda x: whitening @ (S @ (whitening @ x)), dtype=A.dtype)
    start = np.random.default_rng(seed).standard_normal(d).astype(A.dtype)
    try:
        values, vectors = eigsh(operator, k=count, which="SA", v0=start, tol=1e-6)
    except ArpackNoConvergence as stopped:
        values, vectors = stopped.eigenvalues.real, stopped.eigenvectors
    if not len(values):  # nothing is known: no direction, and no proof
        return np.array([-np.inf]), np.zeros((d, 1), A.dtype)
    return values, whitening @ vectors


def _avoidable(search: Search, point: Point, lowest: float) -> float:
    """Return an upper bound on the share of the squared misfit by which any positive semidefinite matrix can reduce it.

    docs/theory/algorithms.md derives it ("No fit"), with ``S = A*(wr)`` and its lowest eigenvalue in the metric.
    """
    energy = search.measurement.traces()
    excess = float(np.linalg.norm(energy / search.weights)) * point.misfit
    trace = (float(energy @ search.b) + excess) / len(energy)
    slope = abs(float(point.r @ (point.r + search.weights * search.b)))
    return (slope + max(0.0, -lowest * trace)) / max(point.misfit**2 / 2, 1e-300)

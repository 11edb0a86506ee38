"""Least squares over positive semidefinite matrices for measurements ``x_i x_i*``, of any rank.

A matrix ``X = U U*`` measures as ``|U* x_i|²``: phase retrieval and covariance estimation. Every positive semidefinite
matrix that fits such data is flat, so all there is to find is a fit; whether it is the only one is another question
(`flatmin.solvers.uniqueness_dual`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin.measurements import CodedDiffraction, Measurement
from flatmin.metric import Array, Metric
from flatmin.solvers.amplitude_loss import amplitude_start
from flatmin.solvers.newton import Budget

__all__ = ["Interpolation", "another_interpolant", "interpolate"]

EPS = float(np.finfo(float).eps)

#: A smaller rank that fits to this relative residual is taken.
FIT = 1e-10
#: No step is taken below this one.
ROUNDING = 1e-15
#: Steps between two looks at the spectrum of the solution …
STRIDE = 12
#: … and the steps granted to a truncated one.
TRIAL = 25
#: A descent that leaves more than this share of the misfit needs more columns …
SLOW_DESCENT = 0.3
#: … and one whose last three steps leave more than this is over.
SLOW_STEP = 0.9
#: A step after one that left more than this share also uses the curvature of the measurements.
CURVED = 0.5
#: Conjugate gradient steps a step may take.
MAX_PRODUCTS = 150
#: So many slow descents in a row end the search for a fit.
PATIENCE = 3
#: Singular values drop at least by this factor where a solution is truncated.
DROP = 1.5
#: Smaller singular values, relatively, are those of columns that are not needed.
NEGLIGIBLE = 1e-5
#: Rounds of growth towards the least misfit.
ROUNDS = 40
#: Directions of descent are appended whose eigenvalue reaches this share of the lowest one.
STEEP = 0.3
#: Squared residuals are divided by the intensity plus this share of its mean, as long as a fit is to be hoped for …
FLOOR = 0.03
#: … which ends when the squared misfit is proved to keep more than this share.
UNFIT = 0.5
#: The search for the least misfit ends when the squared misfit could fall by no more than this share …
OPTIMAL = 1e-6
#: … and where it makes no more progress, this one proves the misfit least: rounding can hide what is smaller.
PROVED = 1e-2
#: Up to this dimension eigenvectors are those of an array.
DENSE = 1500
#: Interpolants at a smaller relative distance are not told apart.
DISTINCT = 1e-3


@dataclass(frozen=True, eq=False)
class Interpolation:
    """The end of a search for ``U`` with ``A(U U*) = b``.

    Attributes
    ----------
    U : ndarray, shape (d, k)
        The factor, its columns orthogonal and of full rank; real where the measurement is.
    residual : float
        ``‖A(U U*) − b‖ / ‖b‖``; 0 for zero data.
    converged : bool
        Whether the residual is at most the tolerance.
    optimal_misfit : bool
        Whether no positive semidefinite matrix fits: U is the least-squares optimum, and convexity proves that no other
        squared residual is smaller by more than one percent (and mostly by more than a millionth).
    history : dict of list
        iteration, seconds, residual and rank at every step.
    """

    U: Array
    residual: float
    converged: bool
    optimal_misfit: bool
    history: dict[str, list[float]]


@dataclass(frozen=True, eq=False)
class _Point:
    """A factor U, its amplitudes ``x_i* U`` and weighted residuals ``w_i (|x_i* U|² − b_i)``."""

    U: Array
    V: Array
    r: Array

    @property
    def misfit(self) -> float:
        return float(np.linalg.norm(self.r))


@dataclass(frozen=True, eq=False)
class _Search:
    """The measurements and data, times weights; the limits, and the record that all steps share."""

    measurement: Measurement
    b: Array
    weights: Array
    budget: Budget
    max_rank: int
    callback: Callable[[dict[str, float]], Any] | None = None
    history: dict[str, list[float]] = field(default_factory=dict)

    @cached_property
    def norm(self) -> float:
        """The norm of the weighted data."""
        return float(np.linalg.norm(self.weights * self.b))

    def residual(self, point: _Point) -> float:
        """Return ``‖A(UU*) − b‖ / ‖b‖``, without weights."""
        return float(np.linalg.norm(point.r / self.weights) / np.linalg.norm(self.b))

    def at(self, U: Array, V: Array | None = None) -> _Point:
        V = self.measurement.amplitudes(U) if V is None else V
        return _Point(U, V, self.weights * (_inner(V, V) - self.b))

    def record(self, point: _Point) -> None:
        now = {
            "iteration": self.budget.iterations,
            "seconds": self.budget.seconds,
            "residual": self.residual(point),
            "rank": point.U.shape[1],
        }
        for name, value in now.items():
            self.history.setdefault(name, []).append(value)
        if self.callback is not None:
            self.callback(now)

    @cached_property
    def whitening(self) -> Metric:
        """The root ``D^-½`` of the metric ``D = Σ A_i² / m``."""
        return Metric.root(self.measurement.gram_diagonals()[0] / self.measurement.size).power(-1)

    @cached_property
    def pixels(self) -> Array:
        """What the metric is to every coordinate where it is diagonal, shape (d, 1), inverted; else one."""
        if not isinstance(self.measurement, CodedDiffraction):
            return np.ones((1, 1))
        square = self.whitening.values[:, None] ** 2
        return np.asarray(square / square.max())

    def freedom(self, rank: int) -> int:
        """Return the dimension of the positive semidefinite matrices of a rank."""
        d = self.measurement.shape[0]
        if np.issubdtype(self.measurement.dtype, np.complexfloating):
            return 2 * d * rank - rank**2
        return d * rank - rank * (rank - 1) // 2


def interpolate(
    measurement: Measurement,
    b: Array,
    *,
    budget: Budget,
    max_rank: int | None = None,
    tol: float = 1e-8,
    seed: int = 0,
    start: Array | None = None,
    callback: Callable[[dict[str, float]], Any] | None = None,
    width: int | None = None,
) -> Interpolation:
    """Find a positive semidefinite ``X = U U*`` with ``A(X) = b``, or the one that fits best.

    The search starts narrow, at the leading eigenvectors of ``A*(T(b))``, and descends by Levenberg–Marquardt steps.
    Where it stalls, it truncates where the spectrum of U drops, and failing that, appends eigenvectors of negative
    eigenvalues of ``A*(A(X) − b)``, along which the misfit decreases. Where there are none the misfit is the least of
    all positive semidefinite matrices: the problem is convex in X.

    Parameters
    ----------
    measurement : Measurement
        A map with ``is_rank_one``; whitened maps converge faster.
    b : ndarray, shape (m,)
        The data; negative values cannot be fitted and are taken as they are.
    budget : Budget
        Limits, and the count of steps.
    max_rank : int, optional
        The largest number of columns.
    tol : float
        A relative residual up to this one counts as a fit; fits are polished to rounding.
    seed : int
        Starts the Lanczos iterations, where there are any.
    start : ndarray, shape (d, k), optional
        A factor to start from.
    callback : callable, optional
        Called after every step with a dict of iteration, seconds, residual and rank.
    width : int, optional
        The number of columns to start with, 1 unless told.

    Returns
    -------
    Interpolation
        Factor, residual and what is known about the misfit.

    Examples
    --------
    >>> from flatmin.measurements import RankOne
    >>> rng = np.random.default_rng(0)
    >>> A, s = RankOne(rng.standard_normal((40, 8))), rng.standard_normal((8, 1))
    >>> found = interpolate(A, A.forward_factors(s, s), budget=Budget())
    >>> found.converged, found.U.shape, bool(np.allclose(found.U @ found.U.T, s @ s.T))
    (True, (8, 1), True)
    """
    d = measurement.shape[0]
    b = np.asarray(b, dtype=float)
    size, blind = _size(b), not measurement.traces().any()
    if size == 0 or blind:
        return Interpolation(np.zeros((d, 0), measurement.dtype), float(size > 0), size == 0, size > 0, {})
    data = b / size
    weights = np.sqrt(1 / (np.maximum(data, 0) / np.mean(np.abs(data)) + FLOOR))
    search = _Search(measurement, data, weights, budget, min(max_rank or d, d), callback)
    if start is None:
        start = _spectral_start(search, min(width or 1, search.max_rank), seed)
    else:
        start = np.asarray(start, measurement.dtype) / np.sqrt(size)
    point, least = _fit(search, search.at(start), tol, seed), False
    if search.residual(point) > tol and not budget.exhausted:
        search = replace(search, weights=np.ones_like(data))
        point, least = _least_misfit(search, search.at(point.U), seed)
    U, s = _spectrum(point.U)
    keep = s > np.sqrt(EPS) * s.max(initial=0.0)
    point = search.at(U[:, keep] * s[keep])
    residual = search.residual(point)
    return Interpolation(point.U * np.sqrt(size), residual, residual <= tol, least and residual > tol, search.history)


def another_interpolant(
    measurement: Measurement, b: Array, U: Array, *, budget: Budget, seed: int = 0, attempts: int = 3
) -> Array | None:
    """Look for a second positive semidefinite matrix that fits the data, from wide random starts.

    Parameters
    ----------
    measurement : Measurement
        A map with ``is_rank_one``.
    b : ndarray, shape (m,)
        The data.
    U : ndarray, shape (d, k)
        The factor of the known interpolant.
    budget : Budget
        Limits, and the count of steps.
    seed : int
        Draws the starts.
    attempts : int
        How many starts to try.

    Returns
    -------
    ndarray or None
        A factor (d, k') that fits to a relative residual of 1e-10 and whose matrix lies at a relative distance of at
        least 1e-3 from ``U U*``, or None where none was found.

    Examples
    --------
    >>> from flatmin.measurements import RankOne
    >>> rng = np.random.default_rng(0)
    >>> A, s = RankOne(rng.standard_normal((12, 8))), rng.standard_normal((8, 1))
    >>> W = another_interpolant(A, A.forward_factors(s, s), s, budget=Budget())
    >>> bool(np.allclose(A.forward_factors(W, W), A.forward_factors(s, s))), np.allclose(W @ W.T, s @ s.T)
    (True, False)
    """
    d, b = measurement.shape[0], np.asarray(b, dtype=float)
    size = _size(b)
    if size == 0:
        return None
    search = _Search(measurement, b / size, np.ones_like(b), budget, d)
    rng = np.random.default_rng(seed)
    enough = (k for k in range(1, d + 1) if search.freedom(k) >= measurement.size)
    width = min(next(enough, d) + 2, d)
    for _ in range(attempts):
        W = rng.standard_normal((d, width)).astype(measurement.dtype)
        if np.iscomplexobj(W):
            W = W + 1j * rng.standard_normal((d, width))
        point = _descend(search, search.at(_scaled(search, W)), 8 * STRIDE)
        found = np.asarray(point.U * np.sqrt(size))
        if search.residual(point) <= FIT and _distance(found, U) >= DISTINCT:
            return found
        if budget.exhausted:
            break
    return None


def _spectral_start(search: _Search, width: int, seed: int) -> Array:
    """Return the leading eigenvectors of ``A*(T(b))``, where T tempers large intensities, scaled to fit best."""
    A, b = search.measurement, search.b
    d = A.shape[0]
    energy = A.traces()
    if isinstance(A, CodedDiffraction) and width == 1 and A.size >= 2 * d and energy.any():
        return _scaled(search, amplitude_start(A, b, search.budget, seed))
    intensity = np.divide(np.maximum(b, 0), energy, out=np.zeros_like(b), where=energy > 0)
    if not intensity.any():
        return np.zeros((d, 0), A.dtype)
    intensity /= intensity.mean()
    tempered = (intensity - 1) / (intensity + max(np.sqrt(A.size / d) - 1, 0.1))
    weights = np.divide(-tempered, energy, out=np.zeros_like(b), where=energy > 0)
    values, vectors = _lowest(A, weights, width, Metric(np.ones(d)), seed)
    return _scaled(search, vectors * np.sqrt(np.maximum(-values, 0.1 * abs(values[0]))))


def _scaled(search: _Search, U: Array) -> Array:
    """Return the multiple of U that fits best, without columns if that is zero."""
    V = search.measurement.amplitudes(U)
    q = search.weights * _inner(V, V)
    square = float(q @ (search.weights * search.b)) / max(float(q @ q), 1e-300)
    return np.asarray(np.sqrt(square) * U if square > 0 else U[:, :0])


def _fit(search: _Search, point: _Point, tol: float, seed: int) -> _Point:
    """Descend, truncate and grow until the data are fitted, or no more is to be hoped for."""
    stalls = 0
    while True:
        before = point.misfit
        point = _descend(search, point, STRIDE)
        if search.residual(point) <= tol:
            point = _descend(search, point, 2 * STRIDE)
            return _truncate(search, point, max(FIT, 2 * search.residual(point))) or point
        shorter = _truncate(search, point, FIT)
        if shorter is not None or search.budget.exhausted:
            return shorter or point
        if point.U.shape[1] and point.misfit < SLOW_DESCENT * before:
            continue
        stalls = stalls + 1 if point.misfit > SLOW_STEP * before else 0
        lowest, grown = _grow(search, point, seed)
        if stalls == PATIENCE or _avoidable(search, point, lowest) <= UNFIT:
            return point
        point = grown


def _least_misfit(search: _Search, point: _Point, seed: int) -> tuple[_Point, bool]:
    """Minimise the misfit over all positive semidefinite matrices; say whether it is proved least."""
    before = np.inf
    for _ in range(ROUNDS):
        point = _descend(search, point, TRIAL, curved=True)
        U, s = _spectrum(point.U)
        keep = s > NEGLIGIBLE * s.max(initial=0.0)
        if not keep.all():
            point = search.at(U[:, keep] * s[keep])
        lowest, grown = _grow(search, point, seed)
        share = _avoidable(search, point, lowest)
        stalled = point.misfit > (1 - OPTIMAL) * before
        if share <= OPTIMAL or (share <= PROVED and stalled):
            return point, True
        if search.budget.exhausted:
            break
        point, before = grown, point.misfit
    return point, False


def _descend(search: _Search, point: _Point, steps: int, curved: bool = False) -> _Point:
    """Take Levenberg–Marquardt steps, each to the minimiser of the quartic along it, until they become slow.

    Where a misfit will remain, the steps are Newton's (``curved``), and go on until they change nothing.
    """
    shares: list[float] = []
    slow = 1 - OPTIMAL**2 if curved else SLOW_STEP
    for _ in range(steps):
        if search.budget.exhausted or point.misfit <= ROUNDING * search.norm or not point.U.shape[1]:
            break
        direction = _step(search, point, curved or (len(shares) > 0 and shares[-1] > CURVED))
        moved = _line_search(search, point, direction)
        search.budget.iterations += 1
        shares.append(moved.misfit / point.misfit)
        if not shares[-1] < 1:
            break
        point = moved
        search.record(point)
        rounded = point.misfit <= 1e-13 * search.norm and shares[-1] > SLOW_DESCENT
        if rounded or (min(shares[-3:]) > slow and len(shares) >= 3):
            break
    return search.at(point.U)


def _step(search: _Search, point: _Point, curved: bool) -> Array:
    """Return the Levenberg–Marquardt step, by conjugate gradients preconditioned with ``(U*U)⁻¹``.

    Half the gradient of ``½|w(A(UU*) − b)|²`` is ``A*(wr)U``; half the Gauss–Newton matrix takes P to
    ``2 Σ w_i² x_i Re⟨x_i*U, x_i*P⟩ (x_i*U)``, and the exact Hessian adds ``A*(wr)P``. The damping follows the residual,
    and the gradient where the residual stays.
    """
    A, U, V, r, w = search.measurement, point.U, point.V, point.r, search.weights
    relative = min(1.0, point.misfit / search.norm)
    gram = U.conj().T @ U
    size = np.trace(gram).real
    scale = 2 * float((w**2 * A.traces()) @ _inner(V, V)) / (len(U) * size)
    residual = -A.superposition((w * r)[:, None] * V)
    damping = scale * relative * size / (2 * len(gram)) * np.eye(len(gram))
    if curved:  # the residual need not vanish, the gradient must, and small columns are as stiff as they are small
        relative = min(relative, float(np.linalg.norm(residual)) / (scale * size**1.5))
        damping = scale * relative * gram.T
    inverse = np.linalg.inv(scale * gram.T + damping + EPS * scale * size * np.eye(len(gram)))
    goal = max(min(0.1, relative**0.5), EPS / relative) * float(np.linalg.norm(residual))
    spread = search.pixels
    step, z = np.zeros_like(U), spread * (residual @ inverse)
    p, rz = z, np.vdot(residual, z).real
    for i in range(MAX_PRODUCTS):
        W = A.amplitudes(p)
        waves = (2 * w**2 * _inner(V, W))[:, None] * V
        if curved:
            waves += (w * r)[:, None] * W
        Hp = A.superposition(waves) + p @ damping
        search.budget.products += 1
        curvature = np.vdot(p, Hp).real
        if curvature <= 1e-14 * scale * size * np.vdot(p, p).real:
            return np.asarray(p if i == 0 else step)
        step, residual = step + rz / curvature * p, residual - rz / curvature * Hp
        if np.linalg.norm(residual) <= goal or search.budget.out_of_time:
            break
        z = spread * (residual @ inverse)
        rz, before = np.vdot(residual, z).real, rz
        p = z + rz / before * p
    return np.asarray(step)


def _line_search(search: _Search, point: _Point, direction: Array) -> _Point:
    """Return the point of least misfit along a direction; the residual is quadratic in the step length."""
    W = search.measurement.amplitudes(direction)
    r, linear, quadratic = point.r, 2 * search.weights * _inner(point.V, W), search.weights * _inner(W, W)
    quartic = np.array(
        [quadratic @ quadratic, 2 * (linear @ quadratic), linear @ linear + 2 * (r @ quadratic), 2 * (r @ linear), 0.0]
    )
    roots = np.roots(np.polyder(quartic))
    roots = roots[np.abs(roots.imag) <= 1e-8 * np.abs(roots)].real
    t = float(min(roots, key=lambda t: np.polyval(quartic, t), default=0.0))
    return search.at(point.U + t * direction, point.V + t * W)


def _truncate(search: _Search, point: _Point, enough: float) -> _Point | None:
    """Return a fit at a smaller rank, one where the singular values drop most, or None.

    Only ranks with fewer degrees of freedom than there are data: there a fit is no coincidence.
    """
    U, s = _spectrum(point.U)
    drops = s[:-1] / np.maximum(s[1:], 1e-300)
    for rank in sorted(np.argsort(-drops)[:2] + 1):
        if drops[rank - 1] >= DROP and search.freedom(rank) < search.measurement.size:
            trial = _descend(search, search.at(U[:, :rank] * s[:rank]), TRIAL)
            if search.residual(trial) <= enough:
                return trial
    return None


def _grow(search: _Search, point: _Point, seed: int) -> tuple[float, _Point]:
    """Append columns along the steepest directions, each as long as is best, as far as the rank allows.

    Returns the lowest eigenvalue of ``A*(wr)`` in the metric, and the longer point, or the same one.
    """
    count = max(1, min(point.U.shape[1], search.max_rank - point.U.shape[1]))
    values, vectors = _lowest(search.measurement, search.weights * point.r, count, search.whitening, seed)
    steep = values < min(STEEP * values[0], 0.0)
    for v in vectors[:, steep].T[: search.max_rank - point.U.shape[1]]:
        w = search.measurement.amplitudes(v[:, None])
        q = search.weights * _inner(w, w)
        square = -float(point.r @ q) / max(float(q @ q), 1e-300)
        if square > 0:
            length = np.sqrt(square)
            U, V = np.hstack([point.U, length * v[:, None]]), np.hstack([point.V, length * w])
            point = _Point(U, V, point.r + square * q)
    return float(values[0]), point


def _lowest(A: Measurement, y: Array, count: int, whitening: Metric, seed: int) -> tuple[Array, Array]:
    """Return the lowest eigenvalues of ``D^-½ A*(y) D^-½`` and ``D^-½`` times their eigenvectors."""
    d = A.shape[0]
    S = A.adjoint_operator(y)
    if isinstance(S, np.ndarray) and d <= DENSE:
        from scipy.linalg import eigh

        values, vectors = eigh((whitening @ S) @ whitening, subset_by_index=[0, count - 1])
        return values, whitening @ vectors
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    operator = LinearOperator((d, d), matvec=lambda x: whitening @ (S @ (whitening @ x)), dtype=A.dtype)
    start = np.random.default_rng(seed).standard_normal(d).astype(A.dtype)
    try:
        values, vectors = eigsh(operator, k=count, which="SA", v0=start, tol=1e-6)
    except ArpackNoConvergence as stopped:
        values, vectors = stopped.eigenvalues, stopped.eigenvectors
    if not len(values):  # nothing is known: no direction, and no proof
        return np.array([-np.inf]), np.zeros((d, 1), A.dtype)
    return values, whitening @ vectors


def _avoidable(search: _Search, point: _Point, lowest: float) -> float:
    """Return a bound on the share of the squared misfit that positive semidefinite matrices can avoid.

    With ``S = A*(wr)`` and its lowest eigenvalue in the metric, every positive semidefinite X' has
    ``½|w(A(X') − b)|² ≥ ½|r|² + ⟨S, X' − X⟩ ≥ ½|r|² + lowest · tr(DX') − ⟨S, X⟩``, and ``m tr(DX') = Σ |x_i|² A(X')_i``
    is at most ``Σ |x_i|² b_i`` plus the norm of ``|x_i|²/w_i`` times the misfit, if X' fits better.
    """
    energy = search.measurement.traces()
    excess = float(np.linalg.norm(energy / search.weights)) * point.misfit
    trace = (float(energy @ search.b) + excess) / len(energy)
    slope = abs(float(point.r @ (point.r + search.weights * search.b)))
    return (slope + max(0.0, -lowest * trace)) / max(point.misfit**2 / 2, 1e-300)


def _size(b: Array) -> float:
    """Return the root mean square, without underflow."""
    largest = float(np.max(np.abs(b)))
    return largest * float(np.sqrt(np.mean((b / largest) ** 2))) if largest else 0.0


def _spectrum(U: Array) -> tuple[Array, Array]:
    """Return orthonormal columns and singular values of U."""
    Q, s, _ = np.linalg.svd(U, full_matrices=False)
    return Q, s


def _inner(V: Array, W: Array) -> Array:
    """Return ``Re ⟨V_i, W_i⟩`` for every row."""
    if np.iscomplexobj(V):
        return np.asarray(np.einsum("mk,mk->m", V.real, W.real) + np.einsum("mk,mk->m", V.imag, W.imag))
    return np.asarray(np.einsum("mk,mk->m", V, W))


def _distance(U: Array, W: Array) -> float:
    """Return ``‖UU* − WW*‖_F / ‖WW*‖_F`` from the small Gram matrices."""
    grams = np.array([np.linalg.norm(P.conj().T @ Q) ** 2 for P, Q in ((U, U), (W, W), (U, W))])
    return float(np.sqrt(np.maximum(grams @ [1, 1, -2], 0) / max(float(grams[1]), 1e-300)))

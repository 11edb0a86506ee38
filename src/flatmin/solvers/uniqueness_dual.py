"""Proofs that a positive semidefinite interpolant of rank-one measurements is the only one.

If some ``W = A*(λ)`` is positive semidefinite, vanishes on the columns of U and is positive definite on their
complement, every positive semidefinite X with ``A(X) = A(U U*)`` has ``tr(W X) = ⟨λ, A(U U*)⟩ = 0``, so it lives on the
columns of U. Together with injectivity there it is ``U U*``. The larger the smallest eigenvalue of W on the complement
(the margin), the less any other matrix that nearly fits can differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, solve_triangular

from flatmin.measurements import Measurement
from flatmin.metric import Array

__all__ = ["uniqueness_dual"]

EPS = float(np.finfo(float).eps)

#: Up to this dimension the eigenvalues are those of an array; beyond, Lanczos estimates them.
DENSE = 800
#: The interior point method is used up to this many operations a step …
LARGEST_STEP = 4e9
#: … wherever the first proposal has a smaller margin, or a step is as cheap as this.
GOOD_MARGIN, CHEAP_STEP = 0.01, 5e8
#: Interior point steps at most, and how fast the barrier fades.
STEPS, FADE = 40, 0.2
#: Margins below this one, relative to the mean eigenvalue, are not looked for.
SMALLEST_MARGIN = 1e-3
#: Large problems: so many of the lowest eigenvalues at a time are raised to this level, in so many rounds …
RAISED, LEVEL, ROUNDS = 32, 0.015, 5
#: … unless the lowest one is below this.
HOPELESS = -0.1
#: … up to this dimension, beyond which nothing could prove the margin.
LARGEST_RAISED = 5000
#: Measurements looked at where the profile of the first proposal is chosen.
SAMPLE = 2000


@dataclass(frozen=True, eq=False)
class _Setting:
    """A measurement and the orthonormal columns Q that W must vanish on."""

    measurement: Measurement
    Q: Array
    start: float = field(default_factory=time.perf_counter)
    time_limit: float | None = None

    @cached_property
    def V(self) -> Array:
        """The amplitudes ``x_i* Q``."""
        return np.asarray(self.measurement.amplitudes(self.Q))

    @cached_property
    def unseen(self) -> Array:
        """Orthonormal directions (d, k) that no measurement sees."""
        square = self.measurement.gram_diagonals()[0]
        if square.ndim == 1:
            return np.asarray(np.eye(len(square))[:, square == 0])
        values, vectors = np.linalg.eigh(square)
        return np.asarray(vectors[:, values <= len(values) * EPS * values[-1]])

    @cached_property
    def dimension(self) -> int:
        """The dimension of what is seen outside Q."""
        square = self.measurement.gram_diagonals()[0]
        unseen = int(np.count_nonzero(square == 0)) if square.ndim == 1 else self.unseen.shape[1]
        return int(len(square) - unseen - self.Q.shape[1])

    @cached_property
    def energy(self) -> Array:
        """The squared norms of the x_i outside Q, kept away from zero."""
        whole = self.measurement.traces()
        return np.asarray(np.maximum(whole - _inner(self.V, self.V), 0.05 * np.where(whole > 0, whole, 1)))

    @property
    def out_of_time(self) -> bool:
        return self.time_limit is not None and time.perf_counter() - self.start >= self.time_limit

    def apply(self, dual: Array) -> Array:
        """Return ``A*(λ) Q``, with ``Q* A*(λ) Q`` Hermitian to the last digit, as iterations need it."""
        image = self.measurement.superposition(dual[:, None] * self.V)
        core = self.Q.conj().T @ image
        return np.asarray(image - self.Q @ ((core - core.conj().T) / 2))

    def correlate(self, G: Array) -> Array:
        """Return ``Re⟨x_i* Q, x_i* G⟩``, the adjoint of `apply`."""
        return _inner(self.V, self.measurement.amplitudes(G))

    def solve(self, weights: Array, right: Array, tol: float, most: int = 200) -> Array:
        """Return G with ``A*(weights ∘ correlate(G)) Q = right``, by conjugate gradients."""
        G, residual = np.zeros_like(right), right
        p, rr = right, float(np.vdot(right, right).real)
        goal = tol**2 * rr
        for _ in range(most):
            if rr <= goal or rr == 0 or self.out_of_time:
                break
            Hp = self.apply(weights * self.correlate(p))
            curvature = float(np.vdot(p, Hp).real)
            if curvature <= 0:
                break
            G, residual = G + rr / curvature * p, residual - rr / curvature * Hp
            rr, before = float(np.vdot(residual, residual).real), rr
            p = residual + rr / before * p
        return G


def uniqueness_dual(
    measurement: Measurement, U: Array, *, seed: int = 0, time_limit: float | None = None
) -> Array | None:
    """Return λ with ``A*(λ)`` zero on U and positive definite on its complement, or None where none is found.

    A first proposal maximises what random vectors would have for a margin (`_proposal`), matrix-free. Where that is
    small, an interior point method maximises the margin itself, or, in large problems, the lowest eigenvalues are
    raised a few at a time.

    Parameters
    ----------
    measurement : Measurement
        A map with ``is_rank_one``, whitened.
    U : ndarray, shape (d, r)
        The factor of the interpolant in the same coordinates, of full rank.
    seed : int
        Draws samples, and starts the Lanczos iterations.
    time_limit : float, optional
        Seconds after which no further improvement is tried.

    Returns
    -------
    ndarray, shape (m,), or None
        Scaled such that the mean eigenvalue of ``A*(λ)`` on the complement is one; ``A*(λ) U`` vanishes to rounding.
        None says nothing about uniqueness.

    Examples
    --------
    >>> from flatmin.measurements import RankOne
    >>> rng = np.random.default_rng(0)
    >>> A, s = RankOne(rng.standard_normal((60, 10))), rng.standard_normal((10, 1))
    >>> W = A.adjoint(uniqueness_dual(A, s))
    >>> bool(np.linalg.norm(W @ s) < 1e-12), bool(np.linalg.eigvalsh(W)[1] > 0.1)
    (True, True)
    """
    Q = np.linalg.qr(U)[0] if U.shape[1] else U.astype(measurement.dtype)
    setting = _Setting(measurement, Q, time_limit=time_limit)
    if setting.dimension <= 0:
        return np.zeros(measurement.size)
    if not Q.shape[1]:  # every A_i is semidefinite, and their weighted sum sees all that is seen
        return _normalized(setting, measurement.traces())
    dual = _proposal(setting, seed)
    if dual is None:
        return None
    if len(Q) > LARGEST_RAISED:
        return dual  # the certificate's estimate of its margin is as good as any
    margin = _margin(setting, dual, seed)
    work = measurement.size**2 * (measurement.size / 3 + sum(Q.shape)) * (4 if np.iscomplexobj(Q) else 1)
    better = None
    if work <= CHEAP_STEP or (work <= LARGEST_STEP and margin < GOOD_MARGIN):
        better = _polished(setting, _interior_point(setting, dual))
    elif HOPELESS < margin < LEVEL / 2:
        better = _raised(setting, dual, seed)
    if better is not None:
        dual, margin = max((dual, margin), (better, _margin(setting, better, seed)), key=lambda found: found[1])
    return dual if margin > 1e3 * EPS * len(Q) else None


def _proposal(setting: _Setting, seed: int) -> Array | None:
    """Return λ for which independent random vectors would have the largest margin, or None.

    Weights ``p_i`` on random unit vectors in n dimensions have the margin ``max_τ Σ τ p_i/(τ + p_i)/n − τ`` (the edge
    of the Marchenko–Pastur law). Its maximiser under ``A*(λ)Q = 0`` is ``p_i = τ ((a + q_i)^-½ − 1)``, where
    ``q_i |x_i|² = Re⟨x_i* Q, x_i* G⟩``; the multipliers G minimise the convex ``Σ q_i − 2 (a + q_i)^½``, by Newton's
    method.
    """
    intensity = _inner(setting.V, setting.V) / setting.energy
    profile = _profile(intensity, setting.dimension / setting.measurement.size, seed)
    if profile is None:
        return None
    a, slope = profile
    s = a + slope * intensity
    scale = float(np.linalg.norm(setting.apply(1 / setting.energy)))
    for _ in range(12):
        dual = (1 / np.sqrt(s) - 1) / setting.energy
        excess = setting.apply(dual)
        relative = float(np.linalg.norm(excess)) / scale
        if relative <= 1e-7 or setting.out_of_time:
            break
        G = setting.solve(0.5 * s**-1.5 / setting.energy**2, excess, max(1e-8, min(0.1, relative)))
        step = setting.correlate(G) / setting.energy
        falls = step < 0
        reach = float(np.min(-s[falls] / step[falls])) if falls.any() else np.inf
        s = s + min(1.0, 0.95 * reach) * step
    return _polished(setting, dual)


def _profile(intensity: Array, ratio: float, seed: int) -> tuple[float, float] | None:
    """Return a and b with ``Σ p β = 0`` for ``p = (a + bβ)^-½ − 1``, judged on a sample of the intensities β.

    The a of the largest margin is reduced to a third, because p still has to move to meet all constraints.
    """
    beta = intensity
    if len(beta) > SAMPLE:
        beta = np.random.default_rng(seed).choice(beta, SAMPLE, replace=False)
    if not np.any(beta > 0):
        return None
    best, choice = -np.inf, 0.0
    for a in np.geomspace(1e-3, 0.9, 25):
        p = 1 / np.sqrt(a + _balanced(a, beta) * beta) - 1
        mean = float(np.mean(p)) / ratio
        margin = (float(np.mean(p / (1 + p))) / ratio - 1) / mean if mean > 0 else -np.inf
        if margin > best:
            best, choice = margin, float(a)
    return (choice / 3, _balanced(choice / 3, beta)) if choice else None


def _balanced(a: float, beta: Array) -> float:
    """Return the b with ``Σ β (a + bβ)^-½ = Σ β``, by bisection."""
    low, high = 0.0, 1 / float(np.min(beta[beta > 0]))
    for _ in range(60):
        b = (low + high) / 2
        low, high = (b, high) if np.sum(beta / np.sqrt(a + b * beta)) > np.sum(beta) else (low, b)
    return b


def _raised(setting: _Setting, dual: Array, seed: int) -> Array:
    """Raise the lowest eigenvalues of ``A*(λ)`` on the complement, with as small a weighted change of λ as will do it.

    The change δ has ``A*(δ)Q = 0`` and ``Z* A*(δ) Z`` diagonal with the rises missing, where Z are the eigenvectors.
    """
    for _ in range(ROUNDS):
        values, Z = _lowest(setting, dual, RAISED, seed)
        if values[0] >= LEVEL / 2 or setting.out_of_time:
            break
        low = values < 3 * LEVEL
        B = setting.measurement.amplitudes(Z[:, low])
        p = dual * setting.energy / float(np.mean(dual * setting.energy))
        weights = (1 + p * min(1.0, 0.9 / max(-float(p.min()), 0.9))) ** 3 / setting.energy**2

        def forward(x: tuple[Array, Array], B: Array = B) -> Array:
            return np.asarray(setting.correlate(x[0]) + _inner(B, B @ x[1].T))

        def adjoint(y: Array, B: Array = B) -> tuple[Array, Array]:
            return setting.apply(y), (B.T * y) @ B.conj()

        rises = np.diag(np.maximum(1.5 * LEVEL - values[low], 0)).astype(B.dtype)
        multipliers = _solve_pair(forward, adjoint, weights, (np.zeros_like(setting.Q), rises))
        dual = _polished(setting, dual + weights * forward(multipliers))
    return dual


def _solve_pair(
    forward: Callable[[tuple[Array, Array]], Array],
    adjoint: Callable[[Array], tuple[Array, Array]],
    weights: Array,
    right: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Solve ``adjoint(weights ∘ forward(x)) = right`` for a pair of matrices, to two digits, by conjugate gradients."""
    x = (np.zeros_like(right[0]), np.zeros_like(right[1]))
    residual = p = right
    rr = goal = sum(float(np.vdot(r, r).real) for r in right)
    for _ in range(60):
        if rr <= 1e-4 * goal:
            break
        image = adjoint(weights * forward(p))
        t = rr / sum(float(np.vdot(u, v).real) for u, v in zip(p, image, strict=True))
        x = (x[0] + t * p[0], x[1] + t * p[1])
        residual = (residual[0] - t * image[0], residual[1] - t * image[1])
        rr, before = sum(float(np.vdot(r, r).real) for r in residual), rr
        p = (residual[0] + rr / before * p[0], residual[1] + rr / before * p[1])
    return x


def _polished(setting: _Setting, dual: Array) -> Array:
    """Return λ moved onto ``A*(λ) Q = 0`` to rounding, scaled to a mean eigenvalue of one on the complement."""
    weights = 1 / setting.energy**2
    scale = float(np.linalg.norm(setting.apply(np.abs(dual))))
    for _ in range(4):
        excess = setting.apply(dual)
        relative = float(np.linalg.norm(excess)) / scale
        if relative <= 4 * EPS:
            break
        dual = dual - weights * setting.correlate(setting.solve(weights, excess, max(1e-10, 0.3 * EPS / relative)))
    return _normalized(setting, dual)


def _normalized(setting: _Setting, dual: Array) -> Array:
    """Return the multiple of λ whose matrix has a mean eigenvalue of one on the complement, if it has a trace."""
    total = float(dual @ setting.measurement.traces())
    return np.asarray(dual * (setting.dimension / total)) if total > 0 else dual


def _margin(setting: _Setting, dual: Array, seed: int) -> float:
    """Return the smallest eigenvalue of ``A*(λ)`` on the complement of Q: exactly, or a Lanczos estimate."""
    if len(setting.Q) > DENSE:
        return float(_lowest(setting, dual, 1, seed)[0][0])
    W, N = setting.measurement.adjoint(dual), _complement(setting)
    return float(np.linalg.eigvalsh(N.conj().T @ W @ N)[0])


def _complement(setting: _Setting) -> Array:
    """Return an orthonormal basis of what is seen outside Q."""
    known = np.hstack([setting.Q, setting.unseen])
    return np.asarray(np.linalg.qr(known, mode="complete")[0][:, known.shape[1] :])


@dataclass(frozen=True, eq=False)
class _Barrier:
    """The point (p, t) of the interior point method: ``S = Σ p_i y_i y_i* − tI`` and the inverse of its root."""

    p: Array
    t: float
    inverse_root: Array

    @classmethod
    def of(cls, Y: Array, p: Array, t: float) -> _Barrier:
        n = Y.shape[1]
        S = (Y.conj().T * p) @ Y
        S[np.diag_indices(n)] -= t
        L = cholesky(S, lower=True, check_finite=False)
        return cls(p, t, solve_triangular(L, np.eye(n), lower=True, check_finite=False))


def _interior_point(setting: _Setting, dual: Array) -> Array:
    """Maximise the margin t over all λ with ``A*(λ) Q = 0`` and a fixed trace, from a given one.

    A barrier method: Newton steps on ``−t/μ − log det(Σ p_i y_i y_i* − tI)``, where the y_i are the unit vectors
    along x_i in a basis of the complement, with the Hessian ``|y_i* S⁻¹ y_j|²``. At a centre, no margin exceeds
    ``t + nμ``: the search ends where t is half of the best, or the best is nothing.
    """
    X = setting.measurement.amplitudes(_complement(setting).astype(setting.Q.dtype))
    length = np.sqrt(np.maximum(_inner(X, X), 1e-3 * setting.energy))
    Y, n = X / length[:, None], X.shape[1]
    constraints = _constraints(Y, setting.V / length[:, None])
    p = dual * length**2
    p = p * (n / float(np.sum(p)))
    lowest = float(np.linalg.eigvalsh((Y.conj().T * p) @ Y)[0])
    try:
        point = _Barrier.of(Y, p, lowest - 0.1 * max(abs(1 - lowest), SMALLEST_MARGIN))
    except LinAlgError:
        return dual
    mu = 0.3 / float(np.linalg.norm(point.inverse_root) ** 2)
    for _ in range(STEPS):
        if setting.out_of_time:
            break
        try:
            dp, dt = _newton_direction(Y, constraints, point, mu)
            a, centred = _step_length(Y, point, dp, dt, mu)
            point = _Barrier.of(Y, point.p + a * dp, point.t + a * dt)
        except LinAlgError:
            break
        if centred:
            if n * mu < 0.5 * point.t or point.t + 2 * n * mu < SMALLEST_MARGIN:
                break
            mu *= FADE
    return np.asarray(point.p / length**2)


def _constraints(Y: Array, V: Array) -> Array:
    """Return the columns c with ``cᵀp = 0`` for ``Σ p_i [v_i; y_i] v_i* = 0``, and a last one that fixes the trace."""
    r = V.shape[1]
    rows, cols = np.triu_indices(r)
    own = V[:, rows] * V[:, cols].conj()
    across = (V[:, :, None] * Y.conj()[:, None, :]).reshape(len(Y), -1)
    both = np.hstack([own, across])
    columns = [both.real, both.imag[:, np.r_[rows != cols, np.ones(across.shape[1], bool)]]]
    return np.hstack([*columns[: 1 + np.iscomplexobj(both)], np.ones((len(Y), 1))])


def _newton_direction(Y: Array, constraints: Array, point: _Barrier, mu: float) -> tuple[Array, float]:
    """Return the Newton direction (dp, dt) of the barrier function within the constraints."""
    half = Y.conj() @ point.inverse_root.T
    inverse = point.inverse_root.conj().T @ point.inverse_root
    K = half @ half.conj().T
    H = K.real**2 + K.imag**2 if np.iscomplexobj(K) else K**2
    H[np.diag_indices(len(H))] += 1e-11 * np.trace(H) / len(H)
    factor = cho_factor(H, lower=True, overwrite_a=True, check_finite=False)
    gradient, bend = np.diagonal(K).real, _inner(half @ point.inverse_root.conj(), half @ point.inverse_root.conj())
    solved = cho_solve(factor, np.column_stack([constraints, gradient, bend]), check_finite=False)
    schur = constraints.T @ solved[:, :-2]
    schur[np.diag_indices(len(schur))] += 1e-14 * np.trace(schur) / len(schur)
    multipliers = np.linalg.solve(schur, constraints.T @ solved[:, -2:])
    along_gradient, along_bend = (solved[:, -2:] - solved[:, :-2] @ multipliers).T
    size = float(np.linalg.norm(inverse) ** 2)
    pull = 1 / mu - float(np.trace(inverse).real)
    dt = (pull + float(bend @ along_gradient)) / (size - float(bend @ along_bend))
    return along_gradient + dt * along_bend, dt


def _step_length(Y: Array, point: _Barrier, dp: Array, dt: float, mu: float) -> tuple[float, bool]:
    """Return the step length that minimises the barrier function, and whether the point is (nearly) centred."""
    change = (Y.conj().T * dp) @ Y
    change[np.diag_indices(len(change))] -= dt
    e = np.linalg.eigvalsh(point.inverse_root @ change @ point.inverse_root.conj().T)
    most = 0.95 / -e[0] if e[0] < 0 else 10.0
    a = min(1.0, most)
    for _ in range(30):
        slope, curvature = -dt / mu - np.sum(e / (1 + a * e)), np.sum((e / (1 + a * e)) ** 2)
        following = float(np.clip(a - slope / curvature, 0.2 * a, most))
        close = abs(following - a) <= 1e-2 * a
        a = following
        if close:
            break
    return a, bool(np.linalg.norm(e) < 0.7 or a > 0.9)


def _lowest(setting: _Setting, dual: Array, count: int, seed: int) -> tuple[Array, Array]:
    """Return Lanczos estimates of the lowest eigenvalues on the complement, ascending, and their eigenvectors."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    Q, d = setting.Q, len(setting.Q)
    W = setting.measurement.adjoint_operator(dual)
    square = setting.measurement.gram_diagonals()[0]
    seen = (square > 0) if square.ndim == 1 else np.ones(d, bool)
    start = np.random.default_rng(seed).standard_normal(d).astype(Q.dtype)
    plain = LinearOperator((d, d), matvec=lambda x: W @ x, dtype=Q.dtype)
    top = 1.1 * float(eigsh(plain, k=1, which="LA", v0=start, tol=0.1, return_eigenvectors=False)[0])

    def flipped(x: Array) -> Array:
        x = seen * x.ravel()
        x = x - Q @ (Q.conj().T @ x)
        x = top * x - W @ x
        return np.asarray(x - Q @ (Q.conj().T @ x))

    operator = LinearOperator((d, d), matvec=flipped, dtype=Q.dtype)
    try:
        values, Z = eigsh(operator, k=count, which="LA", v0=start, ncv=min(d, 2 * count + 38), tol=1e-3)
    except ArpackNoConvergence as stopped:
        values, Z = stopped.eigenvalues, stopped.eigenvectors
        if not len(values):
            return np.array([-np.inf]), np.zeros((d, 1), Q.dtype)
    order = np.argsort(top - values)
    return (top - values)[order], Z[:, order]


def _inner(V: Array, W: Array) -> Array:
    """Return ``Re ⟨V_i, W_i⟩`` for every row."""
    if np.iscomplexobj(V):
        return np.asarray(np.einsum("mk,mk->m", V.real, W.real) + np.einsum("mk,mk->m", V.imag, W.imag))
    return np.asarray(np.einsum("mk,mk->m", V, W))

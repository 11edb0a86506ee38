"""Checks that users can run on their own objects: each returns nothing, or raises with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np

from flatmin.certificates import LARGEST_GAP, LARGEST_RESIDUAL
from flatmin.errors import InputError
from flatmin.measurements import Measurement
from flatmin.metric import Array, Metric
from flatmin.parametrizations import Parametrization
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Solution, Status

__all__ = ["check_measurement", "check_parametrization", "check_solution"]

#: Two ways to the same number may differ by this much, relatively: far above rounding, far below any mistake.
TOLERANCE = 1e-9
#: The dense definition of the metric is only formed up to this many numbers.
LARGEST_TENSOR = 20_000_000


def check_measurement(A: Measurement, *, seed: int = 0) -> None:
    """Check everything that the rest of flatmin relies on in a measurement map.

    The adjoint identity ``⟨A(X), y⟩ = ⟨X, A*(y)⟩`` (for complex sensing matrices at complex X), linearity, and that
    every faster route agrees with ``forward`` and ``adjoint``: ``forward_factors``, ``adjoint_operator``,
    ``matrices``, ``metric``, ``jacobian``, ``curvature_blocks``, ``congruence``, ``merged``, ``take`` and
    ``as_linear_operator``. The metric is compared with its dense definition where m·d1·d2 ≤ 2·10⁷.

    Parameters
    ----------
    A : Measurement
        The map to check; it is not changed.
    seed : int
        Draws the points at which it is checked.

    Raises
    ------
    AssertionError
        With one sentence: which property failed, by how much, and what usually causes it.

    Examples
    --------
    >>> import flatmin as fm
    >>> fm.testing.check_measurement(fm.measurements.Entries([0, 1, 1], [2, 0, 0], (2, 3)))
    """
    rng = np.random.default_rng(seed)
    _check_attributes(A)
    _check_linear(A, rng)
    _check_action(A, rng)
    _check_matrices(A)
    _check_metric(A)
    _check_take(A, rng)
    _check_merged(A, rng)
    for kind in ("full", "diagonal", "singular"):
        P1, P2 = (_random_metric(n, A.dtype, kind, rng) for n in A.shape)
        whitened, X = A.congruence(P1, P2), _draw(rng, A.shape, A.dtype)
        inside = np.asarray(P1) @ X @ np.asarray(P2)
        cause = "P1 multiplies X from the left and P2 from the right, and complex ones are Hermitian, not symmetric"
        _agree(A, f"congruence with {kind} matrices", whitened.forward(X), A.forward(inside), cause)
        _check_action(whitened, rng)
    if np.issubdtype(A.dtype, np.floating):
        operator, X, y = A.as_linear_operator(), _draw(rng, A.shape), rng.standard_normal(A.size)
        cause = "vec(X) is row-major"
        _agree(A, "as_linear_operator", operator.matvec(X.ravel()), A.forward(X), cause)
        _agree(A, "the adjoint of as_linear_operator", operator.rmatvec(y), A.adjoint(y).ravel(), cause)


def check_parametrization(p: Parametrization | Problem, *, seed: int = 0) -> None:
    """Check a two-factor parametrization against finite differences on small random problems.

    Width and matrix; ``hessian_trace`` and ``scaled_trace`` against the Hessian of the loss by finite differences, off
    and on the zero-loss set; the minimum over the fibre, which the flattest factors attain and no other factors of
    the same matrix beat; and what a rotation of the factors must not change.

    Parameters
    ----------
    p : Parametrization or Problem
        The parametrization; a problem stands for its own.
    seed : int
        Draws the problems and points.

    Raises
    ------
    AssertionError
        With one sentence: which property failed, by how much, and what usually causes it.

    Examples
    --------
    >>> import flatmin as fm
    >>> fm.testing.check_parametrization(fm.Product())
    """
    model = p.parametrization if isinstance(p, Problem) else p
    rng = np.random.default_rng(seed)
    shape, m = (4, 3), 7
    for width in (1, 2, 5):
        factors = tuple(rng.standard_normal((n, width)) for n in shape)
        for blind in (False, True):
            sensing = rng.standard_normal((m, *shape))
            sensing[:, 0, :] *= not blind
            _check_traces(model, factors, sensing, rng)
            _check_fibre(model, factors, _dense_metric(sensing), rng)
    _require(model, model.check(factors, shape)[0].dtype == float, "check must return float64 arrays")
    try:
        model.check((factors[0][:-1], factors[1]), shape)
    except InputError:
        return
    raise AssertionError(f"{model!r}: check accepts factors of a wrong shape; it must raise InputError")


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


def _check_attributes(A: Measurement) -> None:
    good = len(A.shape) == 2 and all(isinstance(d, int | np.integer) and d > 0 for d in A.shape)
    _require(A, good, f"shape is {A.shape!r}, expected two positive whole numbers")
    _require(A, isinstance(A.size, int | np.integer) and A.size > 0, f"size is {A.size!r}, expected m ≥ 1")
    kinds = (np.dtype(float), np.dtype(complex))
    _require(A, np.dtype(A.dtype) in kinds, f"dtype is {A.dtype!r}, expected float64 or complex128")


def _check_linear(A: Measurement, rng: np.random.Generator) -> None:
    X, Y = _draw(rng, A.shape, A.dtype), _draw(rng, A.shape, A.dtype)
    x, y = rng.standard_normal(A.size), rng.standard_normal(A.size)
    copies = X.copy(), y.copy()
    first, matrix, cause = A.forward(X), A.adjoint(y), "a constant or a nonlinear step hides in it"
    _require(A, np.array_equal(X, copies[0]), "forward changes its argument; work on a copy")
    _require(A, np.array_equal(y, copies[1]), "adjoint changes its argument; work on a copy")
    _require(A, np.isrealobj(first), "forward returns complex numbers; take the real part, ⟨A, X⟩ = Re tr(A* X)")
    _agree(A, "linearity of forward", A.forward(2 * X - 3 * Y), 2 * first - 3 * A.forward(Y), cause)
    _require(
        A,
        np.isrealobj(matrix) or np.issubdtype(A.dtype, np.complexfloating),
        "adjoint returns complex numbers, which dtype does not announce",
    )
    _agree(A, "linearity of adjoint", A.adjoint(2 * x - 3 * y), 2 * A.adjoint(x) - 3 * matrix, cause)


def _check_action(A: Measurement, rng: np.random.Generator) -> None:
    """Check the adjoint identity, and the routes that avoid dense matrices, at random points."""
    X, y = _draw(rng, A.shape, A.dtype), rng.standard_normal(A.size)
    b, S = A.forward(X), A.adjoint(y)
    _require(A, np.shape(b) == (A.size,), f"forward returns shape {np.shape(b)}, expected ({A.size},)")
    _require(A, np.shape(S) == A.shape, f"adjoint returns shape {np.shape(S)}, expected {A.shape}")
    sizes = np.linalg.norm(b) * np.linalg.norm(y) + np.linalg.norm(X) * np.linalg.norm(S)
    cause = "usually a transpose, a conjugate or a weight is missing in one of the two"
    _agree(A, "the adjoint identity ⟨A(X), y⟩ = ⟨X, A*(y)⟩", b @ y, np.vdot(X, S).real, cause, float(sizes))
    for k in (0, 1, 3):
        L, R = (_draw(rng, (d, k), A.dtype) for d in A.shape)
        want = A.forward(L @ R.conj().T)
        cause = "it must return A(L R*), for any number of columns, also none"
        _agree(A, f"forward_factors with {k} columns", A.forward_factors(L, R), want, cause)
    T, F, G = A.adjoint_operator(y), _draw(rng, (A.shape[1], 2), A.dtype), _draw(rng, (A.shape[0], 2), A.dtype)
    cause = "it must act as the array adjoint(y) under @ and .T (not the conjugate transpose)"
    _agree(A, "adjoint_operator", T @ F, S @ F, cause)
    _agree(A, "the transpose of adjoint_operator", T.T @ G, S.T @ G, cause)
    if np.issubdtype(A.dtype, np.floating):
        _check_derivatives(A, rng)


def _check_derivatives(A: Measurement, rng: np.random.Generator) -> None:
    """Compare with central differences, which are exact at any step because (L, R) ↦ A(L Rᵀ) is quadratic."""
    (d1, d2), k = A.shape, 2
    L, R, P, Q = (rng.standard_normal((d, k)) for d in (d1, d2, d1, d2))

    def difference(dL: Array, dR: Array) -> Array:
        return (A.forward((L + dL) @ (R + dR).T) - A.forward((L - dL) @ (R - dR).T)) / 2

    J = A.jacobian(L, R)
    if J is not None:
        _require(A, J.shape == (A.size, k, d1 + d2), f"jacobian has shape {J.shape}, expected (m, k, d1 + d2)")
        got = J.reshape(A.size, -1) @ np.concatenate([P, Q]).T.ravel()
        cause = "entry [i, c] must hold A_i R[:, c], then A_iᵀ L[:, c]"
        _agree(A, "jacobian against finite differences", got, difference(P, Q), cause)
    blocks = A.curvature_blocks(L, R)
    if blocks is not None:
        expected = (d1 + d2, k, k)
        _require(A, blocks.shape == expected, f"curvature_blocks has shape {blocks.shape}, expected {expected}")
        for row in rng.choice(d1 + d2, min(d1 + d2, 6), replace=False):
            unit = np.zeros((k, d1 + d2, k))
            unit[np.arange(k), row, np.arange(k)] = 1.0
            columns = np.stack([difference(e[:d1], e[d1:]) for e in unit])
            cause = "a block is the sum over i of g gᵀ, g the row of A_i R (first d1) or of A_iᵀ L (last d2)"
            name = f"curvature_blocks at row {row} against finite differences"
            _agree(A, name, blocks[row], columns @ columns.T, cause)


def _check_matrices(A: Measurement) -> None:
    cause = "matrices(start, stop) must return A_start … A_(stop−1), the adjoints of unit vectors"
    for start, stop in {(0, min(A.size, 3)), (max(0, A.size - 2), A.size)}:
        got = A.matrices(start, stop)
        want = np.stack([A.adjoint(np.eye(1, A.size, i)[0]) for i in range(start, stop)])
        _agree(A, f"matrices({start}, {stop})", got, want, cause)


def _check_metric(A: Measurement) -> None:
    (d1, d2), m = A.shape, A.size
    if m * d1 * d2 > LARGEST_TENSOR:
        return
    T = A.matrices()
    _require(A, T.shape == (m, d1, d2), f"matrices() has shape {T.shape}, expected {(m, d1, d2)}")
    rows = np.tensordot(T, T.conj(), ((0, 2), (0, 2))) / (m * d2)
    cols = np.tensordot(T.conj(), T, ((0, 1), (0, 1))) / (m * d1)
    for name, D, square in zip(("D1", "D2"), A.metric(), (rows, cols), strict=True):
        dense = np.asarray(D)
        cause = "D1² = Σ A_i A_i* / (m d2) and D2² = Σ A_i* A_i / (m d1); look at gram_diagonals"
        _agree(A, f"metric, the square of {name},", dense @ dense, square, cause)


def _check_take(A: Measurement, rng: np.random.Generator) -> None:
    X = _draw(rng, A.shape, A.dtype)
    cause = "take keeps the chosen measurements in the given order, also repeated ones and boolean masks"
    for index in (rng.integers(0, A.size, min(A.size, 5) + 1), rng.permutation(A.size) < (A.size + 1) // 2):
        part = A.take(index)
        _agree(A, f"take({index.dtype} array)", part.forward(X), A.forward(X)[index], cause)
        _check_action(part, rng)


def _check_merged(A: Measurement, rng: np.random.Generator) -> None:
    found = A.merged()
    if found is None:
        return
    merged, Q = found
    X, y, z = _draw(rng, A.shape, A.dtype), rng.standard_normal(A.size), rng.standard_normal(merged.size)
    cause = "merged must return (A', Q) with A = Q A' and orthonormal columns of Q"
    _agree(A, "merged, A = Q A',", Q @ merged.forward(X), A.forward(X), cause)
    _agree(A, "merged, the adjoint of A = Q A',", merged.adjoint(Q.T @ y), A.adjoint(y), cause)
    _agree(A, "merged, Qᵀ Q = I,", Q.T @ (Q @ z), z, cause)
    _check_action(merged, rng)


def _check_traces(model: Parametrization, factors: Factors, sensing: Array, rng: np.random.Generator) -> None:
    """Compare both traces with the diagonal of a finite-difference Hessian of the loss, off and on zero loss."""
    m, d1, d2 = sensing.shape
    L, R = factors
    _require(model, model.width(factors) == L.shape[1], f"width is {model.width(factors)}, expected {L.shape[1]}")
    clean = np.tensordot(sensing, model.matrix(factors), 2)
    for place, data in (("off", clean + rng.standard_normal(m)), ("on", clean)):

        def loss(theta: Array, data: Array = data) -> float:
            parts = np.split(theta, [L.size])
            X = model.matrix((parts[0].reshape(L.shape), parts[1].reshape(R.shape)))
            return float(np.mean((np.tensordot(sensing, X, 2) - data) ** 2))

        diagonal = _hessian_diagonal(loss, np.concatenate([L.ravel(), R.ravel()]))
        left, right = diagonal[: L.size].sum(), diagonal[L.size :].sum()
        metric = _dense_metric(sensing)
        cause = "it is the trace for the loss (1/m) ‖A(X) − b‖², with no factor ½"
        name = f"hessian_trace {place} the zero-loss set"
        _agree(model, name, model.hessian_trace(factors, metric), left + right, cause, tolerance=1e-7)
        cause = "the L block of the Hessian is divided by d1, the R block by d2"
        name = f"scaled_trace {place} the zero-loss set"
        _agree(model, name, model.scaled_trace(factors, metric), left / d1 + right / d2, cause, tolerance=1e-7)


def _check_fibre(
    model: Parametrization, factors: Factors, metric: tuple[Metric, Metric], rng: np.random.Generator
) -> None:
    D1, D2 = (np.asarray(D) for D in metric)
    Z = D1 @ model.matrix(factors) @ D2
    minimum = model.fibre_minimum(factors, metric)
    U, s, V = model.singular(factors, metric)
    _agree(model, "singular, U s Vᵀ = D1 X D2,", (U * s) @ V.T, Z, "Z is measured in whitened coordinates")
    flat = model.flattest(U, s, V, metric)
    _agree(model, "the matrix of the flattest factors", D1 @ model.matrix(flat) @ D2, Z, "look at flattest")
    cause = "the smallest scaled trace of X is 4 ‖D1 X D2‖_*"
    _agree(model, "fibre_minimum at the flattest factors", model.scaled_trace(flat, metric), minimum, cause)
    L, R = factors
    k = L.shape[1]
    for _ in range(10):
        G = rng.standard_normal((k, k)) + 2 * np.eye(k)
        other = (L @ G, R @ np.linalg.inv(G).T)
        trace = model.scaled_trace(other, metric)
        _require(
            model,
            trace >= minimum * (1 - TOLERANCE),
            f"other factors of the same matrix have scaled trace {trace:.10g}, below fibre_minimum {minimum:.10g}",
        )
        _agree(model, "fibre_minimum on the fibre", model.fibre_minimum(other, metric), minimum, cause, tolerance=1e-7)
    Q = np.linalg.qr(rng.standard_normal((k, k)))[0]
    turned = (L @ Q, R @ Q)
    for name in ("hessian_trace", "scaled_trace", "fibre_minimum"):
        got, want = (getattr(model, name)(w, metric) for w in (turned, factors))
        _agree(model, f"{name} after a rotation of the factors", got, want, "it may only depend on L Lᵀ and R Rᵀ")
    for name in ("balance", "norm_excess"):
        got, want = (getattr(model, name)(w) for w in (turned, factors))
        _agree(model, f"{name} after a rotation of the factors", got, want, "rotations change neither", scale=1 + want)


def _check_consistency(solution: Solution) -> None:
    proof, flat = solution.certificate, solution.flatness
    for name, F in zip(solution.parametrization.names, solution.factors, strict=True):
        _require(solution, bool(np.isfinite(F).all()), f"{name} contains NaN or infinity")
        _require(solution, F.shape[1] == solution.rank, f"{name} has {F.shape[1]} columns, expected {solution.rank}")
    for F, index in zip(solution.factors, solution.undetermined, strict=True):
        _require(solution, not np.any(F[index]), "an undetermined row or column is not zero")
    gap = (proof.value - proof.lower_bound) / proof.value if proof.value else 0.0
    cause = "relative_gap = (value − lower_bound) / value"
    _agree(solution, "relative_gap", proof.relative_gap, gap, cause, scale=1.0)
    fits = proof.objective == "penalised" or proof.relative_residual <= LARGEST_RESIDUAL
    earned = abs(proof.relative_gap) <= LARGEST_GAP and fits and proof.bound_kind != "estimated"
    _require(solution, proof.holds == earned, f"holds is {proof.holds}, but its gap, residual and bound say {earned}")
    status = solution.status
    _require(solution, proof.holds or not status.certified, f"status {status.name} without a certificate that holds")
    unique = status is Status.unique_flat_minimum
    _require(solution, not unique or proof.unique is True, f"status {status.name}, but unique is {proof.unique}")
    good = proof.unique is not True or (proof.holds and (proof.injectivity or 0) > 0 and (proof.margin or 0) > 0)
    _require(solution, good, "unique is True without a positive injectivity and margin")
    slack = flat.scaled_trace - flat.fibre_minimum
    _require(
        solution,
        slack >= -TOLERANCE * flat.scaled_trace,
        f"scaled_trace {flat.scaled_trace:.10g} is below fibre_minimum {flat.fibre_minimum:.10g}",
    )
    if solution.settings.get("metric_power", 1.0) == 1.0 and proof.objective == "interpolating":
        _agree(solution, "value", proof.value, flat.fibre_minimum, "value = 4 ‖D1 X D2‖_*", tolerance=1e-8)


def _check_proof(solution: Solution, problem: Problem) -> None:
    """Recompute value, residual and bound; a claim may be weaker than what is found, never stronger."""
    proof, A, b = solution.certificate, problem.measurement, problem.data
    alpha, power = (solution.settings.get(k, v) for k, v in (("alpha", 0.0), ("metric_power", 1.0)))
    roots = [_dense_power(np.asarray(D), power) for D in A.metric()]
    X = solution.matrix
    residual = A.forward(X) - b
    size = float(np.linalg.norm(b))
    found = float(np.linalg.norm(residual)) / size if size else float(np.linalg.norm(residual))
    _require(
        solution,
        abs(found - proof.relative_residual) <= 1e-3 * found + 1e-12,
        f"the relative residual is {found:.3g}, the certificate says {proof.relative_residual:.3g}",
    )
    nuclear = float(np.linalg.svd(roots[0][0] @ X @ roots[1][0], compute_uv=False).sum())
    norm = float(np.linalg.norm(roots[0][1] @ A.adjoint(proof.dual) @ roots[1][1], 2))
    scaled = proof.dual / max(1.0, norm)
    value, bound = 4 * nuclear, 4 * float(b @ scaled)
    if alpha > 0:
        value = float(np.mean(residual**2)) + alpha * value
        bound = alpha * bound - 4 * A.size * alpha**2 * float(scaled @ scaled)
    _agree(solution, "value recomputed from the factors", proof.value, value, "another problem?", tolerance=1e-7)
    _require(
        solution,
        proof.dual_norm >= norm * (1 - 1e-9),
        f"the dual matrix has norm {norm:.12g}, above the proved bound {proof.dual_norm:.12g}",
    )
    _require(
        solution,
        proof.lower_bound <= bound + 1e-9 * max(abs(bound), abs(value)),
        f"the dual proves {bound:.12g}, less than the lower bound {proof.lower_bound:.12g} that is claimed",
    )
    if proof.alternative is not None:
        other = problem.parametrization.matrix(proof.alternative)
        misfit = float(np.linalg.norm(A.forward(other) - b)) / (size or 1.0)
        excess = 4 * float(np.linalg.svd(roots[0][0] @ other @ roots[1][0], compute_uv=False).sum()) - value
        apart = float(np.linalg.norm(other - X)) / max(float(np.linalg.norm(X)), np.finfo(float).tiny)
        good = misfit <= 10 * LARGEST_RESIDUAL and abs(excess) <= 10 * LARGEST_GAP * max(value, 1e-300) and apart > 1e-6
        _require(
            solution,
            good or alpha > 0,
            f"the alternative is no flat minimum: misfit {misfit:.2g}, excess {excess:.2g}, distance {apart:.2g}",
        )


def _dense_power(D: Array, power: float) -> tuple[Array, Array]:
    """Return ``D^p`` in the scale that keeps a penalty's meaning, and its pseudo-inverse."""
    values, Q = np.linalg.eigh(D)
    inside = values > len(values) * np.finfo(float).eps * max(values[-1], np.finfo(float).tiny)
    values = np.where(inside, values, 0)
    scaled = np.where(inside, values, 1) ** power * np.mean(values**2) ** ((1 - power) / 2) * inside
    return (Q * scaled) @ Q.T, (Q * np.divide(1, scaled, out=np.zeros_like(scaled), where=scaled > 0)) @ Q.T


def _dense_metric(sensing: Array) -> tuple[Metric, Metric]:
    m, d1, d2 = sensing.shape
    rows = np.tensordot(sensing, sensing, ((0, 2), (0, 2))) / (m * d2)
    return Metric.root(rows), Metric.root(np.tensordot(sensing, sensing, ((0, 1), (0, 1))) / (m * d1))


def _hessian_diagonal(f: Any, x: Array, h: float = 0.1) -> Array:
    """Return second derivatives by the five-point formula, exact for polynomials of degree five."""
    weights = {-2: -1, -1: 16, 0: -30, 1: 16, 2: -1}
    return np.array([sum(w * f(x + j * h * e) for j, w in weights.items()) for e in np.eye(len(x))]) / (12 * h**2)


def _draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any = float) -> Array:
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if np.issubdtype(dtype, np.complexfloating) else X


def _random_metric(n: int, dtype: Any, kind: str, rng: np.random.Generator) -> Metric:
    if kind == "diagonal":
        return Metric(rng.uniform(0.5, 2, n))
    F = _draw(rng, (n, n + 2 if kind == "full" else max(1, n - 1)), dtype)
    return Metric.root(F @ F.conj().T)


def _agree(
    subject: Any, name: str, got: Any, want: Any, cause: str, scale: float | None = None, tolerance: float = TOLERANCE
) -> None:
    got, want = np.asarray(got), np.asarray(want)
    _require(subject, got.shape == want.shape, f"{name} has shape {got.shape}, expected {want.shape}; {cause}")
    _require(subject, bool(np.isfinite(got).all()), f"{name} contains NaN or infinity; {cause}")
    size = scale if scale is not None else float(np.linalg.norm(want))
    error = float(np.linalg.norm(got - want)) / (size or 1.0)
    _require(subject, error <= tolerance, f"{name} is off by {error:.2g} relatively, allowed {tolerance:g}; {cause}")


def _require(subject: Any, condition: bool, sentence: str) -> None:
    if not condition:
        raise AssertionError(f"{subject if not isinstance(subject, Solution) else 'Solution'!r}: {sentence}")

"""Checks of a measurement map."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.metric import Metric
from flatmin.measurements import Measurement
from flatmin.testing._checks import agree, draw, require

__all__ = ["check_measurement"]

#: Largest number of entries of the sensing tensor for which the metric is compared with its definition.
LARGEST_TENSOR = 20_000_000


def check_measurement(A: Measurement, *, seed: int = 0) -> None:
    """Check all properties of a measurement map on which flatmin relies.

    The check tests linearity, the adjoint identity ``⟨A(X), y⟩ = ⟨X, A*(y)⟩`` (at complex X for complex sensing
    matrices), and that every other method agrees with ``forward`` and ``adjoint``. The metric is compared with its
    dense definition if m·d1·d2 ≤ 2·10⁷.

    Parameters
    ----------
    A : Measurement
        The map to check; it is not changed.
    seed : int
        Seed of the random points at which the map is checked.

    Raises
    ------
    AssertionError
        If a property fails; one sentence names the property, the size of the error, and its usual cause.

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
    _check_rank_one(A, rng)
    _check_metric(A)
    _check_take(A, rng)
    _check_merged(A, rng)
    for kind in ("full", "diagonal", "singular"):
        P1, P2 = (_random_metric(n, A.dtype, kind, rng) for n in A.shape)
        whitened, X = A.congruence(P1, P2), draw(rng, A.shape, A.dtype)
        inside = np.asarray(P1) @ X @ np.asarray(P2)
        cause = "P1 multiplies X from the left and P2 from the right, and complex ones are Hermitian, not symmetric"
        agree(A, f"congruence with {kind} matrices", whitened.forward(X), A.forward(inside), cause)
        _check_action(whitened, rng)
    if np.issubdtype(A.dtype, np.floating):
        operator, X, y = A.as_linear_operator(), draw(rng, A.shape), rng.standard_normal(A.size)
        cause = "vec(X) is row-major"
        agree(A, "as_linear_operator", operator.matvec(X.ravel()), A.forward(X), cause)
        agree(A, "the adjoint of as_linear_operator", operator.rmatvec(y), A.adjoint(y).ravel(), cause)


def _check_attributes(A: Measurement) -> None:
    good = len(A.shape) == 2 and all(isinstance(d, int | np.integer) and d > 0 for d in A.shape)
    require(A, good, f"shape is {A.shape!r}, expected two positive whole numbers")
    require(A, isinstance(A.size, int | np.integer) and A.size > 0, f"size is {A.size!r}, expected m ≥ 1")
    kinds = (np.dtype(float), np.dtype(complex))
    require(A, np.dtype(A.dtype) in kinds, f"dtype is {A.dtype!r}, expected float64 or complex128")


def _check_linear(A: Measurement, rng: np.random.Generator) -> None:
    X, Y = draw(rng, A.shape, A.dtype), draw(rng, A.shape, A.dtype)
    x, y = rng.standard_normal(A.size), rng.standard_normal(A.size)
    copies = X.copy(), y.copy()
    first, matrix, cause = A.forward(X), A.adjoint(y), "a constant or a nonlinear step hides in it"
    require(A, np.array_equal(X, copies[0]), "forward changes its argument; work on a copy")
    require(A, np.array_equal(y, copies[1]), "adjoint changes its argument; work on a copy")
    require(A, np.isrealobj(first), "forward returns complex numbers; take the real part, ⟨A, X⟩ = Re tr(A* X)")
    agree(A, "linearity of forward", A.forward(2 * X - 3 * Y), 2 * first - 3 * A.forward(Y), cause)
    require(
        A,
        np.isrealobj(matrix) or np.issubdtype(A.dtype, np.complexfloating),
        "adjoint returns complex numbers, which dtype does not announce",
    )
    agree(A, "linearity of adjoint", A.adjoint(2 * x - 3 * y), 2 * A.adjoint(x) - 3 * matrix, cause)


def _check_action(A: Measurement, rng: np.random.Generator) -> None:
    """Check the adjoint identity, and the routes that avoid dense matrices, at random points."""
    X, y = draw(rng, A.shape, A.dtype), rng.standard_normal(A.size)
    b, S = A.forward(X), A.adjoint(y)
    require(A, np.shape(b) == (A.size,), f"forward returns shape {np.shape(b)}, expected ({A.size},)")
    require(A, np.shape(S) == A.shape, f"adjoint returns shape {np.shape(S)}, expected {A.shape}")
    sizes = np.linalg.norm(b) * np.linalg.norm(y) + np.linalg.norm(X) * np.linalg.norm(S)
    cause = "usually a transpose, a conjugate or a weight is missing in one of the two"
    agree(A, "the adjoint identity ⟨A(X), y⟩ = ⟨X, A*(y)⟩", b @ y, np.vdot(X, S).real, cause, float(sizes))
    for k in (0, 1, 3):
        L, R = (draw(rng, (d, k), A.dtype) for d in A.shape)
        want = A.forward(L @ R.conj().T)
        cause = "it must return A(L R*), for any number of columns, also none"
        agree(A, f"forward_factors with {k} columns", A.forward_factors(L, R), want, cause)
    T, F, G = A.adjoint_operator(y), draw(rng, (A.shape[1], 2), A.dtype), draw(rng, (A.shape[0], 2), A.dtype)
    cause = "it must act as the array adjoint(y) under @ and .T (not the conjugate transpose)"
    agree(A, "adjoint_operator", T @ F, S @ F, cause)
    agree(A, "the transpose of adjoint_operator", T.T @ G, S.T @ G, cause)
    _check_products(A, rng)
    if np.issubdtype(A.dtype, np.floating):
        _check_derivatives(A, rng)


def _check_products(A: Measurement, rng: np.random.Generator) -> None:
    """Check ``products``, whose inner products with L are measurements of L R*, and complex ``jacobian`` matrices."""
    for k in (0, 2):
        L, R = (draw(rng, (d, k), A.dtype) for d in A.shape)
        J = A.jacobian(L, R) if np.issubdtype(A.dtype, np.complexfloating) else None
        if J is not None and A.size * A.shape[0] * A.shape[1] <= LARGEST_TENSOR:
            T = A.matrices()
            want = np.concatenate([np.einsum("ijk,kc->icj", T, R), np.einsum("ikj,kc->icj", T, L)], -1)
            agree(A, f"jacobian with {k} columns", J, want, "entry [i, c] must hold A_i R[:, c], then A_iᵀ L[:, c]")
        found = A.products(R)
        if found is None:
            continue
        expected = (A.size, k, A.shape[0])
        require(A, found.shape == expected, f"products has shape {found.shape}, expected (m, k, d1) = {expected}")
        cause = "entry [i, c] must hold A_i R[:, c]"
        for turn in (1, 1j) if np.issubdtype(A.dtype, np.complexfloating) else (1,):
            got = np.einsum("icj,jc->i", found.conj(), turn * L).real
            want = A.forward(turn * L @ R.conj().T)
            agree(A, f"products with {k} columns", got, want, cause)


def _check_derivatives(A: Measurement, rng: np.random.Generator) -> None:
    """Compare derivatives with central differences, which are exact because ``(L, R) ↦ A(L Rᵀ)`` is quadratic."""
    (d1, d2), k = A.shape, 2
    L, R, P, Q = (rng.standard_normal((d, k)) for d in (d1, d2, d1, d2))

    def difference(dL: Array, dR: Array) -> Array:
        return (A.forward((L + dL) @ (R + dR).T) - A.forward((L - dL) @ (R - dR).T)) / 2

    J = A.jacobian(L, R)
    if J is not None:
        require(A, J.shape == (A.size, k, d1 + d2), f"jacobian has shape {J.shape}, expected (m, k, d1 + d2)")
        got = J.reshape(A.size, -1) @ np.concatenate([P, Q]).T.ravel()
        cause = "entry [i, c] must hold A_i R[:, c], then A_iᵀ L[:, c]"
        agree(A, "jacobian against finite differences", got, difference(P, Q), cause)
    if A.has_normal_matrix:
        half = rng.standard_normal((d1 + d2, d1 + d2))
        units = np.eye((d1 + d2) * k).reshape(-1, d1 + d2, k)
        J = np.stack([difference(e[:d1], e[d1:]) for e in units], 1).reshape(A.size, d1 + d2, k)
        want = np.einsum("iac,ab,jbc->ij", J, half @ half.T, J, optimize=True)
        cause = "normal_matrix must return ⟨J_i, P J_j⟩, J_i being A_i R above A_iᵀ L, in its lower triangle"
        x = np.concatenate([L, R])
        got = np.tril(A.normal_matrix(x @ x.T, half @ half.T))
        agree(A, "normal_matrix against finite differences", got, np.tril(want), cause)
    blocks = A.curvature_blocks(L, R)
    if blocks is not None:
        expected = (d1 + d2, k, k)
        require(A, blocks.shape == expected, f"curvature_blocks has shape {blocks.shape}, expected {expected}")
        for row in rng.choice(d1 + d2, min(d1 + d2, 6), replace=False):
            unit = np.zeros((k, d1 + d2, k))
            unit[np.arange(k), row, np.arange(k)] = 1.0
            columns = np.stack([difference(e[:d1], e[d1:]) for e in unit])
            cause = "a block is the sum over i of g gᵀ, g the row of A_i R (first d1) or of A_iᵀ L (last d2)"
            name = f"curvature_blocks at row {row} against finite differences"
            agree(A, name, blocks[row], columns @ columns.T, cause)


def _check_matrices(A: Measurement) -> None:
    cause = "matrices(start, stop) must return A_start … A_(stop−1), the adjoints of unit vectors"
    for start, stop in {(0, min(A.size, 3)), (max(0, A.size - 2), A.size)}:
        got = A.matrices(start, stop)
        want = np.stack([A.adjoint(np.eye(1, A.size, i)[0]) for i in range(start, stop)])
        agree(A, f"matrices({start}, {stop})", got, want, cause)


def _check_rank_one(A: Measurement, rng: np.random.Generator) -> None:
    """Check the traces of square sensing matrices and, if ``A_i = x_i x_i*``, the products with the vectors x_i."""
    if A.shape[0] != A.shape[1]:
        return
    cause = "traces must return Re tr A_i for every i"
    agree(A, "traces", A.traces(), A.forward(np.eye(A.shape[0], dtype=A.dtype)), cause, float(np.sum(A.norms())))
    if not A.is_rank_one:
        return
    U, V = draw(rng, (A.shape[0], 2), A.dtype), draw(rng, (A.size, 2), A.dtype)
    waves = A.amplitudes(U)
    want = A.forward(U @ U.conj().T)
    agree(A, "amplitudes", np.sum(np.abs(waves) ** 2, axis=1), want, "it must return x_i* U where A_i = x_i x_i*")
    cause = "superposition must be the adjoint of amplitudes"
    agree(A, "superposition", np.vdot(V, waves), np.vdot(A.superposition(V), U), cause)


def _check_metric(A: Measurement) -> None:
    (d1, d2), m = A.shape, A.size
    if m * d1 * d2 > LARGEST_TENSOR:
        return
    T = A.matrices()
    require(A, T.shape == (m, d1, d2), f"matrices() has shape {T.shape}, expected {(m, d1, d2)}")
    rows = np.tensordot(T, T.conj(), ((0, 2), (0, 2))) / (m * d2)
    cols = np.tensordot(T.conj(), T, ((0, 1), (0, 1))) / (m * d1)
    for name, D, square in zip(("D1", "D2"), A.metric(), (rows, cols), strict=True):
        dense = np.asarray(D)
        cause = "D1² = Σ A_i A_i* / (m d2) and D2² = Σ A_i* A_i / (m d1); look at gram_diagonals"
        agree(A, f"metric, the square of {name},", dense @ dense, square, cause)


def _check_take(A: Measurement, rng: np.random.Generator) -> None:
    X = draw(rng, A.shape, A.dtype)
    cause = "take keeps the chosen measurements in the given order, also repeated ones and boolean masks"
    for index in (rng.integers(0, A.size, min(A.size, 5) + 1), rng.permutation(A.size) < (A.size + 1) // 2):
        part = A.take(index)
        agree(A, f"take({index.dtype} array)", part.forward(X), A.forward(X)[index], cause)
        _check_action(part, rng)


def _check_merged(A: Measurement, rng: np.random.Generator) -> None:
    found = A.merged()
    if found is None:
        return
    merged, Q = found
    X, y, z = draw(rng, A.shape, A.dtype), rng.standard_normal(A.size), rng.standard_normal(merged.size)
    cause = "merged must return (A', Q) with A = Q A' and orthonormal columns of Q"
    agree(A, "merged, A = Q A',", Q @ merged.forward(X), A.forward(X), cause)
    agree(A, "merged, the adjoint of A = Q A',", merged.adjoint(Q.T @ y), A.adjoint(y), cause)
    agree(A, "merged, Qᵀ Q = I,", Q.T @ (Q @ z), z, cause)
    _check_action(merged, rng)


def _random_metric(n: int, dtype: Any, kind: str, rng: np.random.Generator) -> Metric:
    if kind == "diagonal":
        return Metric(rng.uniform(0.5, 2, n))
    F = draw(rng, (n, n + 2 if kind == "full" else max(1, n - 1)), dtype)
    return Metric.root(F @ F.conj().T)

"""Approximate singular subspaces and eigenvectors. They steer the proofs in `operator_norm.py`; none is a bound."""

from collections.abc import Callable
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.effort import Effort, ExhaustedError
from flatmin.linalg.forward_error import norm_of_blocks
from flatmin.linalg.metric import Metric

__all__ = [
    "ACCURATE",
    "DENSE",
    "EDGE",
    "EPS",
    "LARGEST_HERMITIAN",
    "MANY_COLUMNS",
    "MOST_TRIPLETS",
    "ROUGH",
    "adjoint_of",
    "as_array",
    "block_norm",
    "complement",
    "couplings",
    "deflate",
    "extended_subspaces",
    "extreme_eigenvalue",
    "largest_of_operator",
    "leading_eigenpairs",
    "leading_subspaces",
    "leading_triplets",
    "lowest_on_complement",
    "products_of",
    "refined_subspaces",
    "with_unseen",
]

EPS = float(np.finfo(float).eps)

#: Relative accuracy of rough values, and the number of vectors of an iteration for them.
ROUGH, FEW_VECTORS = 0.1, 8
#: Smaller dimension up to which whole singular value decompositions are computed.
DENSE = 400
#: Dimension up to which a single eigenvalue is computed by a decomposition; for larger ones Lanczos is faster.
LARGEST_QUICK = 100
#: Dimension up to which all eigenvalues of a Hermitian matrix are computed.
LARGEST_HERMITIAN = 2000
#: Singular subspaces are refined until the blocks of S between them and their complements have at most this norm.
ACCURATE = 1e-7
#: Largest number of rounds that refine singular subspaces.
REFINEMENTS = 3
#: Number of block Krylov steps of a round of refinement.
DEPTH = 4
#: Largest number of columns of a subspace that is refined.
WIDEST_GUESS = 100
#: Number of columns from which subspaces are not recomputed from scratch, since that is slow.
MANY_COLUMNS = 32
#: From `MANY_COLUMNS` columns on, refinement ends when a round reduces the norm of the blocks of S between the
#: subspaces and their complements by less than this factor.
GAIN = 3.0
#: Singular values above this number are computed, because bounding them by random starts would take more steps.
EDGE = 0.9975
#: Largest number of singular triplets to search for.
MOST_TRIPLETS = 400
#: Width of the blocks of the search for singular triplets.
BLOCK = 8
#: Largest number of restarts of the search for singular triplets.
CYCLES = 30
#: Products with one vector that the search takes for each triplet, if there are many; see `Effort`.
PER_TRIPLET = 2.3
#: Residual at which a singular vector has converged in the search for singular triplets.
SEPARATED = 1e-7


def as_array(S: Any) -> Array:
    """Return an array, a sparse array or another operator with ``@`` as an array. Arrays are not copied."""
    if isinstance(S, np.ndarray):
        return S
    return np.asarray(S.toarray() if hasattr(S, "toarray") else S @ np.eye(S.shape[1]))


def complement(F: Array, blind: Array | None = None) -> Array:
    """Return an orthonormal basis of the orthogonal complement of orthonormal columns F (and ``blind``, if given)."""
    known = F if blind is None else np.hstack([F, blind])
    return np.linalg.qr(known, mode="complete")[0][:, known.shape[1] :]


def deflate(S: Any, U: Array, V: Array) -> Any:
    """Return ``(I − UU*) S (I − VV*)``: an array if S is one, else a linear operator."""
    if isinstance(S, np.ndarray):
        D = S - U @ (U.conj().T @ S)
        return D - (D @ V) @ V.conj().T
    from scipy.sparse.linalg import LinearOperator

    transposed = S.T.tocsr() if hasattr(S, "tocsr") else adjoint_of(S)

    def apply(matrix: Any, left: Array, right: Array, x: Array) -> Array:
        x = x.reshape(len(x), -1)
        x = matrix @ (x - right @ (right.conj().T @ x))
        return np.asarray(x - left @ (left.conj().T @ x))

    return LinearOperator(
        S.shape,
        matvec=lambda x: apply(S, U, V, x).ravel(),
        rmatvec=lambda y: apply(transposed, V, U, y).ravel(),
        matmat=lambda x: apply(S, U, V, x),
        rmatmat=lambda y: apply(transposed, V, U, y),
        dtype=np.result_type(S.dtype, U, V),
    )


def products_of(S: Any, effort: Effort | None = None) -> Any:
    """Return a linear operator for anything with ``@``, which counts its products if an effort is given."""
    from scipy.sparse.linalg import LinearOperator

    def apply(x: Array) -> Any:
        if effort is not None:
            effort.spend()
        return S @ x

    return LinearOperator(S.shape, matvec=apply, dtype=S.dtype)


def adjoint_of(S: Any) -> Any:
    """Return the adjoint of an array, a sparse array or an operator."""
    return S.conj().T if np.issubdtype(S.dtype, np.complexfloating) else S.T


def leading_triplets(S: Any, count: int, tol: float = 1e-2, seed: int = 0) -> tuple[Array, Array, Array]:
    """Return about ``count`` leading singular triplets ``U, s, V`` of an array, a sparse array or an operator.

    For operators, an iteration ends at the relative residual ``tol²`` or when it stalls. Its values never exceed the
    true ones.
    """
    smaller = min(S.shape)
    if isinstance(S, np.ndarray) or (hasattr(S, "toarray") and smaller <= DENSE) or count >= smaller - 1:
        U, s, Vt = np.linalg.svd(as_array(S), full_matrices=False)
        return U[:, :count], s[:count], Vt[:count].T
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

    n = S.shape[1]
    adjoint = S.T.tocsr() if hasattr(S, "tocsr") else S.T
    square = LinearOperator((n, n), matvec=lambda x: adjoint @ (S @ x), dtype=float)
    start = adjoint @ (S @ np.random.default_rng(seed).standard_normal(n))
    basis = start[:, None]
    try:
        width = min(n, max(4 * count, 40))
        if np.any(start):
            basis = eigsh(square, k=count, v0=start, ncv=width, tol=tol**2, maxiter=100)[1]
    except ArpackNoConvergence as stopped:
        basis = np.hstack([stopped.eigenvectors, basis])
    except ArpackError:
        pass
    V = np.linalg.qr(basis)[0]
    U, s, right = np.linalg.svd(S @ V, full_matrices=False)
    return U[:, :count], s[:count], (V @ right.T)[:, :count]


def leading_eigenpairs(
    S: Any, count: int, seed: int = 0, by_size: bool = False, tol: float = 1e-3, effort: Effort | None = None
) -> tuple[Array, Array]:
    """Return about ``count`` largest eigenvalues (in size if ``by_size``) of a Hermitian S, with eigenvectors.

    An iteration that takes more time than a decomposition of S is replaced by it. If an effort is given, an iteration
    that exceeds it raises `ExhaustedError` instead.
    """
    small = S.shape[0] <= (LARGEST_HERMITIAN if isinstance(S, np.ndarray) else DENSE)
    if small or count >= S.shape[0] - 1:
        values, Q = _all_eigenpairs(S)
    else:
        from scipy.sparse.linalg import ArpackNoConvergence, eigsh

        start = np.random.default_rng(seed).standard_normal(S.shape[0])
        which, products = "LM" if by_size else "LA", products_of(S, effort or Effort.before_eigenpairs(S))
        try:
            values, Q = eigsh(products, k=count, which=which, v0=start.astype(S.dtype), tol=tol)
        except ArpackNoConvergence as stopped:
            values, Q = stopped.eigenvalues, stopped.eigenvectors
        except ExhaustedError:
            if effort is not None:
                raise
            values, Q = _all_eigenpairs(S)
    order = np.argsort(-(np.abs(values) if by_size else values), kind="stable")[:count]
    return values[order], Q[:, order]


def _all_eigenpairs(S: Any) -> tuple[Array, Array]:
    """Return all eigenvalues of a Hermitian matrix, ascending, with eigenvectors."""
    dense = as_array(S)
    found: tuple[Array, Array] = np.linalg.eigh((dense + dense.conj().T) / 2)
    return found


def extreme_eigenvalue(S: Array, lowest: bool = False) -> float:
    """Return the largest or the lowest eigenvalue of a Hermitian array; for large arrays, to about 0.1 %."""
    from scipy.linalg import eigh
    from scipy.sparse.linalg import ArpackError, eigsh

    if len(S) > LARGEST_QUICK:
        start = np.random.default_rng(0).standard_normal(len(S)).astype(S.dtype)
        try:
            which = "SA" if lowest else "LA"
            return float(eigsh(S, 1, which=which, v0=start, tol=1e-3, return_eigenvectors=False)[0])
        except ArpackError:
            pass
    place = 0 if lowest else len(S) - 1
    return float(eigh(S, eigvals_only=True, subset_by_index=[place, place], check_finite=False)[0])


def lowest_on_complement(W: Any, U: Array, seen: Metric, count: int, tol: float, seed: int = 0) -> tuple[Array, Array]:
    """Return estimates, from above, of the lowest eigenvalues of W on the complement of U within the seen subspace.

    W is a Hermitian matrix (d, d) that vanishes on the orthonormal columns of U (d, k) and outside the seen subspace;
    ``seen`` is the projector on that subspace, as the power 0 of a metric. Errors are ``tol`` relative to the largest
    eigenvalue of W. The values are ascending, with orthonormal eigenvectors. If Lanczos does not converge, fewer than
    ``count`` are returned.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    top, apply = _flipped_on_complement(W, U, seen, seed)
    start = np.random.default_rng(seed).standard_normal(len(U)).astype(W.dtype)
    flipped = LinearOperator(W.shape, matvec=lambda x: apply(np.ravel(x)), dtype=W.dtype)
    try:
        values, vectors = eigsh(flipped, k=count, which="LA", v0=start, ncv=min(len(U), 2 * count + 38), tol=tol)
    except ArpackNoConvergence as stopped:
        values, vectors = stopped.eigenvalues, stopped.eigenvectors
    order = np.argsort(-values, kind="stable")
    return top - values[order], vectors[:, order]


def with_unseen(U: Array, seen: Metric) -> Array:
    """Return U and the unseen directions as columns; only U if the projector ``seen`` is diagonal and so exact."""
    return U if seen.is_diagonal else np.hstack([U, seen.blind])


def largest_of_operator(W: Any, seed: int = 0) -> float:
    """Return a number slightly above the largest eigenvalue of a Hermitian W, from a rough Lanczos iteration."""
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(seed).standard_normal(W.shape[0]).astype(W.dtype)
    options: dict[str, Any] = {"ncv": min(FEW_VECTORS, W.shape[0]), "tol": ROUGH, "return_eigenvectors": False}
    return (1 + ROUGH) * float(eigsh(products_of(W), k=1, which="LA", v0=start, **options)[0])


def _flipped_on_complement(W: Any, U: Array, seen: Metric, seed: int) -> tuple[float, Callable[[Array], Array]]:
    """Return c above the largest eigenvalue of W, and products with ``P(cI − W)P``.

    P is the projector on the complement of U within the seen subspace.
    """
    top, known = largest_of_operator(W, seed), with_unseen(U, seen)

    def inside(x: Array) -> Array:
        x = seen @ x if seen.is_diagonal else x
        return np.asarray(x - known @ (known.conj().T @ x))

    def apply(x: Array) -> Array:
        x = inside(x)
        return inside(top * x - W @ x)

    return top, apply


def leading_subspaces(S: Any, count: int, seed: int) -> tuple[Array, Array, tuple[Array, Array, Array, Array]]:
    """Compute leading singular subspaces from scratch; return them and their `couplings`."""
    U, _, V = leading_triplets(S, count, tol=1e-5, seed=seed)
    return U, V, couplings(S, U, V)


def refined_subspaces(S: Any, U: Array, V: Array) -> tuple[Array, Array, tuple[Array, Array, Array, Array]]:
    """Refine guesses of singular subspaces by block Krylov steps; return the subspaces and their `couplings`."""
    p = U.shape[1]
    parts = couplings(S, U, V)
    for _ in range(REFINEMENTS if 0 < p <= WIDEST_GUESS else 0):
        if max(parts[3]) <= ACCURATE:
            return U, V, parts
        basis, block = V, parts[0].conj().T - V @ parts[2].conj().T
        for _ in range(DEPTH):
            for _ in range(2):
                block = np.linalg.qr(block - basis @ (basis.conj().T @ block))[0]
            basis = np.hstack([basis, block])
            block = adjoint_of(S) @ (S @ block)
        basis = np.linalg.qr(basis)[0]
        Q, R = np.linalg.qr(S @ basis)
        left, _, right = np.linalg.svd(R)
        U, V = Q @ left[:, :p], basis @ right[:p].conj().T
        before, parts = max(parts[3]), couplings(S, U, V)
        if p >= MANY_COLUMNS and GAIN * max(parts[3]) > before:
            break
    return U, V, parts


def extended_subspaces(
    S: Any, U: Array, V: Array, unit: float, floor: float, seed: int, effort: Effort
) -> tuple[Array, Array, float]:
    """Append singular vectors of the deflated S whose value exceeds ``floor``; return the largest value as well.

    If the largest value exceeds one, the floor is multiplied by it. Clustered vectors are not separated, because only
    their residuals matter. The first cycle estimates the number of vectors. If the effort that is left does not suffice
    for so many, it raises `ExhaustedError`.
    """
    R, room = deflate(S, U, V), min(S.shape) - U.shape[1]
    adjoint = R.conj().T if isinstance(R, np.ndarray) else R.H
    block = start = adjoint @ (R @ np.random.default_rng(seed).standard_normal((S.shape[1], BLOCK)))
    right, image = V[:, :0], U[:, :0]
    for cycle in range(CYCLES):
        for _ in range(2 * DEPTH):
            block = block[:, : room - right.shape[1]]
            for _ in range(2):
                block = block - V @ (V.conj().T @ block)
                block = np.linalg.qr(block - right @ (right.conj().T @ block))[0]
            if not block.shape[1]:
                break
            effort.spend(2 * block.shape[1])
            right, image = np.hstack([right, block]), np.hstack([image, R @ block])
            block = adjoint @ image[:, -block.shape[1] :]
        Q, triangle = np.linalg.qr(image)
        left, s, turn = np.linalg.svd(triangle)
        floor = max(floor, min(unit, EDGE) * float(s.max(initial=0.0)))
        count = min(int(np.count_nonzero(s > floor)), MOST_TRIPLETS)
        if cycle == 0:  # normal numbers have mean squares of one in every direction, and s⁴ after both products
            along = turn[:count] @ (right.conj().T @ start)
            effort.afford(PER_TRIPLET * float(np.sum(np.abs(along) ** 2 / s[:count, None] ** 4)) / BLOCK)
        kept = slice(min(count + BLOCK, len(s)))
        left, s, right = Q @ left[:, kept], s[kept], right @ turn[kept].conj().T
        image = left * s
        residual = adjoint @ left - right * s
        open_ = np.linalg.norm(residual, axis=0) > SEPARATED * floor
        if not np.any(open_[:count]) or right.shape[1] == room:
            break
        block = residual[:, open_][:, :BLOCK]
    U = np.linalg.qr(np.hstack([U, left[:, :count]]))[0]
    V = np.linalg.qr(np.hstack([V, right[:, :count]]))[0]
    return U, V, float(s.max(initial=0.0))


def block_norm(inner: Array, coupling: Array, rest: float) -> float:
    """Bound the norm of a 2×2 block matrix, up to rounding, from its leading block and bounds on the other blocks."""
    top = float(np.linalg.norm(inner, 2)) if inner.size else 0.0
    return norm_of_blocks(top, coupling[0], coupling[1], rest)


def couplings(S: Any, U: Array, V: Array) -> tuple[Array, Array, Array, Array]:
    """Return ``U*S``, ``SV``, ``U*SV``, and the Frobenius norms of ``U*S(I − VV*)`` and ``(I − UU*)SV``."""
    UtS, SV = (adjoint_of(S) @ U).conj().T, S @ V
    inner = UtS @ V
    coupling = np.array([np.linalg.norm(UtS - inner @ V.conj().T), np.linalg.norm(SV - U @ inner)])
    return UtS, SV, inner, coupling

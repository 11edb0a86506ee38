"""Upper bounds on the largest singular values of a dual matrix: proved, or but for a stated chance.

Lanczos iterations bound an operator norm from below, so a value of theirs certifies nothing. Here they choose a
subspace; what is reported is proved by a dense singular value decomposition or by a Cholesky factorization, or follows
from random starts that have nothing to do with the matrix (`flatmin.krylov`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin.krylov import largest_eigenvalue
from flatmin.metric import Array, Metric

__all__ = [
    "TopSpectrum",
    "as_array",
    "block_norm",
    "complement_margin",
    "couple",
    "deflate",
    "leading_eigenpairs",
    "leading_triplets",
    "lowest_beside",
    "top_spectrum",
]

EPS = float(np.finfo(float).eps)

#: Up to this smaller dimension the whole singular value decomposition is computed.
DENSE = 400
#: … unless it has more entries than this.
LARGEST_DENSE = 16_000_000
#: Up to this dimension the eigenvalues of a Hermitian matrix are computed.
LARGEST_HERMITIAN = 2000
#: Up to this smaller dimension a Cholesky factorization proves the bound, since it takes little time …
FACTORED = 2000
#: … and up to this one, if random starts bound the norm too loosely, or nothing shall be left to chance; beyond, it
#: would take too much memory.
CHOLESKY = 8000
#: Up to this dimension a matrix known by its products is formed to be factorized.
LARGEST_FORMED = 5000
#: These shares of an estimated smallest eigenvalue are tried to be proved, the larger one first.
SHARES = (0.985, 0.5)
#: Singular subspaces that couple with their complements by more than this are computed anew.
ACCURATE = 1e-7
#: … by so many rounds of block Krylov steps of this depth, unless there are more columns than these.
REFINEMENTS, DEPTH, WIDEST_GUESS = 3, 4, 100
#: So many columns are dear to compute anew. They are left as they are if that raises the bound of the norm by less than
#: this, and are not refined further if a round gains less than this factor.
MANY_COLUMNS, HARMLESS, GAIN = 32, 3e-8, 3.0
#: With this probability the bound of a norm by random starts fails, and that of a margin: half of it the first time
#: that one is tried, a quarter the second time, and so on.
FAILURE = 2e-11
#: Iterations with random starts end when the bound leaves this share of what their estimate leaves below one …
SETTLED = 0.7
#: … or after so many steps.
STEPS = 150
#: The same for margins, whose products may be dear: see `complement_margin`; and their stream of random numbers.
MARGIN_SETTLED, MARGIN_STEPS, MARGIN_STREAM = 0.5, 150, 1 << 20
#: Singular values above this one cost more steps than to be found and set apart.
EDGE = 0.9975
#: So often, and so many of them, are they looked for, in blocks of this width, with so many restarts, to this residual.
ATTEMPTS, MOST_TRIPLETS, BLOCK, CYCLES, SEPARATED = 6, 400, 8, 30, 1e-7
#: Random starts at once: a product with sparse matrices costs about as much for eight vectors as for three.
STARTS, STARTS_OF_OPERATOR = 8, 2
#: Operators known by their products are taken to be right to this many rounding errors of the largest product.
OPERATOR_ROUNDING = 1e3 * EPS
#: Names the stream of random numbers that nothing else draws from.
STREAM = 0x6E6F726D


@dataclass(frozen=True, eq=False)
class TopSpectrum:
    """The leading singular triplets of a matrix S, with rigorous bounds on the norm and on what is left.

    Attributes
    ----------
    U, values, V : ndarray, shapes (d1, p), (p,), (d2, p)
        Leading singular triplets, descending: all of them (kind "dense") or those that reach one.
    norm : float
        An upper bound on ``‖S‖_op``.
    rest : float
        An upper bound on the norm of ``S`` between the orthogonal complements of U and V.
    kind : str
        What proves the bounds: "dense", "cholesky", "proven" (a formula), "probabilistic", or "estimated" (nothing).
    slack : float
        What the triplets couple with the rest: singular values of S differ from theirs by no more.
    failure : float
        The chance that the bounds are wrong, over the random starts that they were made with.
    """

    U: Array
    values: Array
    V: Array
    norm: float
    rest: float
    kind: str
    slack: float = 0.0
    failure: float = 0.0

    def scaled(self, factor: float) -> TopSpectrum:
        """Return the spectrum of ``factor · S``."""
        return replace(
            self,
            values=factor * self.values,
            norm=factor * self.norm,
            rest=factor * self.rest,
            slack=factor * self.slack,
        )

    def below(self, q: int) -> float:
        """Return an upper bound on the (q+1)-th singular value, by Weyl's inequality."""
        following = float(self.values[q]) if q < len(self.values) else 0.0
        return max(following, self.rest) * (1 + 1e3 * EPS) + self.slack


def as_array(S: Any) -> Array:
    """Return an array, a sparse array or anything else with ``@`` as an array, itself where it is one.

    Examples
    --------
    >>> from scipy.sparse import eye_array
    >>> as_array(eye_array(2))
    array([[1., 0.],
           [0., 1.]])
    """
    if isinstance(S, np.ndarray):
        return S
    return np.asarray(S.toarray() if hasattr(S, "toarray") else S @ np.eye(S.shape[1]))


def deflate(S: Any, U: Array, V: Array) -> Any:
    """Return ``(I − UU*) S (I − VV*)``: an array if S is one, else a linear operator."""
    if isinstance(S, np.ndarray):
        D = S - U @ (U.conj().T @ S)
        return D - (D @ V) @ V.conj().T
    from scipy.sparse.linalg import LinearOperator

    transposed = S.T.tocsr() if hasattr(S, "tocsr") else _adjoint(S)

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


def _products_of(S: Any) -> Any:
    """Return a linear operator for anything with ``@``."""
    from scipy.sparse.linalg import LinearOperator

    return LinearOperator(S.shape, matvec=lambda x: S @ x, dtype=S.dtype)


def _adjoint(S: Any) -> Any:
    return S.conj().T if np.issubdtype(S.dtype, np.complexfloating) else S.T


def leading_triplets(S: Any, count: int, tol: float = 1e-2, seed: int = 0) -> tuple[Array, Array, Array]:
    """Return about ``count`` leading singular triplets ``U, s, V`` of an array, a sparse array or an operator.

    Arrays are decomposed; otherwise ``SᵀS`` is iterated by Lanczos to a residual of ``tol²``, relatively, or as far as
    it comes: the triplets are Ritz approximations, whose values never exceed the true ones.
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
    S: Any, count: int, seed: int = 0, by_size: bool = False, tol: float = 1e-3
) -> tuple[Array, Array]:
    """Return about ``count`` eigenvalues of a Hermitian S, largest first (in size, if asked for), and eigenvectors.

    Arrays are decomposed, unless they are large; otherwise Lanczos approximates them, from below, to a residual of
    ``tol``, relatively.
    """
    small = S.shape[0] <= (LARGEST_HERMITIAN if isinstance(S, np.ndarray) else DENSE)
    if small or count >= S.shape[0] - 1:
        dense = as_array(S)
        values, Q = np.linalg.eigh((dense + dense.conj().T) / 2)
    else:
        from scipy.sparse.linalg import ArpackNoConvergence, eigsh

        start = np.random.default_rng(seed).standard_normal(S.shape[0])
        try:
            values, Q = eigsh(
                _products_of(S), k=count, which="LM" if by_size else "LA", v0=start.astype(S.dtype), tol=tol
            )
        except ArpackNoConvergence as stopped:
            values, Q = stopped.eigenvalues, stopped.eigenvectors
    order = np.argsort(-(np.abs(values) if by_size else values), kind="stable")[:count]
    return values[order], Q[:, order]


def top_spectrum(
    S: Any,
    U: Array,
    V: Array,
    *,
    unit: float,
    seed: int = 0,
    cone: str = "rectangular",
    randomized: bool = True,
) -> TopSpectrum:
    """Bound the norm of S, and its norm outside the singular vectors whose value reaches ``unit``.

    In the cone "semidefinite" the norm is the largest eigenvalue, which bounds ``⟨Z, S⟩ / tr Z`` for Z ⪰ 0, and U = V
    are eigenvectors. In the cone "symmetric" it is the operator norm, and V is U times the signs of the eigenvalues.

    Parameters
    ----------
    S : ndarray or sparse array, shape (d1, d2)
        The matrix.
    U, V : ndarray, shapes (d1, k) and (d2, k)
        Orthonormal guesses of leading singular vectors; a poor guess gives a poorer bound, never a wrong one.
    unit : float
        Singular values above this one belong to the leading part.
    seed : int
        Starts the iterations that choose a subspace, and draws the random starts of those that bound a norm.
    cone : str
        `Parametrization.cone` of the model.
    randomized : bool
        Whether bounds count that fail with a small chance; without them more is factorized, and of larger matrices
        nothing is proved.
    """
    if cone != "rectangular":
        found = _hermitian_spectrum(S, U, unit, seed, cone == "symmetric")
        likely = found.kind == "probabilistic" and not randomized
        return replace(found, kind="estimated", failure=0.0) if likely else found
    d1, d2 = S.shape
    if hasattr(S, "tocsr"):
        seen = [np.flatnonzero(_stored(S, axis)) for axis in (0, 1)]
        if (len(seen[0]), len(seen[1])) != S.shape and min(map(len, seen)) > 0:
            inner = S.tocsr()[seen[0]][:, seen[1]]
            found = top_spectrum(inner, U[seen[0]], V[seen[1]], unit=unit, seed=seed, randomized=randomized)
            return replace(found, U=_spread(found.U, seen[0], d1), V=_spread(found.V, seen[1], d2))
    if not np.any(S.data if hasattr(S, "tocsr") else S):
        return TopSpectrum(U, np.zeros(U.shape[1]), V, 0.0, 0.0, "dense")
    if min(d1, d2) <= DENSE * (1 + isinstance(S, np.ndarray)) and d1 * d2 <= LARGEST_DENSE:
        dense = S if isinstance(S, np.ndarray) else S.toarray()
        U, s, Vt = np.linalg.svd(dense, full_matrices=False)
        return TopSpectrum(U, s, Vt.T, float(s[0]) * (1 + 4 * max(d1, d2) * EPS), 0.0, "dense")
    return _bounded(S, np.linalg.qr(U)[0], np.linalg.qr(V)[0], unit, seed, randomized)


def _hermitian_spectrum(S: Any, U: Array, unit: float, seed: int, by_size: bool) -> TopSpectrum:
    """Return the whole spectrum of a Hermitian S where it can be had, else its end, by random starts beside it."""
    d = S.shape[0]
    if d > LARGEST_HERMITIAN:
        return _likely_hermitian(S, np.linalg.qr(U)[0], unit, seed, by_size)
    values, Q = leading_eigenpairs(as_array(S), d, seed, by_size)
    signs = np.where(values < 0, -1.0, 1.0) if by_size else 1.0
    values = np.abs(values) if by_size else values
    top = max(0.0, float(values[0])) if len(values) else 0.0
    scale = float(np.max(np.abs(values), initial=0.0))
    return TopSpectrum(Q, values, Q * signs, top + 4 * d * EPS * scale, 0.0, "dense")


def _likely_hermitian(S: Any, Q: Array, unit: float, seed: int, by_size: bool) -> TopSpectrum:
    """Bound the end of the spectrum block by block: exactly on Q, by random starts on its complement."""
    given = Q.shape[1]
    for attempt in range(ATTEMPTS):
        SQ = S @ Q
        inner = Q.conj().T @ SQ
        slack = float(np.linalg.norm(SQ - Q @ inner)) + 1e2 * EPS
        if slack > ACCURATE and attempt == 0 and given:
            Q = np.linalg.qr(leading_eigenpairs(S, given, seed, by_size, tol=1e-9)[1])[0]
            continue
        scale = max(1.0, float(np.linalg.norm(inner, 2))) if Q.shape[1] else 1.0
        floor = scale * min(unit, EDGE)
        ends = [_likely_end(S, Q, sign, scale, floor, (seed, 2 * attempt + i)) for i, sign in enumerate((1.0, -1.0))]
        rest, reached = np.max(ends if by_size else ends[:1], axis=0)
        if reached <= floor or Q.shape[1] >= min(MOST_TRIPLETS, len(Q)):
            break
        values, found = leading_eigenpairs(deflate(S, Q, Q), 4 * 2**attempt, seed + attempt, by_size, tol=1e-9)
        new = (np.abs(values) if by_size else values) > floor
        Q = np.linalg.qr(np.hstack([Q, found[:, new]]))[0]
    values, turn = np.linalg.eigh((inner + inner.conj().T) / 2)
    signs = np.where(values < 0, -1.0, 1.0) if by_size else np.ones(len(values))
    values = values * signs
    order = np.argsort(-values, kind="stable")
    Q, values, signs = Q[:, : len(turn)] @ turn[:, order], values[order], signs[order]
    top = float(np.linalg.eigvalsh([[values[0], slack], [slack, rest]])[-1]) if len(values) else float(rest)
    top = max(0.0, top + 1e2 * EPS * scale)
    return TopSpectrum(Q, values, Q * signs, top, float(rest), "probabilistic", slack, FAILURE)


def _likely_end(
    S: Any, Q: Array, sign: float, scale: float, floor: float, stream: tuple[int, int]
) -> tuple[float, float]:
    """Bound the largest eigenvalue of ± S on the complement of Q by random starts; return what is surely reached, too.

    Of `FAILURE` the k-th stream gets the share ``2^-(k+1)``.
    """

    def apply(X: Array) -> Array:
        X = X - Q @ (Q.conj().T @ X)
        X = sign * (S @ X)
        return np.asarray(X - Q @ (Q.conj().T @ X))

    def enough(reached: float, upper: float) -> bool:
        return reached > floor or scale - upper >= SETTLED * (scale - reached)

    starts = _starts(S, _starts_at_once(S), stream)
    starts -= Q @ (Q.conj().T @ starts)
    found = largest_eigenvalue(
        apply,
        starts,
        dimension=len(Q) - Q.shape[1],
        failure=FAILURE / 2 ** (stream[1] + 1),
        rounding=_product_rounding(S, Q.shape[1], scale),
        steps=STEPS,
        enough=enough,
    )
    return found.upper, found.reached


def complement_margin(W: Any, U: Array, seen: Metric, seed: int = 0, randomized: bool = True) -> tuple[float, str]:
    """Return a lower bound on the eigenvalues of a Hermitian W on the complement of U, and what proves it.

    Lanczos estimates the smallest one; a Cholesky factorization proves a little less, where the matrix can be formed,
    with its rounding errors counted against it. Beyond that size random starts bound it, but for a chance of `FAILURE`.

    Parameters
    ----------
    W : ndarray or operator with ``@``, shape (d, d)
        A Hermitian matrix with ``W U = 0``.
    U : ndarray, shape (d, k)
        Orthonormal columns.
    seen : Metric
        The projector on what counts, as the power 0 of a metric; W vanishes elsewhere.
    seed : int
        Starts the Lanczos iteration, and draws the random starts.
    randomized : bool
        Whether a bound counts that fails with a small chance.
    """
    if len(U) > LARGEST_FORMED:
        margin, kind = _likely_margin(W, U, seen, seed)
        return margin, kind if randomized else "estimated"
    values, _ = lowest_beside(W, U, seen, 1, 1e-4, seed)
    estimate = float(values[0]) if len(values) else 0.0
    if estimate <= 0:
        return estimate, "estimated"
    dense = as_array(W)
    if seen.rank < len(U):
        dense = dense + estimate * (np.eye(len(U)) - seen.dense)
    for share in SHARES:
        if _positive_beside(dense, U, share * estimate):
            return share * estimate, "cholesky"
    return estimate, "estimated"


def _likely_margin(W: Any, U: Array, seen: Metric, seed: int) -> tuple[float, str]:
    """Bound the eigenvalues of W beside U from below by random starts, and say that; or return a Ritz value."""
    top, inside, flipped = _flipped(W, U, seen, seed)
    found = largest_eigenvalue(
        flipped,
        inside(_starts(W, _starts_at_once(W), (seed, MARGIN_STREAM))),
        dimension=seen.rank - U.shape[1],
        failure=FAILURE,
        rounding=_product_rounding(W, U.shape[1], top) + 4 * EPS * top,
        steps=MARGIN_STEPS,
        enough=lambda reached, upper: reached >= top or top - upper >= MARGIN_SETTLED * (top - reached),
    )
    if found.upper < top:
        return top - found.upper, "probabilistic"
    return top - found.reached, "estimated"


def lowest_beside(W: Any, U: Array, seen: Metric, count: int, tol: float, seed: int = 0) -> tuple[Array, Array]:
    """Return estimates, from above, of the lowest eigenvalues of W on the complement of U in what is seen.

    Lanczos finds the largest eigenvalues of ``P (c I − W) P`` with the projector P on that complement, where c is a
    little more than the largest eigenvalue of W: what P removes is in the way at neither end.

    Parameters
    ----------
    W : ndarray or operator with ``@``, shape (d, d)
        A Hermitian matrix that vanishes on U and on what is not seen.
    U : ndarray, shape (d, k)
        Orthonormal columns.
    seen : Metric
        The projector on what counts, as the power 0 of a metric.
    count : int
        How many eigenvalues to look for.
    tol : float
        Their error, relative to the largest eigenvalue of W.
    seed : int
        Starts the Lanczos iterations.

    Returns
    -------
    values : ndarray, shape (count,)
        Ascending; fewer, or none, where the iteration does not converge.
    vectors : ndarray, shape (d, count)
        Orthonormal eigenvectors.

    Examples
    --------
    >>> W, U = np.diag(np.arange(50.0)), np.eye(50)[:, :1]
    >>> values, vectors = lowest_beside(W, U, Metric(np.ones(50)), 2, 1e-10)
    >>> values.round(6), np.argmax(np.abs(vectors), axis=0)
    (array([1., 2.]), array([1, 2]))
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    top, _, apply = _flipped(W, U, seen, seed)
    start = np.random.default_rng(seed).standard_normal(len(U)).astype(W.dtype)
    flipped = LinearOperator(W.shape, matvec=lambda x: apply(np.ravel(x)), dtype=W.dtype)
    try:
        values, vectors = eigsh(flipped, k=count, which="LA", v0=start, ncv=min(len(U), 2 * count + 38), tol=tol)
    except ArpackNoConvergence as stopped:
        values, vectors = stopped.eigenvalues, stopped.eigenvectors
    order = np.argsort(-values, kind="stable")
    return top - values[order], vectors[:, order]


def _flipped(
    W: Any, U: Array, seen: Metric, seed: int
) -> tuple[float, Callable[[Array], Array], Callable[[Array], Array]]:
    """Return a number c above the largest eigenvalue of W, the projector P, and products with ``P (c I − W) P``."""
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(seed).standard_normal(len(U)).astype(W.dtype)
    top = 1.1 * float(eigsh(_products_of(W), k=1, which="LA", v0=start, tol=0.1, return_eigenvectors=False)[0])
    whole = seen.rank == len(U)

    def inside(x: Array) -> Array:
        x = x if whole else seen @ x
        return np.asarray(x - U @ (U.conj().T @ x))

    def apply(x: Array) -> Array:
        x = inside(x)
        return inside(top * x - W @ x)

    return top, inside, apply


def _positive_beside(W: Array, U: Array, bound: float) -> bool:
    """Prove ``x* W x ≥ bound ‖x‖²`` for all x ⟂ U by a Cholesky factorization of ``W + c U U* − bound I``."""
    from scipy.linalg import lapack

    n, shift = len(W), 2 * bound + 1
    M = np.array(W, order="F") if U.size == 0 else np.asfortranarray(W + (shift * U) @ U.conj().T)
    size = float(np.max(np.abs(M).sum(axis=0)))
    trace = float(np.trace(M).real) + n * bound
    M[np.diag_indices(n)] -= bound + 1.1 * EPS * ((U.shape[1] ** 2 + 100) * size + (n + 2) * trace)
    factorize = lapack.zpotrf if np.iscomplexobj(M) else lapack.dpotrf
    return bool(factorize(M, lower=1, clean=0, overwrite_a=1)[1] == 0)


def _spread(U: Array, rows: Array, length: int) -> Array:
    """Return U with its rows at the positions ``rows`` of a taller array of zeros."""
    out = np.zeros((length, U.shape[1]))
    out[rows] = U
    return out


def _bounded(S: Any, U: Array, V: Array, unit: float, seed: int, randomized: bool) -> TopSpectrum:
    """Bound the norm block by block: exactly between U and V; between their complements by random starts or Cholesky.

    What is found above ``unit``, or was given, makes the triplets; what is found between ``EDGE`` and that, the rest.
    """
    found = _searched(S, U, V, unit, seed)
    U, V, (UtS, SV, inner, _), rest = found.U, found.V, found.parts, found.upper
    kind, failure, smaller = "probabilistic", FAILURE, min(S.shape)
    if smaller <= FACTORED or (smaller <= CHOLESKY and not (randomized and rest < found.scale)):
        proved = next((guess for guess in found.guesses if _complement_below(S, U, V, UtS, SV, guess)), None)
        if proved is not None:
            rest, kind, failure = proved, "cholesky", 0.0
        elif smaller <= FACTORED:  # what random starts say should have been proved easily
            kind, failure = "estimated", 0.0
    if kind == "probabilistic" and not randomized:
        kind, failure = "estimated", 0.0
    left, s, right = np.linalg.svd(inner)
    UtS, SV, U, V = left.conj().T @ UtS, SV @ right.conj().T, U @ left, V @ right.conj().T
    top = max(min(found.given, len(s)), int(np.count_nonzero(s > unit * max(1.0, s.max(initial=0.0)))))

    def apart(columns: slice) -> Array:
        off = UtS.conj().T[:, columns] - V[:, columns] * s[columns], SV[:, columns] - U[:, columns] * s[columns]
        return np.array([np.linalg.norm(block) for block in off]) + 1e2 * EPS

    rest = block_norm(np.diag(s[top:]), apart(slice(top, None)), rest)
    coupling = apart(slice(top))
    norm = block_norm(np.diag(s[:top]), coupling, rest)
    return TopSpectrum(U[:, :top], s[:top], V[:, :top], norm, rest, kind, float(max(coupling)), failure)


@dataclass(frozen=True, eq=False)
class _Search:
    """Singular subspaces of S, `couple` of them, and what random starts say of the norm beside them.

    The norm is at least ``reached`` and, but for a chance, at most ``upper``. ``given`` columns were there before.
    """

    U: Array
    V: Array
    parts: tuple[Array, Array, Array, Array]
    scale: float
    reached: float
    upper: float
    given: int

    @property
    def guesses(self) -> list[float]:
        """Return bounds that a factorization may prove, in the order that they are worth trying."""
        room = max(abs(self.scale - self.reached), 1e-9)
        nearer = [self.reached + share * room for share in (0.3, 0.6, 1.0)] if self.upper >= self.scale else []
        beyond = [max(self.reached, self.scale) + excess for excess in (1e-9, 1e-8, 1e-7)]
        return [*nearer, *([self.upper] if self.upper < self.scale else []), *beyond, self.upper]


def _searched(S: Any, U: Array, V: Array, unit: float, seed: int) -> _Search:
    """Return subspaces with all that random starts find of size one, and what they say of the rest."""
    given, largest = U.shape[1], np.inf
    for attempt in range(ATTEMPTS):
        U, V, parts = _refined(S, U, V) if largest > unit else (U, V, couple(S, U, V))
        inaccurate = bool(largest > unit and U.shape[1] and max(parts[3]) > ACCURATE)
        if inaccurate and U.shape[1] < MANY_COLUMNS:
            U, V, parts = _anew(S, U.shape[1] + 1, seed + attempt)
            inaccurate = False
        scale, floor, upper, reached = _likely_beside(S, U, V, parts, unit, (seed, 2 * attempt))
        if inaccurate and block_norm(parts[2], parts[3], reached) - scale > HARMLESS:
            U, V, parts = _anew(S, U.shape[1] + 1, seed + attempt)
            scale, floor, upper, reached = _likely_beside(S, U, V, parts, unit, (seed, 2 * attempt + 1))
        found = _Search(U, V, parts, scale, reached, upper, given)
        if reached <= floor or U.shape[1] >= min(MOST_TRIPLETS, min(S.shape)):
            break
        U, V, largest = _append(S, U, V, unit, floor, seed + attempt)
    return found


def _likely_beside(
    S: Any, U: Array, V: Array, parts: tuple[Array, Array, Array, Array], unit: float, stream: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Return the scale of S, the floor of values that belong to the leading part, and `_likely_rest`."""
    scale = max(1.0, float(np.linalg.norm(parts[2], 2))) if U.shape[1] else 1.0
    floor = scale * min(unit, EDGE)
    return scale, floor, *_likely_rest(S, U, V, parts[0], parts[1], scale, floor, stream)


def _likely_rest(
    S: Any, U: Array, V: Array, UtS: Array, SV: Array, scale: float, floor: float, stream: tuple[int, int]
) -> tuple[float, float]:
    """Bound the norm of ``R = (I − UU*) S (I − VV*)`` by random starts for R*R; return what is surely reached as well.

    The starts come from a stream of random numbers of their own. A dual vector may depend on other random numbers with
    the same seed: those that a solver started with, or that chose the data. It does not depend on these.
    """
    if S.shape[0] < S.shape[1]:
        S, U, V, UtS = _adjoint(S), V, U, SV.conj().T
    adjoint, n = _adjoint(S), S.shape[1] - V.shape[1]
    if n <= 0:
        return 0.0, 0.0

    def square(X: Array) -> Array:
        X = X - V @ (V.conj().T @ X)
        X = adjoint @ (S @ X - U @ (UtS @ X))
        return np.asarray(X - V @ (V.conj().T @ X))

    def enough(reached: float, upper: float) -> bool:
        reached, upper = (float(np.sqrt(max(0.0, x))) for x in (reached, upper))
        return reached > floor or scale - upper >= SETTLED * (scale - reached)

    starts = _starts(S, _starts_at_once(S), stream)
    starts -= V @ (V.conj().T @ starts)
    found = largest_eigenvalue(
        square,
        starts,
        dimension=n,
        failure=FAILURE / 2 ** (stream[1] + 1),
        rounding=_product_rounding(S, U.shape[1], scale, twice=True),
        steps=STEPS,
        enough=enough,
    )
    return float(np.sqrt(max(0.0, found.upper))) * (1 + 4 * EPS), float(np.sqrt(max(0.0, found.reached)))


def _starts(S: Any, count: int, stream: tuple[int, int]) -> Array:
    """Return standard normal columns for S, complex if S is, from a stream that nothing else draws from."""
    rng = np.random.default_rng(np.random.SeedSequence(stream[0], spawn_key=(STREAM, stream[1])))
    starts = rng.standard_normal((S.shape[1], count))
    if np.issubdtype(S.dtype, np.complexfloating):
        return starts + 1j * rng.standard_normal(starts.shape)
    return starts


def _starts_at_once(S: Any) -> int:
    return STARTS if isinstance(S, np.ndarray) or hasattr(S, "tocsr") else STARTS_OF_OPERATOR


def _product_rounding(S: Any, p: int, scale: float, twice: bool = False) -> float:
    """Return a bound on the rounding error of ``R x``, ‖x‖ = 1, or R*R x, with R the matrix S beside p triplets.

    A sum of w products is off by at most ``w ε/2`` times the sum of their sizes; the norm of |S| is at most
    ``(‖S‖_1 ‖S‖_∞)^½`` and ``‖S‖_F``, and that of ``|U||U|*`` at most p. Of an operator known by its products it is
    taken for granted that they are accurate, for its ``scale``.
    """
    if not (isinstance(S, np.ndarray) or hasattr(S, "tocsr")):
        return OPERATOR_ROUNDING * scale ** (1 + twice)
    sizes = abs(S)
    sums = [np.max(sizes @ np.ones(S.shape[1]), initial=0.0), np.max(sizes.T @ np.ones(S.shape[0]), initial=0.0)]
    terms = [np.max(_stored(S, axis), initial=0) for axis in (0, 1)] if hasattr(S, "tocsr") else S.shape
    entries = S.data if hasattr(S, "tocsr") else S
    size = min(float(np.prod(sums)), float(np.vdot(entries, entries).real)) ** (0.5 + 0.5 * twice)
    unit = float(np.finfo(S.dtype).eps) if np.issubdtype(S.dtype, np.inexact) else EPS
    return unit * float(size) * float(sum(terms) + 2 * p * (sum(S.shape) + p) + 8)


def _stored(S: Any, axis: int) -> Array:
    """Return how many entries a sparse array has in every row (0) or column (1)."""
    if S.format not in ("csr", "csc"):
        S = S.tocsr()
    if (S.format == "csr") == (axis == 0):
        return np.diff(S.indptr)
    return np.bincount(S.indices, minlength=S.shape[axis])


def _anew(S: Any, count: int, seed: int) -> tuple[Array, Array, tuple[Array, Array, Array, Array]]:
    """Return leading singular subspaces, and `couple` of them."""
    U, _, V = leading_triplets(S, count, tol=1e-5, seed=seed)
    return U, V, couple(S, U, V)


def _refined(S: Any, U: Array, V: Array) -> tuple[Array, Array, tuple[Array, Array, Array, Array]]:
    """Return singular subspaces that couple less with their complements, and `couple` of them.

    What the guess leaves of them is nearly in the span of its residuals and of their products with S*S.
    """
    p = U.shape[1]
    parts = couple(S, U, V)
    for _ in range(REFINEMENTS if 0 < p <= WIDEST_GUESS else 0):
        if max(parts[3]) <= ACCURATE:
            return U, V, parts
        basis, block = V, parts[0].conj().T - V @ parts[2].conj().T
        for _ in range(DEPTH):
            for _ in range(2):
                block = np.linalg.qr(block - basis @ (basis.conj().T @ block))[0]
            basis = np.hstack([basis, block])
            block = _adjoint(S) @ (S @ block)
        basis = np.linalg.qr(basis)[0]
        Q, R = np.linalg.qr(S @ basis)
        left, _, right = np.linalg.svd(R)
        U, V = Q @ left[:, :p], basis @ right[:p].conj().T
        before, parts = max(parts[3]), couple(S, U, V)
        if p >= MANY_COLUMNS and GAIN * max(parts[3]) > before:
            break
    return U, V, parts


def _append(S: Any, U: Array, V: Array, unit: float, floor: float, seed: int) -> tuple[Array, Array, float]:
    """Append singular vectors of the deflated S whose value exceeds ``floor``; return the largest value as well.

    Where the matrix turns out to be larger than one, the floor rises with it. Block Krylov steps are restarted from
    the Ritz vectors that count. A cluster need not be told apart: what matters is the residual of each vector.
    """
    R, room = deflate(S, U, V), min(S.shape) - U.shape[1]
    adjoint = R.conj().T if isinstance(R, np.ndarray) else R.H
    block = adjoint @ (R @ np.random.default_rng(seed).standard_normal((S.shape[1], BLOCK)))
    right, image = V[:, :0], U[:, :0]
    for _ in range(CYCLES):
        for _ in range(2 * DEPTH):
            block = block[:, : room - right.shape[1]]
            for _ in range(2):
                block = block - V @ (V.conj().T @ block)
                block = np.linalg.qr(block - right @ (right.conj().T @ block))[0]
            if not block.shape[1]:
                break
            right, image = np.hstack([right, block]), np.hstack([image, R @ block])
            block = adjoint @ image[:, -block.shape[1] :]
        Q, triangle = np.linalg.qr(image)
        left, s, turn = np.linalg.svd(triangle)
        floor = max(floor, min(unit, EDGE) * float(s.max(initial=0.0)))
        count = min(int(np.count_nonzero(s > floor)), MOST_TRIPLETS)
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
    """Return a bound on the norm of a matrix from its leading block and bounds on its three others."""
    top = float(np.linalg.norm(inner, 2)) * (1 + 1e2 * EPS) if inner.size else 0.0
    return float(np.linalg.norm([[top, coupling[0]], [coupling[1], rest]], 2)) * (1 + 10 * EPS)


def couple(S: Any, U: Array, V: Array) -> tuple[Array, Array, Array, Array]:
    """Return ``U*S``, ``SV``, ``U*SV`` and bounds on the blocks of S that couple U and V with their complements."""
    UtS, SV = (_adjoint(S) @ U).conj().T, S @ V
    inner = UtS @ V
    coupling = np.array([np.linalg.norm(UtS - inner @ V.conj().T), np.linalg.norm(SV - U @ inner)]) + 1e2 * EPS
    return UtS, SV, inner, coupling


def _complement_below(S: Any, U: Array, V: Array, UtS: Array, SV: Array, bound: float) -> bool:
    """Prove ``‖(I−UUᵀ) S x‖ ≤ bound ‖x‖`` for all x ⟂ V, or the same for Sᵀ, by a Cholesky factorization.

    ``bound² I − Sᵀ(I−UUᵀ)S + c VVᵀ`` is positive definite if its Cholesky factorization succeeds, up to a backward
    error that is added to the bound beforehand (Rump 2006: ``γ_{n+1}`` times the trace, and the rounding of forming
    the matrix).
    """
    from scipy.linalg import blas, lapack

    if S.shape[0] < S.shape[1]:
        S, U, V, UtS = S.T, V, U, SV.T
    n = S.shape[1]
    sparse = hasattr(S, "tocsc")
    gram = (S.T @ S).toarray() if sparse else S.T @ S
    magnitude = abs(S)
    widest = int(np.max(np.diff(S.tocsc().indptr))) if sparse else S.shape[0]
    spread = float(np.max(magnitude.sum(axis=0)) * np.max(magnitude.sum(axis=1)))
    shift = 4.0 + bound**2
    trace = float(np.trace(gram)) + n * bound**2 + shift * V.shape[1]
    error = 1.1 * EPS * ((widest + U.shape[1] + 4) * spread + (n + 2) * trace)
    known = np.vstack([UtS, np.sqrt(shift) * V.T])
    gram = blas.dsyrk(1.0, known.T, beta=-1.0, c=gram.T, lower=0, overwrite_c=1)
    gram[np.diag_indices(n)] += bound**2 - error
    return bool(lapack.dpotrf(gram, lower=0, clean=0, overwrite_a=1)[1] == 0)

"""Every cone: decompositions, degrees of freedom and tangent spaces against dense ones."""

import numpy as np
import pytest

from flatmin.linalg.factorizations import smallest_singular_value
from flatmin.measurements import Dense, FromLinearOperator
from tests.cones.samples import RECTANGULAR, SEMIDEFINITE, SYMMETRIC, cones, frame, hermitian


@pytest.mark.parametrize(
    ("cone", "rank", "is_complex"),
    [(RECTANGULAR, 2, False), (SEMIDEFINITE, 2, False), (SEMIDEFINITE, 2, True), (SYMMETRIC, 3, False)],
)
def test_degrees_of_freedom_are_the_dimension_of_the_tangent_space(cone, rank, is_complex):
    """Columns: the derivative of the factors' map along every real coordinate."""
    rng = np.random.default_rng(0)
    d1, d2 = 7, 5 if cone == RECTANGULAR else 7
    factors = [rng.standard_normal((d, rank)) + 1j * is_complex * rng.standard_normal((d, rank)) for d in (d1, d2)]
    signs = np.array([1, 1, -1])[:rank]
    steps = [1.0, 1j] if is_complex else [1.0]
    columns = []
    for side in (0, 1) if cone == RECTANGULAR else (0,):
        for place in np.ndindex(factors[side].shape):
            for step in steps:
                E = np.zeros(factors[side].shape, complex)
                E[place] = step
                if cone == RECTANGULAR:
                    change = E @ factors[1].T if side == 0 else factors[0] @ E.T
                else:
                    change = (E * signs) @ factors[0].conj().T + (factors[0] * signs) @ E.conj().T
                columns.append(np.concatenate([change.real.ravel(), change.imag.ravel()]))
    assert cone.degrees_of_freedom((d1, d2), rank, is_complex) == np.linalg.matrix_rank(np.array(columns))


def _tangent_basis(U, V, hermitian):
    """Return orthonormal (real inner product) elements that span ``{U E* + F V*}``, or its Hermitian elements."""
    spanning = []
    for turn in (1, 1j) if np.iscomplexobj(U) else (1,):
        for c in range(U.shape[1]):
            for n, side in ((len(V), 0), (len(U), 1)):
                for e in np.eye(n):
                    H = turn * (np.outer(U[:, c], e) if side == 0 else np.outer(e, V[:, c].conj()))
                    spanning.append(H + H.conj().T if hermitian else H)
    flat = np.array([np.concatenate([H.real.ravel(), H.imag.ravel()]) for H in spanning])
    s, Vt = np.linalg.svd(flat, full_matrices=False)[1:]
    rows = Vt[s > 1e-9 * s[0]]
    half = rows.shape[1] // 2
    return [(r[:half] + 1j * r[half:] if np.iscomplexobj(U) else r[:half]).reshape(len(U), len(V)) for r in rows]


@cones
@pytest.mark.parametrize("q", [1, 2, 4])
@pytest.mark.parametrize("stored", ["dense", "operator"])
def test_tangent_columns_have_the_singular_values_of_the_dense_map(cone, dtype, q, stored):
    """Also for maps that do not offer their derivative, and where the tangent space is everything."""
    rng = np.random.default_rng(q)
    if cone == RECTANGULAR:
        T, U, V = rng.standard_normal((40, 5, 4)), frame(rng, 5, q), frame(rng, 4, q)
    else:
        T, U = hermitian(rng, 40, 4, dtype), frame(rng, 4, q, dtype)
        V = U * rng.choice([-1.0, 1.0], q) if cone == SYMMETRIC else U
    if stored == "operator" and dtype is complex:
        return
    A = Dense(T) if stored == "dense" else FromLinearOperator(T.reshape(40, -1), T.shape[1:])
    sides = cone.derivative(A, U, V)
    assert sides is not None
    columns = cone.tangent_columns(sides, U, V)
    dense = np.array([A.forward(H) for H in _tangent_basis(U, V, cone != RECTANGULAR)]).T
    assert columns.shape == dense.shape
    got, want = (np.linalg.svd(C, compute_uv=False) for C in (columns, dense))
    np.testing.assert_allclose(got, want, rtol=1e-9)


@cones
def test_what_is_not_seen_is_no_part_of_the_tangent_space(cone, dtype):
    """Matrices vanish there, so it does not matter that B does not tell them apart."""
    rng = np.random.default_rng(0)
    seen = [frame(rng, 6, 4, dtype), frame(rng, 5, 3, dtype)] if cone == RECTANGULAR else [frame(rng, 6, 4, dtype)] * 2
    n1, n2 = (Q.shape[1] for Q in seen)
    T = rng.standard_normal((40, n1, n2)) if cone == RECTANGULAR else hermitian(rng, 40, n1, dtype)
    inner = [frame(rng, n, 2, dtype) for n in (n1, n2)]
    inner = inner if cone == RECTANGULAR else [inner[0], inner[0] * ([1, -1] if cone == SYMMETRIC else [1, 1])]
    A, (U, V) = Dense(seen[0] @ T @ seen[1].conj().T), (Q @ F for Q, F in zip(seen, inner, strict=True))
    blind = tuple(np.linalg.svd(Q)[0][:, Q.shape[1] :] for Q in seen)
    found = cone.tangent_columns(cone.derivative(A, U, V), U, V, blind)
    want = cone.tangent_columns(cone.derivative(Dense(T), *inner), *inner)
    got, want = (np.linalg.svd(C, compute_uv=False) for C in (found, want))
    np.testing.assert_allclose(got, want, rtol=1e-9)
    assert smallest_singular_value(cone.tangent_columns(cone.derivative(A, U, V), U, V)) == 0
    assert cone.derivative(A.take(np.arange(len(got))), U, V) is None
    unseen = tuple(N.shape[1] for N in blind)
    assert cone.derivative(A.take(np.arange(len(got))), U, V, unseen) is not None


def test_derivative_is_not_formed_without_hope():
    rng = np.random.default_rng(0)
    A = Dense(rng.standard_normal((15, 5, 4)))
    assert RECTANGULAR.derivative(A, frame(rng, 5, 2), frame(rng, 4, 2)) is not None, "14 unknowns"
    assert RECTANGULAR.derivative(A.take(np.arange(13)), frame(rng, 5, 2), frame(rng, 4, 2)) is None

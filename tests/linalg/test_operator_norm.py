"""Bounds on the norm of a dual matrix: rigorous by every route, and useful."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

from flatmin.cones import Semidefinite, Symmetric
from flatmin.linalg import effort, operator_norm, random_starts, subspaces
from flatmin.linalg.effort import Effort, ExhaustedError
from flatmin.linalg.operator_norm import top_spectrum
from flatmin.linalg.subspaces import deflate, leading_triplets

SEMIDEFINITE, SYMMETRIC = Semidefinite(), Symmetric()


def _matrix(d1, d2, values, seed=0):
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((d, len(values))))[0] for d in (d1, d2))
    return U * values @ V.T, U, V


@pytest.fixture
def cholesky(monkeypatch):
    """Send small matrices through the route of large ones, whose decomposition would take too long."""
    monkeypatch.setattr(effort, "LARGEST_DENSE", 0)
    monkeypatch.setattr(operator_norm, "DENSE", 2)
    monkeypatch.setattr(subspaces, "DENSE", 2)


@pytest.fixture
def likely(monkeypatch):
    """Send small matrices through the route of those that are too large to be factorized."""
    monkeypatch.setattr(effort, "LARGEST_DENSE", 0)
    monkeypatch.setattr(operator_norm, "DENSE", 2)
    monkeypatch.setattr(subspaces, "DENSE", 2)
    monkeypatch.setattr(operator_norm, "FACTORED", 2)


@pytest.mark.parametrize("route", ["cholesky", "likely"])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25)])
@pytest.mark.parametrize("guess", ["exact", "rotated", "poor", "none"])
def test_large_matrices(route, form, shape, guess, request):
    request.getfixturevalue(route)
    values = np.concatenate([[1.0, 1.0, 1.0], np.linspace(0.9, 0.1, 15)])
    S, U, V = _matrix(*shape, values)
    rng = np.random.default_rng(1)
    U, V = {
        "exact": lambda: (U[:, :3], V[:, :3]),
        "rotated": lambda: tuple(F[:, :3] @ np.linalg.qr(rng.standard_normal((3, 3)))[0] for F in (U, V)),
        "poor": lambda: tuple(np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in shape),
        "none": lambda: (U[:, :0], V[:, :0]),
    }[guess]()
    found = top_spectrum(form(S), U, V, unit=1 - 1e-4)
    assert found.kind == {"cholesky": "cholesky", "likely": "probabilistic"}[route]
    assert found.norm >= 1
    if guess != "poor" or route == "likely":
        assert found.norm <= 1 + 1e-6
        assert 0.9 * (1 - 1e-9) <= found.below(3) <= 0.99
    for F in (found.U, found.V):
        np.testing.assert_allclose(F.T @ F, np.eye(F.shape[1]), atol=1e-10)


@given(
    d1=st.integers(1, 12), d2=st.integers(1, 12), seed=st.integers(0, 999), scale=st.sampled_from([1e-8, 0.3, 1, 1e8])
)
def test_is_an_upper_bound_whatever_the_guess(d1, d2, seed, scale):
    rng = np.random.default_rng(seed)
    S = scale * rng.standard_normal((d1, d2))
    k = rng.integers(0, min(d1, d2) + 1)
    U, V = (np.linalg.qr(rng.standard_normal((d, k)))[0] for d in (d1, d2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operator_norm, "DENSE", 1 if seed % 2 else 400)
        patch.setattr(operator_norm, "FACTORED", 1 if seed % 4 == 1 else 400)
        found = top_spectrum(S, U, V, unit=1 - 1e-4)
    true = np.linalg.svd(S, compute_uv=False)
    if found.kind == "estimated":
        return
    assert found.norm >= true[0] * (1 - 1e-14)
    for q, value in enumerate(true):
        assert found.below(q) >= value * (1 - 1e-14)
    if found.kind == "dense":
        assert found.norm <= true[0] * (1 + 1e-10)


def test_a_guess_that_mixes_directions_does_not_lower_the_values_below(cholesky):
    """Its own singular values are smaller than those of the matrix; what it couples with the rest makes up for it."""
    S, U, V = _matrix(30, 20, np.concatenate([[1.0, 1.0], np.linspace(0.9, 0.1, 15)]))
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((17, 3)))[0]
    for guess in ((U @ turn, V @ turn), (U[:, [0, 1, 9]], V[:, [0, 1, 9]])):
        found = top_spectrum(S, *guess, unit=1 - 1e-4)
        assert found.kind != "estimated"
        for q, value in enumerate(np.linalg.svd(S, compute_uv=False)):
            assert found.below(q) >= value * (1 - 1e-14)


@pytest.mark.parametrize("following", [0.9, 0.99999])
@pytest.mark.parametrize("error", [1e-9, 1e-5, 1e-3])
@pytest.mark.parametrize("transposed", [False, True])
def test_many_inaccurate_columns_are_computed_anew_only_where_it_matters(likely, following, error, transposed):
    values = np.concatenate([np.ones(20), np.linspace(following, 0.1, 30)])
    S, U, V = _matrix(75, 60, values)
    rng = np.random.default_rng(1)
    U, V = (np.linalg.qr(F[:, :20] + error * rng.standard_normal((len(F), 20)) / 8)[0] for F in (U, V))
    S, U, V = (S.T, V, U) if transposed else (S, U, V)
    found = top_spectrum(csr_array(S), U, V, unit=1 - 1e-4)
    assert 1 - 1e-12 <= found.norm <= 1 + 5e-8
    assert found.below(20) >= following * (1 - 1e-9)
    assert np.linalg.norm(S - (found.U * found.values) @ found.V.T, 2) <= found.rest + 2 * found.slack + 1e-12


def test_beyond_the_reach_of_cholesky_nothing_is_claimed_without_chance(likely, monkeypatch):
    monkeypatch.setattr(operator_norm, "CHOLESKY", 3)
    S, U, V = _matrix(30, 20, np.array([1.0, 0.5, 0.25]))
    found = top_spectrum(S, U[:, :1], V[:, :1], unit=1 - 1e-4, randomized=False)
    assert (found.kind, found.failure) == ("estimated", 0)
    found = top_spectrum(S, U[:, :1], V[:, :1], unit=1 - 1e-4)
    assert (found.kind, found.failure) == ("probabilistic", random_starts.FAILURE)


def test_a_missed_singular_vector_is_found(cholesky):
    """The guess omits the largest direction; the bound must not."""
    S, U, V = _matrix(30, 20, np.array([2.0, 1.0, 0.5]))
    found = top_spectrum(S, U[:, 1:2], V[:, 1:2], unit=1 - 1e-4)
    assert 2 <= found.norm <= 2.001


def test_a_lying_lanczos_iteration_cannot_lower_the_bound(cholesky, monkeypatch):
    """Even if the search misses everything, the factorization refuses a bound that is too small."""
    S, U, V = _matrix(30, 20, np.array([2.0, 1.0, 0.5]))
    monkeypatch.setattr(operator_norm, "complement_norm_bound", lambda *rest: (0.1, 0.1))
    found = top_spectrum(S, U[:, 1:2], V[:, 1:2], unit=1 - 1e-4)
    assert found.norm >= 2 or found.kind == "estimated"


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_zero_matrix(form):
    found = top_spectrum(form(np.zeros((4, 3))), np.zeros((4, 0)), np.zeros((3, 0)), unit=1 - 1e-4)
    assert (found.norm, found.below(0)) == (0, 0)


class TestRandomStarts:
    """Bounds of large sparse matrices: never below the truth, near it, and whatever the guess."""

    @staticmethod
    def sparse(d1, d2, seed, rank=3, density=0.1):
        """Return a sparse matrix with some rows and columns empty, a low-rank part, and its singular values."""
        rng = np.random.default_rng(seed)
        S = random_array((d1, d2), density=density, random_state=rng, data_sampler=rng.standard_normal).tolil()
        S[rng.integers(0, d1, d1 // 10)] = 0
        S[:, rng.integers(0, d2, d2 // 10)] = 0
        S = S.tocsr()
        return csr_array(S / np.linalg.norm(S.toarray(), 2)), np.linalg.svd(S.toarray(), full_matrices=False)

    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("error", [0.0, 1e-9, 1e-5, 1e-2])
    def test_are_never_below_the_truth(self, likely, seed, error):
        rng = np.random.default_rng(seed)
        S, (U, _, Vt) = self.sparse(*rng.integers(30, 90, 2), seed)
        p = int(rng.integers(0, 5))
        guess = [np.linalg.qr(F[:, :p] + error * rng.standard_normal((len(F), p)))[0] for F in (U, Vt.T)]
        found = top_spectrum(S, *guess, unit=1 - 1e-4, seed=seed)
        true = np.linalg.svd(S.toarray(), compute_uv=False)
        assert found.kind == "probabilistic"
        assert true[0] * (1 - 1e-13) <= found.norm <= 1 + 1e-6
        for q, value in enumerate(true):
            assert found.below(q) >= value * (1 - 1e-13)

    @pytest.mark.parametrize("near", [0.99, 0.999, 0.9999, 1.0])
    def test_many_values_just_below_one(self, likely, near):
        """As below the threshold of recovery, or beside a penalised optimum of high rank."""
        values = np.concatenate([np.ones(5), near - np.geomspace(1e-7, 0.5, 70)])
        S, U, V = _matrix(120, 90, values)
        found = top_spectrum(csr_array(S), U[:, :5], V[:, :5], unit=1 - 1e-4)
        assert (found.kind, found.norm <= 1 + 1e-9) == ("probabilistic", True)
        for q, value in enumerate(values):
            assert found.below(q) >= value
        assert found.below(5) <= near + 0.5 * (1 - near) + 1e-9

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 50)])
    @pytest.mark.parametrize("form", [np.asarray, csr_array])
    def test_tiny_matrices(self, shape, form, monkeypatch):
        monkeypatch.setattr(effort, "LARGEST_DENSE", 0)
        monkeypatch.setattr(operator_norm, "DENSE", 0)
        monkeypatch.setattr(subspaces, "DENSE", 0)
        monkeypatch.setattr(operator_norm, "FACTORED", 0)
        S = np.random.default_rng(0).standard_normal(shape)
        S /= np.linalg.norm(S, 2)
        found = top_spectrum(form(S), np.zeros((shape[0], 0)), np.zeros((shape[1], 0)), unit=1 - 1e-4)
        assert found.kind == "probabilistic"
        assert 1 - 1e-13 <= found.norm <= 1 + 1e-6

    def test_rank_one(self, likely):
        S, U, V = _matrix(40, 30, np.array([1.0]))
        for guess in ((U, V), (U[:, :0], V[:, :0])):
            found = top_spectrum(csr_array(S), *guess, unit=1 - 1e-4)
            assert (found.norm, found.below(1)) == (pytest.approx(1), pytest.approx(0, abs=0.1))

    def test_single_precision(self, likely):
        """Rounding errors of products are those of the matrix's own numbers."""
        S, U, V = _matrix(90, 70, np.concatenate([[1.0, 1.0], np.linspace(0.9, 0.1, 60)]))
        S = csr_array(S.astype(np.float32))
        found = top_spectrum(S, U[:, :2], V[:, :2], unit=1 - 1e-3)
        for q, value in enumerate(np.linalg.svd(S.toarray().astype(float), compute_uv=False)):
            assert found.below(q) >= value - 1e-6
        assert found.below(2) < 0.99

    def test_the_numbers_drawn_depend_on_the_seed_alone(self):
        S = csr_array((50, 40))
        first, again, other = (random_starts.normal_starts(S, 3, stream) for stream in ((0, 0), (0, 0), (0, 1)))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 0.1
        assert np.abs(first - np.random.default_rng(0).standard_normal((40, 3))).max() > 0.1


def test_deflate_and_leading_triplets():
    rng, values = np.random.default_rng(0), np.random.default_rng(1)
    S = random_array((60, 50), density=0.3, random_state=rng, data_sampler=values.normal)
    S, D = S.tocsr(), S.toarray()
    U, s, V = leading_triplets(S, 3, tol=1e-8)
    np.testing.assert_allclose(s, np.linalg.svd(D, compute_uv=False)[:3], rtol=1e-6)
    np.testing.assert_allclose(D @ V, U * s, atol=1e-4)
    want = (np.eye(60) - U @ U.T) @ D @ (np.eye(50) - V @ V.T)
    for form in (D, S):
        deflated = deflate(form, U, V)
        np.testing.assert_allclose(deflated @ np.eye(50), want, atol=1e-10)
        np.testing.assert_allclose(deflated.T @ np.eye(60), want.T, atol=1e-10)


def _hermitian(values, dtype=float, seed=0):
    rng = np.random.default_rng(seed)
    d = len(values)
    F = rng.standard_normal((d, d)) + (1j * rng.standard_normal((d, d)) if dtype is complex else 0)
    Q = np.linalg.qr(F)[0]
    return (Q * values) @ Q.conj().T, Q


class TestHermitian:
    """The largest eigenvalue bounds positive semidefinite matrices, the largest size of one symmetric ones."""

    @pytest.mark.parametrize("dtype", [float, complex])
    @given(d=st.integers(1, 9), seed=st.integers(0, 99), scale=st.sampled_from([1e-8, 1.0, 1e8]))
    def test_bounds_hold_in_both_cones(self, dtype, d, seed, scale):
        S, _ = _hermitian(scale * np.random.default_rng(seed).uniform(-1, 1, d), dtype, seed)
        true = np.linalg.eigvalsh(S)
        none = np.zeros((d, 0))
        found = SEMIDEFINITE.spectrum(S, none, none, unit=1 - 1e-4)
        assert max(0.0, true[-1]) <= found.norm <= max(0.0, true[-1]) + 1e-12 * scale
        for q, value in enumerate(true[::-1]):
            assert found.below(q) >= value - 1e-14 * scale
        np.testing.assert_array_equal(found.U, found.V)
        np.testing.assert_allclose(S @ found.V, found.U * found.values, atol=1e-13 * d * scale)
        if dtype is complex:
            return
        found = SYMMETRIC.spectrum(S, none, none, unit=1 - 1e-4)
        sizes = np.sort(np.abs(true))[::-1]
        assert sizes[0] * (1 - 1e-14) <= found.norm <= sizes[0] + 1e-12 * scale
        for q, value in enumerate(sizes):
            assert found.below(q) >= value - 1e-14 * scale
        assert np.all(found.values >= 0)
        np.testing.assert_allclose(S @ found.V, found.U * found.values, atol=1e-13 * d * scale)

    def test_a_negative_definite_matrix_bounds_nothing_from_above(self):
        S, _ = _hermitian(np.array([-1.0, -2.0, -3.0]))
        found = SEMIDEFINITE.spectrum(S, S[:, :0], S[:, :0], unit=1 - 1e-4)
        assert 0 <= found.norm < 1e-12
        assert SYMMETRIC.spectrum(S, S[:, :0], S[:, :0], unit=1 - 1e-4).norm == pytest.approx(3)

    @pytest.mark.sampled(5)
    @pytest.mark.parametrize("cone", [SEMIDEFINITE, SYMMETRIC], ids=repr)
    @pytest.mark.parametrize("dtype", [float, complex])
    @pytest.mark.parametrize("guess", ["exact", "one", "none", "poor"])
    def test_beyond_the_reach_of_a_decomposition_random_starts_bound_it(self, cone, dtype, guess, monkeypatch):
        monkeypatch.setattr(operator_norm, "LARGEST_HERMITIAN", 10)
        monkeypatch.setattr(subspaces, "LARGEST_HERMITIAN", 10)
        monkeypatch.setattr(effort, "LARGEST_DENSE", 0)
        values = np.concatenate([[1.0, 1.0, -1.0 if cone == SYMMETRIC else 1.0], np.linspace(0.9, -0.95, 47)])
        S, Q = _hermitian(values, dtype)
        poor = np.linalg.qr(np.random.default_rng(1).standard_normal((50, 2)).astype(dtype))[0]
        U = {"exact": Q[:, :3], "one": Q[:, :1], "none": Q[:, :0], "poor": poor}[guess]
        found = cone.spectrum(S, U, U, unit=1 - 1e-4)
        assert (found.kind, found.failure) == ("probabilistic", random_starts.FAILURE)
        largest = np.sort(np.abs(values) if cone == SYMMETRIC else values)[::-1]
        for q, value in enumerate(largest):
            assert found.below(q) >= value - 1e-12
        assert 1 - 1e-12 <= found.norm <= 1 + 1e-6
        assert found.below(3) <= largest[3] + 0.4 * (1 - largest[3])
        for F in (found.U, found.V):
            np.testing.assert_allclose(F.conj().T @ F, np.eye(F.shape[1]), atol=1e-10)
        assert cone.spectrum(S, U, U, unit=1 - 1e-4, randomized=False).kind == "estimated"

    @pytest.mark.parametrize("cone", [SEMIDEFINITE, SYMMETRIC], ids=repr)
    def test_a_negative_definite_matrix_far_from_zero(self, cone, monkeypatch):
        monkeypatch.setattr(operator_norm, "LARGEST_HERMITIAN", 10)
        monkeypatch.setattr(subspaces, "LARGEST_HERMITIAN", 10)
        monkeypatch.setattr(effort, "LARGEST_DENSE", 0)
        S, Q = _hermitian(np.linspace(-3, -1, 60))
        found = cone.spectrum(S, Q[:, :0], Q[:, :0], unit=1 - 1e-4)
        if cone == SYMMETRIC:
            assert 3 <= found.norm <= 3 + 1e-3
        else:
            assert 0 <= found.norm <= 1

    @pytest.mark.parametrize("cone", [SEMIDEFINITE, SYMMETRIC], ids=repr)
    def test_sparse_matrices_and_operators_are_decomposed_too(self, cone):
        from scipy.sparse.linalg import aslinearoperator

        S, _ = _hermitian(np.array([1.0, -0.9, 0.5, 0.0]))
        for form in (csr_array(S), aslinearoperator(S)):
            found = cone.spectrum(form, S[:, :0], S[:, :0], unit=1 - 1e-4)
            assert found.kind == "dense"
            assert found.norm == pytest.approx(1)


def _clustered(d, near, form=np.asarray):
    """Return a symmetric matrix of which a quarter of the eigenvalues lie within ``near`` of ±1."""
    rng = np.random.default_rng(0)
    Q, k = np.linalg.qr(rng.standard_normal((d, d)))[0], d // 4
    values = rng.uniform(-0.5, 0.5, d)
    values[:k] = (1 - near * rng.random(k)) * np.where(np.arange(k) % 2, -1, 1)
    S = (Q * values) @ Q.T
    return form((S + S.T) / 2), np.max(values), np.max(np.abs(values))


@pytest.mark.parametrize("near", [1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_many_eigenvalues_near_one_cost_no_more_than_a_decomposition(near, form, monkeypatch):
    """A quarter of all eigenvalues near ±1: an iteration would search for them one by one."""
    spent, spend = [0], Effort.spend

    def counted(self, columns=1):
        spent[0] += 1
        spend(self, columns)

    monkeypatch.setattr(Effort, "spend", counted)
    for module in (operator_norm, subspaces):
        monkeypatch.setattr(module, "LARGEST_HERMITIAN", 50)
        monkeypatch.setattr(module, "DENSE", 20)
    S, largest, size = _clustered(120, near, form)
    empty = np.zeros((120, 0))
    for cone, true in ((SEMIDEFINITE, largest), (SYMMETRIC, size)):
        found = cone.spectrum(S, empty, empty, unit=1 - 1e-4)
        assert found.kind == "dense"
        assert true <= found.norm <= true + 1e-9
    assert size <= top_spectrum(S, empty, empty, unit=1 - 1e-4).norm <= size + 1e-6
    assert spent[0] <= 120


def test_the_iteration_is_replaced_by_a_decomposition_where_it_takes_longer(cholesky, monkeypatch):
    S, _, size = _clustered(200, 1e-6)
    monkeypatch.setattr(Effort, "before_triplets", classmethod(lambda cls, S: cls(10.0)))
    found = top_spectrum(S, np.zeros((200, 0)), np.zeros((200, 0)), unit=1 - 1e-4)
    assert found.kind == "dense"
    assert size <= found.norm <= size + 1e-9


def test_leading_eigenpairs_of_a_cluster_are_those_of_a_decomposition(monkeypatch):
    monkeypatch.setattr(subspaces, "LARGEST_HERMITIAN", 50)
    S, largest, _ = _clustered(160, 1e-9)
    values, Q = subspaces.leading_eigenpairs(S, 4, tol=1e-12)
    np.testing.assert_allclose(values, largest, atol=1e-8)
    np.testing.assert_allclose(S @ Q, Q * values, atol=1e-8)
    with pytest.raises(ExhaustedError):
        subspaces.leading_eigenpairs(S, 4, tol=1e-12, effort=Effort(20.0))


def test_an_infinite_unit_bounds_the_norm_without_a_search_for_leading_vectors():
    """Many singular values are near the largest one here, and a search would compute them all."""
    S = random_array((900, 800), density=0.02, random_state=np.random.default_rng(0)).tocsr()
    U, s, Vt = np.linalg.svd(S.toarray())
    found = top_spectrum(S, U[:, :2], Vt[:2].T, unit=np.inf)
    assert found.values == pytest.approx(s[:2])
    assert s[0] <= found.norm <= 1.2 * s[0]

"""Certified error radii: every lemma by itself, its constants against dense ones, and adversaries who look for more."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flatmin as fm
from flatmin.measurements import CodedDiffraction, Dense, Entries, Identity, RankOne
from flatmin.proofs.cone_certificate import certificate_of, trivial_dual
from flatmin.proofs.radius import Stability, gain_bound
from flatmin.proofs.uniqueness import uniqueness
from flatmin.proofs.whitening import whiten
from tests import referee
from tests.cones.samples import RECTANGULAR, SEMIDEFINITE, SYMMETRIC, cones, draw, frame, hermitian
from tests.referee import nuclear

MAPS = {
    "dense": lambda rng: Dense(rng.standard_normal((11, 5, 4))),
    "dense, few": lambda rng: Dense(rng.standard_normal((2, 5, 4)) * [1e-3, 1, 1, 1]),
    "vectors": lambda rng: RankOne(rng.standard_normal((11, 5)), rng.standard_normal((11, 4))),
    "entries": lambda rng: Entries(rng.integers(0, 5, 12), rng.integers(0, 4, 12), (5, 4), rng.uniform(0.1, 3, 12)),
    "identity": lambda rng: Identity((5, 4)),
}
HERMITIAN = {
    "dense": lambda rng: Dense(hermitian(rng, 9, 4)),
    "dense, complex": lambda rng: Dense(hermitian(rng, 9, 4, complex)),
    "vectors": lambda rng: RankOne(rng.standard_normal((9, 4))),
    "vectors, complex": lambda rng: RankOne(draw(rng, (9, 4), complex)),
    "coded diffraction": lambda rng: CodedDiffraction(draw(rng, (2, 4), complex)),
}
SPREADS = [*((fm.Product(), name) for name in MAPS), *((fm.Gram(), name) for name in HERMITIAN)]


def _steepest(T, hermitian, rng, starts=5):
    """Return the largest ``‖B(u v*)‖`` of unit vectors found by ascent: for fixed u the best v is a singular vector."""
    best = 0.0
    for _ in range(starts):
        u = draw(rng, T.shape[1], T.dtype.type)
        for _ in range(30):
            if hermitian:  # u u*: one step of a power iteration on the gradient
                measured = np.einsum("mij,i,j->m", T, u.conj(), u).real / np.vdot(u, u).real
                best = max(best, float(np.linalg.norm(measured)))
                u = np.tensordot(measured, T, 1) @ u
            rows = np.einsum("mij,i->mj", T, u.conj())
            real = np.hstack([rows.real, -rows.imag])
            v = np.linalg.svd(real)[2][0]
            v = v[: T.shape[2]] + (1j * v[T.shape[2] :] if np.iscomplexobj(T) else 0)
            best = max(best, float(np.linalg.norm(np.einsum("mij,i,j->m", T, u.conj(), v).real) / np.linalg.norm(u)))
            if not hermitian:
                w = np.linalg.svd(np.einsum("mij,j->mi", T, v))[2][0]
                u = w.conj() / np.linalg.norm(w)
            u = u / (np.linalg.norm(u) or 1.0)
    return best


@pytest.mark.parametrize(("model", "name"), SPREADS, ids=lambda v: v if isinstance(v, str) else type(v).__name__)
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_spread_bounds_the_map_on_the_nuclear_ball(model, name, power):
    rng = np.random.default_rng(0)
    A = (MAPS if isinstance(model, fm.Product) else HERMITIAN)[name](rng)
    p = fm.Problem(A, np.ones(A.size), model)
    whitened, metric = whiten(p, power)
    T, hermitian = whitened.matrices(), isinstance(model, fm.Gram)
    bound = gain_bound(A.size, p.metric, metric, hermitian)
    found = _steepest(T, hermitian, rng)
    assert found <= bound * (1 + 1e-12)
    assert bound <= found * 3 * np.sqrt(max(A.shape)) * metric[0].condition * metric[1].condition, "not vacuous"
    for _ in range(20):
        Z = draw(rng, A.shape, A.dtype.type)
        Z = Z + Z.conj().T if hermitian else Z
        assert np.linalg.norm(whitened.forward(Z)) <= bound * nuclear(Z) * (1 + 1e-12)


@pytest.mark.parametrize("model", [fm.Product(), fm.Gram(), fm.SignedGram()])
@pytest.mark.parametrize("across", [False, True])
def test_blind_directions_do_not_cost_the_radius(model, across):
    """Above the threshold of what is seen, one coordinate or a direction across them is not; the gap decides alone."""
    excess = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        blind = np.ones(5) / np.sqrt(5) if across else np.eye(5)[1]
        P, T = np.eye(5) - np.outer(blind, blind), hermitian(rng, 14, 5)
        T = P @ T @ P
        u, v = P @ rng.standard_normal((5, 1)), P @ rng.standard_normal((5, 1))
        X = u @ u.T if isinstance(model, fm.Gram) else u @ u.T - v @ v.T
        A = Dense((T + T.transpose(0, 2, 1)) / 2 if model.cone != RECTANGULAR else P @ rng.standard_normal((22, 5, 5)))
        s = fm.flat_minimum(fm.Problem(A, A.forward(X), model))
        np.testing.assert_allclose(s.matrix, X, atol=1e-8 * np.linalg.norm(X))
        assert s.certificate.stability.space == "tangent"
        assert np.linalg.norm(s.matrix - X) <= s.certificate.radius
        excess.append(s.certificate.radius / (max(s.certificate.relative_gap, 1e-13) * np.linalg.norm(X)))
    assert np.median(excess) <= 1e3


# --- the lemmas, for any Y and any Z', without measurements ---


def _dual_matrix(rng, cone, dtype, shape, q):
    """Return a dual matrix Y of norm at most one, its leading q singular vectors, σ_q and σ_{q+1}."""
    tail = np.sort(rng.uniform(-1, 1, min(shape) - q) if cone != RECTANGULAR else rng.uniform(0, 1, min(shape) - q))
    tail = 0.9 * tail / max(1e-9, np.max(np.abs(tail), initial=1.0)) * rng.uniform(0.1, 1)
    head = np.sort(rng.uniform(0.9, 1, q) if rng.random() < 0.5 else np.ones(q))[::-1]
    if cone == RECTANGULAR:
        U, V = (
            np.linalg.qr(rng.standard_normal((shape[0],) * 2))[0],
            np.linalg.qr(rng.standard_normal((shape[1],) * 2))[0],
        )
        values = np.concatenate([head, np.abs(tail)])
        Y = U[:, : len(values)] * values @ V[:, : len(values)].T
        return Y, U[:, :q], V[:, :q], head[-1], np.max(np.abs(tail), initial=0.0)
    U = frame(rng, shape[0], shape[0], dtype)
    signs = rng.choice([-1.0, 1.0], q) if cone == SYMMETRIC else np.ones(q)
    Y = U * np.concatenate([signs * head, tail]) @ U.conj().T
    rest = np.max(np.abs(tail) if cone == SYMMETRIC else tail, initial=0.0)
    return Y, U[:, :q], U[:, :q] * signs, head[-1], rest


def _near_the_cores(rng, cone, dtype, U, V, shape, size):
    """Return a matrix of the cone whose singular vectors are those of a core, moved by about ``size``."""
    k = rng.integers(1, U.shape[1] + 2)
    mix = draw(rng, (U.shape[1], k), dtype)
    left, right = U @ mix, V @ mix
    if cone == RECTANGULAR:
        return (left + size * rng.standard_normal(left.shape)) @ (right + size * rng.standard_normal(right.shape)).T
    moved = left + size * draw(rng, left.shape, dtype)
    if cone == SEMIDEFINITE:
        return moved @ moved.conj().T
    Z = left @ right.T + size * hermitian(rng, 1, shape[0])[0]
    return (Z + Z.T) / 2


def _parts(Z, U, V, cone):
    """Return what of Z is outside the tangent space, and what is not a core of the cone."""
    beyond = Z - U @ (U.conj().T @ Z)
    beyond = beyond - beyond @ V @ V.conj().T
    core = U.conj().T @ Z @ V
    core = (core + core.conj().T) / 2
    if cone == SYMMETRIC:
        X = U @ core @ V.T
        np.testing.assert_allclose(X, X.T, atol=1e-9 * (1 + np.linalg.norm(Z)))  # it does not mix signs
    return beyond, Z - U @ core @ V.conj().T


def _apart(space, cone, defect, size, margin, inner):
    """Return the distance in the nuclear norm that the radius is made of: what the map makes of it, magnified."""
    magnified = Stability(
        space=space,
        semidefinite=cone == SEMIDEFINITE,
        gap=defect,
        size=size,
        margin=margin,
        inner=inner,
        injectivity=1.0,
        gain=1e9,
        dual_size=0.0,
        growth=0.0,
        misfit=0.0,
        outside=0.0,
        unwhiten=1.0,
    )
    return magnified.radius() / 1e9 * (1 + 1e-9)


@pytest.mark.sampled(1)
@cones
@settings(max_examples=150)
@given(seed=st.integers(0, 100_000), q=st.integers(1, 3), size=st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 1.0, 10.0]))
def test_a_defect_confines_to_the_tangent_space_linearly_and_to_the_cores_like_its_root(cone, dtype, seed, q, size):
    rng = np.random.default_rng(seed)
    shape = (5, 4) if cone == RECTANGULAR else (4, 4)
    Y, U, V, inner, rest = _dual_matrix(rng, cone, dtype, shape, q)
    Z = _near_the_cores(rng, cone, dtype, U, V, shape, size)
    norm = nuclear(Z)
    defect = max(0.0, norm - np.vdot(Y, Z).real) + 1e-13 * norm
    beyond, not_core = _parts(Z, U, V, cone)
    assert nuclear(beyond) <= _apart("tangent", cone, defect, norm, 1 - rest, inner) + 1e-12 * norm
    assert nuclear(not_core) <= _apart("core", cone, defect, norm, 1 - rest, inner) + 1e-12 * norm


@pytest.mark.parametrize("angle", [1e-3, 1e-2, 0.1, 0.5])
def test_the_lemmas_are_sharp_up_to_a_small_factor(angle):
    """A unit vector turned out of the core: ``ε = δ sin² t``, and the matrix is ``2 sin t cos t`` away."""
    c, s, margin = np.cos(angle), np.sin(angle), 0.3
    Z = np.outer([c, s], [c, s])
    beyond, not_core = _parts(Z, np.eye(2)[:, :1], np.eye(2)[:, :1], SEMIDEFINITE)
    defect = margin * s**2
    for cone, factor in ((SEMIDEFINITE, 1.1), (SYMMETRIC, 4.0), (RECTANGULAR, 4.0)):
        assert nuclear(beyond) == pytest.approx(_apart("tangent", cone, defect, 1.0, margin, 1.0))
        apart = _apart("core", cone, defect, 1.0, margin, 1.0)
        assert nuclear(not_core) <= apart <= factor * nuclear(not_core) / c**2


def test_cores_that_mix_signs_cost_only_a_root():
    """``[[1, t], [t, −1]]`` has norm ``2 √(1 + t²)``: t is like the root of the excess, though B does not see it."""
    p = fm.Problem(Dense(np.array([np.diag([1.0, 0]), np.diag([0, 1.0])])), [1.0, -1.0], fm.SignedGram())
    proof = fm.flat_minimum(p).certificate
    assert proof.unique is True
    assert proof.stability.space == "core"
    for excess in (1e-8, 1e-6, 1e-4, 1e-2, 1.0):
        t = np.sqrt((1 + excess) ** 2 - 1)
        assert nuclear(np.array([[1, t], [t, -1]])) == pytest.approx(2 * (1 + excess))
        assert np.sqrt(2) * t <= proof.error_radius(0.0, excess) <= 20 * t + 1e-5


# --- from the problem to the radius ---

#: Model, number type and number of measurements of a 4×4 (product: 4×3) matrix, below and above the threshold.
PROBLEMS = {
    "product, below": (fm.Product(), float, 5),
    "product, above": (fm.Product(), float, 10),
    "gram, below": (fm.Gram(), float, 5),
    "gram, above": (fm.Gram(), float, 9),
    "gram, complex, below": (fm.Gram(), complex, 8),
    "gram, complex, above": (fm.Gram(), complex, 14),
    "signed, below": (fm.SignedGram(), float, 5),
    "signed, above": (fm.SignedGram(), float, 9),
    "vectors": (fm.Gram(), float, 10),
    "vectors, complex": (fm.Gram(), complex, 15),
}


def _sample(kind, seed=0):
    model, dtype, m = PROBLEMS[kind]
    rng = np.random.default_rng(seed)
    U = draw(rng, (4, 1), dtype)
    if "vectors" in kind:
        A, X = RankOne(draw(rng, (m, 4), dtype)), U @ U.conj().T
    elif isinstance(model, fm.Product):
        A, X = Dense(rng.standard_normal((m, 4, 3))), U @ rng.standard_normal((1, 3))
    else:
        A, X = Dense(hermitian(rng, m, 4, dtype)), U @ U.conj().T
        if isinstance(model, fm.SignedGram):
            X = X - np.outer(v := rng.standard_normal(4), v)
    return fm.Problem(A, A.forward(X), model), X, U


def _uniqueness_dual(p, U):
    """Return λ with ``W = B*(λ) ⪰ 0``, ``W Z = 0`` and the largest margin below one, by cvxpy."""
    import cvxpy as cp

    (D, inverse), _ = referee.roots(p)
    B = inverse @ p.measurement.matrices() @ inverse
    Q = np.linalg.qr(np.hstack([D @ U, np.eye(4)]))[0]
    range_, rest = Q[:, :1], Q[:, 1:4]
    rows = np.array([np.concatenate([(W @ range_).real.ravel(), (W @ range_).imag.ravel()]) for W in B]).T
    null = np.linalg.svd(rows)[2][np.linalg.matrix_rank(rows) :]  # λ with W Z = 0
    inner = np.array([np.tensordot(direction, rest.conj().T @ B @ rest, 1) for direction in null])
    c, t = cp.Variable(len(null)), cp.Variable()
    M = sum(c[i] * inner[i] for i in range(len(null)))
    real = cp.bmat([[cp.real(M), -cp.imag(M)], [cp.imag(M), cp.real(M)]]) if np.iscomplexobj(inner) else M
    identity = np.eye(real.shape[0])
    symmetric = (real + real.T) / 2
    cp.Problem(cp.Maximize(t), [symmetric >> t * identity, symmetric << identity]).solve(solver=cp.CLARABEL)
    assert t.value > 1e-2, "this seed has no proof of uniqueness"
    return c.value @ null


@pytest.fixture(scope="module", params=PROBLEMS)
def proved(request):
    """A problem, its solution and a certificate with a radius."""
    p, _, U = _sample(request.param)
    if "vectors" in request.param:
        factors = (U,)
        proof = certificate_of(p, factors, trivial_dual(p), uniqueness_dual=_uniqueness_dual(p, U))
    else:
        s = fm.flat_minimum(p)
        factors, proof = s.factors, s.certificate
    assert proof.holds
    assert proof.unique is True
    return p, p.parametrization.matrix(factors), factors, proof


def _norm(p, X):
    (D1, _), (D2, _) = referee.roots(p)
    return nuclear(D1 @ X @ D2)


def _alternatives(p, X, noise, norm, seeds):
    """Yield matrices of the model that fit up to noise, of bounded norm, far from X: the last direction is the next."""
    (D1, _), (D2, _) = referee.roots(p)
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        direction = draw(rng, X.shape, X.dtype.type)
        if p.parametrization.cone != RECTANGULAR:
            direction = direction + direction.conj().T
        for _ in range(3):
            other = referee.farthest(p, direction, noise=noise, norm=norm)
            if p.parametrization.cone == SEMIDEFINITE:
                values, Q = np.linalg.eigh(other)
                other = (Q * np.maximum(values, 0)) @ Q.conj().T
            yield other
            direction = D1 @ (other - X) @ D2
            direction = direction / max(np.linalg.norm(direction), 1e-9)


@pytest.mark.sampled(15)
@pytest.mark.parametrize(("noise", "excess"), [(0, 1e-4), (0, 0.1), (1e-3, 0), (0.1, 0), (0.1, 0.3)])
def test_no_alternative_is_farther_than_the_radius(proved, noise, excess):
    """They are found by convex optimisation, which is global; what they miss by rounding is granted to the radius."""
    p, X, _, proof = proved
    size, b = proof.value / referee.factor(p), np.linalg.norm(p.data)
    vectors = proof.uniqueness_dual is not None
    farthest = 0.0
    for other in _alternatives(p, X, noise * b, None if vectors else (1 + excess) * size, 2):
        missed = float(np.linalg.norm(p.measurement.forward(other) - p.data))
        more = max(0.0, _norm(p, other) / size - 1)
        assert missed <= noise * b + 1e-5 * b
        assert vectors or more <= excess + 1e-5
        distance = float(np.linalg.norm(other - X))
        assert distance <= proof.error_radius(missed, 0.0 if vectors else more) * (1 + 1e-9)
        farthest = max(farthest, distance)
    if noise > 0:
        assert farthest > 1e-4 * np.linalg.norm(X), "the adversary does move"
        assert proof.error_radius(noise * b, excess) < (2000 if vectors else 400) * farthest, "not vacuous"


@pytest.mark.sampled(4)
def test_nor_along_lines_in_the_null_space(proved):
    """As far as a matrix can be moved without a change in the data, at a given loss of flatness."""
    p, X, _, proof = proved
    rng, T = np.random.default_rng(0), p.measurement.matrices()
    rows = np.hstack([T.reshape(len(T), -1).real, T.reshape(len(T), -1).imag])
    hermitian = p.parametrization.cone != RECTANGULAR
    size = _norm(p, X)
    for _ in range(60):
        H = draw(rng, X.shape, X.dtype.type)
        for _ in range(50):  # alternate between the null space and the Hermitian matrices
            H = (H + H.conj().T) / 2 if hermitian else H
            flat = np.concatenate([H.real.ravel(), H.imag.ravel()])
            flat = flat - np.linalg.pinv(rows) @ (rows @ flat)
            H = flat[: H.size].reshape(H.shape) + (1j * flat[H.size :].reshape(H.shape) if np.iscomplexobj(X) else 0)
        H = (H + H.conj().T) / 2 if hermitian else H
        if np.linalg.norm(H) < 1e-6:
            continue
        for step in 10.0 ** np.arange(-8, 1):
            other = X + step * np.linalg.norm(X) * H / np.linalg.norm(H)
            if p.parametrization.cone == SEMIDEFINITE and np.linalg.eigvalsh(other)[0] < 0:
                continue
            more = max(0.0, _norm(p, other) / size - 1)
            missed = float(np.linalg.norm(p.measurement.forward(other) - p.data))
            assert np.linalg.norm(other - X) <= proof.error_radius(missed, more) * (1 + 1e-9)


def test_radius_without_noise_is_small(proved):
    _, X, _, proof = proved
    assert proof.radius == proof.error_radius() == proof.error_radius(0, 0)
    above = proof.stability.space == "tangent"
    assert proof.radius <= (1e-8 if above else 2e-2) * np.linalg.norm(X)


def test_radius_grows_with_noise_and_excess(proved):
    _, _, _, proof = proved
    steps = [0.0, 1e-9, 1e-6, 1e-3, 1.0, 1e3]
    for radii in ([proof.error_radius(e) for e in steps], [proof.error_radius(0, e) for e in steps]):
        assert all(np.diff(radii) >= 0)
        assert np.isfinite(radii).all()
    assert all(proof.error_radius(e, e) >= max(proof.error_radius(e), proof.error_radius(0, e)) for e in steps)
    assert proof.error_radius(1.0) > proof.radius


def test_tangent_radius_is_linear_in_the_noise_and_core_radius_like_its_root(proved):
    *_, proof = proved
    ratio = proof.error_radius(1e-2) / proof.error_radius(1e-4)
    assert ratio == pytest.approx(100 if proof.stability.space == "tangent" else 10, rel=0.2)


def test_radius_has_the_units_of_the_matrix(proved):
    p, _, factors, proof = proved
    c = 1e3
    scaled = fm.Problem(p.measurement, c**2 * p.data, p.parametrization)
    found = certificate_of(scaled, tuple(c * F for F in factors), proof.dual, uniqueness_dual=proof.uniqueness_dual)
    assert found.radius == pytest.approx(c**2 * proof.radius, rel=0.3), "at the level of rounding"
    noise = 1e-3 * np.linalg.norm(p.data)
    assert found.error_radius(c**2 * noise) == pytest.approx(c**2 * proof.error_radius(noise), rel=1e-4)


def _least_alpha(p):
    """Return the smallest alpha for which zero solves the penalised problem: ``2 B*(b) / m`` has the norm 4α (8α)."""
    S = np.tensordot(p.data, referee.whitened_rows(p).reshape(-1, *p.shape), 1)
    norm = np.linalg.eigvalsh(S)[-1] if p.parametrization.cone == SEMIDEFINITE else np.linalg.norm(S, 2)
    return 2 * norm / (p.measurement.size * referee.factor(p))


@pytest.mark.sampled(10)
@pytest.mark.parametrize("kind", [kind for kind in PROBLEMS if "vectors" not in kind])
@pytest.mark.parametrize("share", [0.0, 1e-3, 0.3, 0.98])
def test_a_point_beside_the_optimum_has_it_in_its_radius(kind, share):
    """Its certificate holds, with a gap; the radius must reach the true optimum, however the objective is made up.

    At the largest alpha the loss makes up almost all of it.
    """
    p, _, _ = _sample(kind)
    alpha = share * _least_alpha(p)
    s = fm.flat_minimum(p, alpha=alpha)
    assert s.certificate.holds
    assert s.rank > 0
    D = draw(np.random.default_rng(0), p.shape, p.measurement.dtype.type)
    D = D if p.parametrization.cone == RECTANGULAR else D + D.conj().T
    other = referee.farthest(p, D, norm=1.2 * _norm(p, s.matrix)) if alpha == 0 else np.zeros(p.shape)
    model, ((D1, _), (D2, _)), reached = p.parametrization, referee.roots(p), 0
    for t in 10.0 ** np.arange(-9, -2):
        beside = (1 - t) * s.matrix + t * other
        factors = model.flattest(*model.cone.decompose(D1 @ beside, D2), p.metric)
        proof = certificate_of(p, factors, s.certificate.dual, alpha=alpha)
        if proof.radius is None:
            continue
        distance = np.linalg.norm(model.matrix(factors) - s.matrix)
        assert distance <= (proof.radius + s.certificate.radius) * (1 + 1e-9)
        reached += 1
    assert reached >= 2


@pytest.mark.parametrize("kind", ["product, above", "gram, complex, below", "signed, above"])
@pytest.mark.parametrize("alpha", [1e-3, 0.1])
def test_the_truth_behind_noisy_data_is_within_the_radius_of_a_penalised_solution(kind, alpha):
    """It fits up to the noise, and is so much less flat than the solution."""
    p, X, _ = _sample(kind)
    noise = 0.05 * np.random.default_rng(5).standard_normal(len(p.data))
    noisy = fm.Problem(p.measurement, p.data + noise, p.parametrization)
    s = fm.flat_minimum(noisy, alpha=alpha)
    assert s.status is fm.Status.regularized_minimum
    excess = max(0.0, _norm(p, X) / _norm(p, s.matrix) - 1)
    size = float(np.linalg.norm(noise))
    distance = np.linalg.norm(X - s.matrix)
    assert distance <= s.certificate.error_radius(size, excess)
    for other in _alternatives(noisy, s.matrix, size, (1 + excess) * _norm(p, s.matrix) * (1 + 1e-9), 1):
        more = max(0.0, _norm(p, other) / _norm(p, s.matrix) - 1)
        missed = float(np.linalg.norm(p.measurement.forward(other) - noisy.data))
        assert np.linalg.norm(other - s.matrix) <= s.certificate.error_radius(missed, more) * (1 + 1e-9)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("kind", ["vectors", "vectors, complex"])
@pytest.mark.parametrize("wobble", [0.0, 1e-8, 1e-5])
@pytest.mark.parametrize("largest", [1000, 2])
def test_poorer_uniqueness_duals_by_both_routes(kind, wobble, largest, monkeypatch):
    """All eigenvalues of W, or its margin beside the solution and what couples them: alternatives stay inside."""
    monkeypatch.setattr("flatmin.proofs.cone_certificate.LARGEST_WHOLE", largest)
    p, X, U = _sample(kind)
    dual = _uniqueness_dual(p, U)
    dual = dual + wobble * np.linalg.norm(dual) * np.random.default_rng(0).standard_normal(len(dual))
    proof = certificate_of(p, (U,), trivial_dual(p), uniqueness_dual=dual)
    assert proof.holds
    assert proof.margin_kind == ("dense" if largest == 1000 else "cholesky")
    assert proof.radius <= (1e-9 if wobble == 0 else 1e5 * wobble) * np.linalg.norm(X)
    assert proof.unique is True or wobble > 0
    for noise in (1e-3, 0.1):
        for other in _alternatives(p, X, noise * np.linalg.norm(p.data), None, 1):
            missed = float(np.linalg.norm(p.measurement.forward(other) - p.data))
            assert np.linalg.norm(other - X) <= proof.error_radius(missed)


@pytest.mark.parametrize(("k", "e"), [(1e4, 1e-5), (1e5, 1e-6)])
def test_a_dual_that_is_hardly_infeasible_does_not_hide_a_distant_fit(k, e):
    """``⟨λ, b⟩ = 0`` although W has a negative eigenvalue: ``diag(1 − kt, 1 + kt − t, t)`` fits up to ``t = 1/k``."""
    heights = [(b, c, sign) for b in (0.5, 1.0, 2.0) for c in (1.0, -1.5, 0.3) for sign in (1, -1)]
    A = RankOne([[sign * np.sqrt((c**2 + (k - 1) * b**2) / k), b, c] for b, c, sign in heights])
    X, other = np.diag([1.0, 1.0, 0.0]), np.diag([0.0, 2 - 1 / k, 1 / k])
    p = fm.Problem(A, A.forward(X), fm.Gram())
    np.testing.assert_allclose(A.forward(other), p.data, rtol=1e-12)
    W = np.diag([e, -e, (2 * k - 1) * e])
    dual = np.linalg.lstsq(A.matrices().reshape(A.size, -1).T, W.ravel(), rcond=None)[0]
    np.testing.assert_allclose(A.adjoint(dual), W, atol=1e-12)
    assert abs(p.data @ dual) < 1e-15
    proof = certificate_of(p, (np.eye(3)[:, :2],), trivial_dual(p), uniqueness_dual=dual)
    assert proof.holds
    assert proof.stability.margin > 0.01
    assert proof.unique is not True
    assert proof.radius >= np.linalg.norm(other - X)


CONSTANTS = Stability(
    space="core",
    semidefinite=False,
    gap=1e-3,
    size=2.0,
    margin=0.3,
    inner=0.9,
    injectivity=0.2,
    gain=1.5,
    dual_size=0.7,
    growth=0.4,
    misfit=1e-3,
    outside=1e-2,
    unwhiten=3.0,
)


@pytest.mark.parametrize("space", ["tangent", "core"])
@pytest.mark.parametrize("semidefinite", [False, True])
def test_every_constant_counts(space, semidefinite):
    constants = replace(CONSTANTS, space=space, semidefinite=semidefinite)
    before = constants.radius(0.1, 0.2)
    assert constants.radius(0.11, 0.2) > before
    assert constants.radius(0.1, 0.21) > before
    for name in ("gap", "size", "gain", "dual_size", "growth", "misfit", "outside", "unwhiten"):
        after = replace(constants, **{name: 1.1 * getattr(constants, name)}).radius(0.1, 0.2)
        assert after > before, name
    for name in ("margin", "injectivity"):
        assert replace(constants, **{name: 0.9 * getattr(constants, name)}).radius(0.1, 0.2) > before, name
    less = replace(constants, inner=0.5).radius(0.1, 0.2)
    assert less > before if (space, semidefinite) == ("core", False) else less == before


def test_radius_of_a_map_that_is_injective_on_everything():
    """Only the misfits count where nothing is in defect: ``(noise + misfit) / σ``."""
    constants = replace(CONSTANTS, gap=0.0, dual_size=0.0, outside=0.0)
    assert constants.radius(0.1) == pytest.approx(3 * (0.1 + 1e-3) / 0.2)


@pytest.mark.parametrize("kind", [kind for kind in PROBLEMS if "vectors" not in kind])
@pytest.mark.parametrize("share", [0.1, 0.98])
def test_defect_and_misfit_in_a_penalised_problem(kind, share, monkeypatch):
    """Its gap is ``αf (‖Z‖_* − ⟨Y, Z⟩) + ‖r + (f m α/2) λ‖²/m``, of which each part may be another's as a whole."""
    seen = []
    monkeypatch.setattr("flatmin.proofs.cone_certificate.uniqueness", lambda e: seen.append(e) or uniqueness(e))
    p, _, _ = _sample(kind)
    alpha, factor, m = share * _least_alpha(p), referee.factor(p), p.measurement.size
    s = fm.flat_minimum(p, alpha=alpha)
    wobble = np.random.default_rng(0).standard_normal(m)
    for size in 10.0 ** -np.arange(2, 8):  # as far from the best dual vector as the certificate holds
        dual = s.certificate.dual * (1 + size * wobble)
        proof = certificate_of(p, s.factors, dual, alpha=alpha)
        if proof.holds:
            break
    feasible = dual / max(1.0, proof.dual_norm)
    size = _norm(p, s.matrix)
    parts = (
        alpha * factor * (size - feasible @ p.measurement.forward(s.matrix)),
        np.linalg.norm(p.residual(s.factors) + factor * m * alpha / 2 * feasible) ** 2 / m,
    )
    assert min(parts) > -1e-12 * proof.value
    surplus = sum(parts)
    assert proof.value - proof.lower_bound == pytest.approx(surplus, rel=1e-2, abs=1e-13 * proof.value)
    assert surplus > 1e-9 * proof.value
    assert seen[-1].gap * size * alpha * factor >= surplus * (1 - 1e-3)
    assert seen[-1].misfit >= 2 * np.sqrt(m * surplus) * (1 - 1e-3)
    assert proof.stability is None or proof.stability.misfit == pytest.approx(np.linalg.norm(p.residual(s.factors)))


@pytest.mark.parametrize(("noise", "excess"), [(-1.0, 0), (np.nan, 0), (np.inf, 0), (None, 0), ("1", 0), (True, 0)])
def test_no_such_noise(proved, noise, excess):
    proof = proved[-1]
    with pytest.raises(fm.InputError, match=r"noise is .*, expected a finite number of at least 0"):
        proof.error_radius(noise, excess)
    with pytest.raises(fm.InputError, match=r"excess is .*, expected a finite number of at least 0"):
        proof.error_radius(excess, noise)


def test_no_radius_without_a_proof(proved):
    p, _, factors, proof = proved
    wrong = certificate_of(p, tuple(1.01 * F for F in factors), proof.dual)
    assert (wrong.radius, wrong.stability, wrong.error_radius(), wrong.error_radius(1.0)) == (None,) * 4


def test_constants_survive_a_file(proved):
    stability = proved[-1].stability
    again = Stability(**json.loads(json.dumps(vars(stability))))
    assert again == stability
    assert again.radius(0.1, 0.2) == stability.radius(0.1, 0.2)
    assert replace(stability, injectivity=stability.injectivity / 2).radius() > stability.radius()

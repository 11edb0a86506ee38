"""The lemma of the inexact dual: its inequality, and adversaries who look for matrices beyond the radius."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize

import flatmin as fm
from flatmin.measurements import Entries
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.proofs.tangent.inexact_dual import InexactDual, _operator_norm, nearest_others
from flatmin.proofs.uniqueness_conditions import UniquenessConditions
from flatmin.proofs.whitening import WhitenedSolution
from tests import referee
from tests.cones.samples import RECTANGULAR, SEMIDEFINITE, draw, hermitian
from tests.referee import nuclear

KINDS = ("product", "entries", "gram", "gram, complex", "signed")


def _solved(kind, seed, alpha=0.0):
    """Return a problem above the recovery threshold, with its solution."""
    rng = np.random.default_rng(seed)
    dtype = complex if "complex" in kind else float
    u, v = draw(rng, (4, 1), dtype), draw(rng, (4, 1), dtype)
    if kind == "product":
        A, X, model = fm.measurements.Dense(rng.standard_normal((11, 4, 3))), u @ v[:3].T, fm.Product()
    elif kind == "entries":
        cells = rng.permutation(30)[:26]
        A = fm.measurements.Entries(*np.divmod(cells, 5), (6, 5), rng.uniform(0.5, 2, 26))
        X, model = rng.standard_normal((6, 1)) @ rng.standard_normal((1, 5)), fm.Product()
    else:
        A = fm.measurements.Dense(hermitian(rng, 15 if dtype is complex else 9, 4, dtype))
        X, model = u @ u.conj().T, fm.Gram()
        if kind == "signed":
            X, model = X - v @ v.T, fm.SignedGram()
    problem = fm.Problem(A, A.forward(X), model)
    return problem, fm.flat_minimum(problem, alpha=alpha)


def _conditions(problem, factors, dual, penalty=0.0):
    point = WhitenedSolution.from_factors(problem, factors)
    spectrum = point.cone.spectrum(point.whitened.adjoint(dual), point.Z[0], point.Z[2], unit=0.99)
    return UniquenessConditions(point, spectrum, dual, 0.0, 0.0, penalty=penalty)


def _competitor(point, x, dtype):
    """Return an element of the cone from real coordinates."""
    shape = point.whitened.shape
    Z = (x[: x.size // 2] + 1j * x[x.size // 2 :] if dtype is complex else x).reshape(shape)
    if point.cone == SEMIDEFINITE:
        return Z @ Z.conj().T
    return Z if point.cone == RECTANGULAR else (Z + Z.T) / 2


def _start(point, rng, dtype, size):
    """Return coordinates of a matrix at about a distance from the solution."""
    U, s, V = point.Z
    Z = U * s @ V.conj().T
    if point.cone == SEMIDEFINITE:
        Z = np.hstack([U * np.sqrt(s), np.zeros((len(U), len(U) - len(s)))])
    Z = Z + size * draw(rng, Z.shape, dtype)
    return np.concatenate([Z.real.ravel(), Z.imag.ravel()]) if dtype is complex else Z.ravel()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [0.0, 1e-6, 1e-3])
@pytest.mark.parametrize("changed", [False, True])
def test_the_norm_grows_as_the_lemma_says(kind, error, changed):
    problem, s = _solved(kind, 3)
    rng, dtype = np.random.default_rng(1), complex if "complex" in kind else float
    dual = s.certificate.dual + error * np.linalg.norm(s.certificate.dual) * rng.standard_normal(len(problem.data))
    conditions = _conditions(problem, s.factors, dual)
    point, found = conditions.point, InexactDual.from_conditions(conditions, s.rank)
    found = found.changed() if changed else found
    assert found.surplus > 0
    U, values, V = point.Z
    Z, outside = U * values @ V.conj().T, [np.eye(len(F)) - F @ F.conj().T for F in (U, V)]
    for size in (1e-6, 1e-3, 0.1, 1.0, 10.0):
        for _ in range(20):
            other = _competitor(point, _start(point, rng, dtype, size), dtype)
            H = other - Z
            beyond = outside[0] @ H @ outside[1]
            growth = found.dual @ point.whitened.forward(H) - found.distance * np.linalg.norm(H - beyond)
            assert nuclear(other) - nuclear(Z) >= growth + found.margin * nuclear(beyond) - 1e-12 * nuclear(other)


def _largest_share(kind, seed):
    """Return the largest share of the radius that an ascent reaches, or None if the dual vector is too poor.

    The misfit and the flatness of a matrix are measured, and its distance is compared with the radius for them.
    """
    problem, s = _solved(kind, seed)
    rng, dtype = np.random.default_rng(seed), complex if "complex" in kind else float
    error = rng.choice([0.0, 1e-4, 1e-2]) * np.linalg.norm(s.certificate.dual)
    conditions = _conditions(problem, s.factors, s.certificate.dual + error * draw(rng, len(problem.data)))
    point, bounds = conditions.point, nearest_others(conditions, s.rank)
    if bounds is None:
        return None
    (_, W1), (_, W2) = referee.roots(problem)
    Z, floor = point.Z[0] * point.Z[1] @ point.Z[2].conj().T, 1e-10 * point.norm

    def share(x):
        other = _competitor(point, x, dtype)
        missed = float(np.linalg.norm(point.whitened.forward(other) - problem.data))
        radius = bounds[0].radius(missed, max(0.0, nuclear(other) / point.norm - 1))
        return -float(np.linalg.norm(W1 @ (other - Z) @ W2)) / (radius + floor)

    starts = (_start(point, rng, dtype, size) for size in (1e-3, 1.0))
    return max(-minimize(share, start, method="Powell", options={"maxfev": 400}).fun for start in starts)


@pytest.mark.parametrize("kind", KINDS)
def test_no_matrix_found_by_ascent_is_beyond_the_radius(kind):
    found = [share for seed in range(12) if (share := _largest_share(kind, seed)) is not None]
    assert len(found) >= 5
    assert max(found) <= 1
    assert np.median(found) > 0.01, "the adversary moves"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [1e-3, 0.1])
def test_no_smaller_objective_is_beyond_the_radius_of_a_penalised_solution(kind, alpha):
    """From a point beside the optimum: all points of the segment to the optimum, and to others, are compared."""
    problem, s = _solved(kind, 0, alpha)
    rng, dtype = np.random.default_rng(0), complex if "complex" in kind else float
    penalty, m = alpha * referee.factor(problem), problem.measurement.size
    model, (D1, D2) = problem.parametrization, problem.metric
    for step in (1e-9, 1e-6, 1e-4):
        beside = model.flattest(*model.cone.decompose(D1 @ s.matrix * (1 - step), np.asarray(D2)), problem.metric)
        conditions = _conditions(problem, beside, s.certificate.dual, penalty)
        point, bounds = conditions.point, nearest_others(conditions, s.rank)
        if bounds is None:
            continue

        def objective(Z, point=point):
            return np.sum((point.whitened.forward(Z) - problem.data) ** 2) / m + penalty * nuclear(Z)

        Z = point.Z[0] * point.Z[1] @ point.Z[2].conj().T
        best = np.asarray(D1) @ s.matrix @ np.asarray(D2)
        (_, W1), (_, W2) = referee.roots(problem)
        for t in (0.5, 1.0, 1.5, 2.0):
            other = Z + t * (best - Z)
            if objective(other) <= objective(Z):
                assert np.linalg.norm(W1 @ (other - Z) @ W2) <= bounds[1]
        for _ in range(50):
            other = _competitor(point, _start(point, rng, dtype, step), dtype)
            if objective(other) <= objective(Z):
                assert np.linalg.norm(W1 @ (other - Z) @ W2) <= bounds[1]


def test_a_rough_dual_vector_is_changed_towards_the_tangent_space():
    """A gap of 5e-7 allowed a distance of its root; the change proves uniqueness to rounding."""
    problem = fm.families.matrix_completion.sample((40, 30), 2, 600, seed=0).problem
    s = fm.flat_minimum(problem)
    rng = np.random.default_rng(0)
    rough = s.certificate.dual * (1 + 1e-3 * rng.standard_normal(600))
    conditions = _conditions(problem, s.factors, rough)
    given = InexactDual.from_conditions(conditions, 2)
    changed = given.changed()
    assert changed.distance < 1e-9 * given.distance
    assert changed.surplus > given.surplus
    assert nearest_others(conditions, 2)[1] < 1e-9 * np.linalg.norm(s.matrix)


def test_completion_has_a_radius_of_the_order_of_the_gap():
    """The tangent space has more dimensions than its map could have columns; its Gram matrix is sparse."""
    problem = fm.families.matrix_completion.sample((200, 150), 3, 4164, seed=0).problem
    s = fm.flat_minimum(problem)
    assert s.certificate.unique is True
    assert s.certificate.stability.space == "tangent"
    assert s.certificate.radius <= 3e-7
    truth = fm.families.matrix_completion.sample((200, 150), 3, 4164, seed=0).truth
    assert np.linalg.norm(s.matrix - truth) <= s.certificate.radius
    shrunk = certificate_of(problem, s.factors, (1 - 1e-9) * s.certificate.dual)
    assert shrunk.radius <= 10 * s.certificate.radius, "the gap of a scaled dual vector does not matter"


def test_noise_and_excess_enter_linearly():
    problem, s = _solved("product", 0)
    stability = nearest_others(_conditions(problem, s.factors, s.certificate.dual), s.rank)[0]
    assert stability.space == "tangent"
    for radii in ([stability.radius(e) for e in (1e-4, 1e-2)], [stability.radius(0, e) for e in (1e-4, 1e-2)]):
        assert radii[1] == pytest.approx(100 * radii[0], rel=1e-3)


def test_no_lemma_below_the_threshold_or_without_a_margin():
    few = fm.families.matrix_sensing.sample((5, 4), 3, 9, seed=0).problem
    s = fm.flat_minimum(few)
    assert nearest_others(_conditions(few, s.factors, s.certificate.dual), s.rank) is None
    problem, s = _solved("product", 0)
    conditions = _conditions(problem, s.factors, s.certificate.dual)
    loose = replace(conditions, spectrum=replace(conditions.spectrum, rest=1.0))
    assert nearest_others(loose, s.rank) is None


@pytest.mark.parametrize("kind", ["array", "sparse"])
def test_an_operator_norm_is_bounded_from_above(kind):
    """In sparse matrices entries may be stored twice, and then count as their sum."""
    rng = np.random.default_rng(0)
    entries = Entries([0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 1, 0], (3, 2))
    for y in (np.ones(6), rng.standard_normal(6), np.array([1.0, 1, -1, 0.5, 1, 0])):
        S = entries.adjoint(y) if kind == "array" else entries.adjoint_operator(y)
        true = np.linalg.norm(entries.adjoint(y), 2)
        assert true <= _operator_norm(S) <= true * np.sqrt(2) * (1 + 1e-13)


@pytest.mark.parametrize("skew", [0.0, 1e-7, 1e-3])
def test_stored_singular_values_differ_from_the_norm_as_counted(skew):
    """``⟨Ũ Ṽ*, U s V*⟩`` for the polar factors, in forty digits."""
    problem, solution = _solved("product", 0)
    point = WhitenedSolution.from_factors(problem, solution.factors)
    U, s, V = point.Z
    rng = np.random.default_rng(1)
    Z = (U * (1 - skew * rng.random(U.shape[1])), s, V * (1 - skew * rng.random(V.shape[1])))
    conditions = UniquenessConditions(replace(point, Z=Z), None, np.zeros(1), 0.0, 0.0)
    dual = InexactDual(conditions, None, len(s), np.zeros(1), 0.0, 0.0)
    with mpmath.workdps(40):
        grams = []
        for F in (Z[0], Z[2]):
            values, Q = mpmath.eigsy(mpmath.matrix(F.tolist()).T * mpmath.matrix(F.tolist()))
            grams.append(Q * mpmath.diag([mpmath.sqrt(w) for w in values]) * Q.T)
        inner = grams[0] * mpmath.diag(s.tolist()) * grams[1]
        total = sum(mpmath.mpf(float(x)) for x in s)
        lost = 1 - sum(inner[i, i] for i in range(len(s))) / total
        metric = conditions.point.norm / float(s.sum()) - 1
        assert lost <= dual._rounding() - metric <= 2 * lost + skew**2 * 100 + 1e-13

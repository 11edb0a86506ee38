"""Negative controls: ten thousand dual vectors, and none of them certifies what is wrong."""

from dataclasses import dataclass

import numpy as np
import pytest

import flatmin as fm
from flatmin.measurements import Dense, RankOne
from flatmin.proofs.certificate import LARGEST_RESIDUAL
from flatmin.proofs.cone_certificate import certificate_of, trivial_dual
from tests import referee

#: How many dual vectors are tried for each kind of problem; there are five kinds.
TRIES = 1000


def _draw(rng, shape, dtype=float):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def _hermitian(rng, m, d, dtype=float):
    A = _draw(rng, (m, d, d), dtype)
    return A + A.conj().transpose(0, 2, 1)


def _problem(kind):
    rng = np.random.default_rng(3)
    dtype = complex if "complex" in kind else float
    U = _draw(rng, (3, 2), dtype)
    if kind == "product":
        A, X, model = Dense(rng.standard_normal((4, 3, 3))), U @ rng.standard_normal((2, 3)), fm.Product()
    elif kind == "signed":
        A, X, model = Dense(_hermitian(rng, 4, 3)), U * [1, -1] @ U.T, fm.SignedGram()
    else:
        A, X, model = Dense(_hermitian(rng, 4, 3, dtype)), U @ U.conj().T, fm.Gram()
    return fm.Problem(A, A.forward(X), model)


def _vectors():
    """Four vectors for a 3×3 matrix of rank two: many positive semidefinite matrices fit, with a factor of one."""
    rng = np.random.default_rng(3)
    A, U = RankOne(rng.standard_normal((4, 3))), rng.standard_normal((3, 2))
    return fm.Problem(A, A.forward(U @ U.T), fm.Gram()), U


def _another_fit(p, norm, seed=0):
    """Return another matrix of the model that fits, of a whitened norm up to the given one."""
    D = _hermitian(np.random.default_rng(seed), 1, 3, p.measurement.dtype.type)[0]
    X = referee.farthest(p, D, norm=norm)
    rows = p.measurement.matrices().reshape(p.measurement.size, -1)
    real = np.hstack([rows.real, rows.imag])
    step = np.linalg.pinv(real) @ (p.data - p.measurement.forward(X))
    half = step.size // 2
    return X + (step[:half] + 1j * step[half:] if np.iscomplexobj(X) else step[:half]).reshape(X.shape)


@dataclass(frozen=True)
class Case:
    problem: fm.Problem
    solution: fm.Solution
    optimum: float
    wrong: tuple

    @classmethod
    def of(cls, kind):
        p = _problem(kind)
        s, optimum = fm.flat_minimum(p), referee.flattest(p)[0]
        wrong = _another_fit(p, 1.2 * optimum / referee.factor(p))
        model = p.parametrization
        factors = model.flattest(
            *model.cone.decompose((D := np.asarray(p.metric[0])) @ wrong, np.asarray(p.metric[1])), p.metric
        )
        np.testing.assert_allclose(model.matrix(factors), wrong, atol=1e-7 * np.linalg.norm(D @ wrong))
        return cls(p, s, optimum, factors)


@pytest.fixture(scope="module", params=["product", "gram", "gram, complex", "signed"])
def case(request):
    return Case.of(request.param)


def _duals(p, best, count, rng):
    """Return dual vectors near the best one and far from it, larger and smaller, and some for which nothing speaks."""
    m = len(best)
    for i in range(count):
        size = 10.0 ** rng.uniform(-10, 1)
        kind = i % 4
        noise = rng.standard_normal(m)
        if kind == 0:
            yield best + size * np.linalg.norm(best) * noise / np.linalg.norm(noise)
        elif kind == 1:
            yield size * best
        elif kind == 2:
            yield size * noise
        else:  # what is best for other data
            yield size * p.measurement.forward(p.measurement.adjoint(noise))


@pytest.mark.sampled(1)
def test_no_dual_certifies_an_interpolant_that_is_not_flattest(case):
    p = case.problem
    value = referee.objective(p, p.parametrization.matrix(case.wrong))
    assert value > case.optimum * (1 + 1e-3)
    for dual in _duals(p, case.solution.certificate.dual, TRIES, np.random.default_rng(0)):
        proof = certificate_of(p, case.wrong, dual)
        assert proof.relative_residual < LARGEST_RESIDUAL
        assert not proof.holds
        assert (proof.unique, proof.radius) == (None, None)
        assert proof.lower_bound <= case.optimum * (1 + 1e-7)
    assert proof.value == pytest.approx(value)


def test_the_right_matrix_is_certified_by_duals_near_the_best_one_only(case):
    """So the refusals above say something."""
    p, s = case.problem, case.solution
    rng, best = np.random.default_rng(0), case.solution.certificate.dual
    noise = np.linalg.norm(best) * rng.standard_normal(len(best))
    assert certificate_of(p, s.factors, best + 1e-9 * noise).holds
    assert not certificate_of(p, s.factors, best + 1e-2 * noise).holds
    assert certificate_of(p, s.factors, 3 * best).holds
    assert not certificate_of(p, s.factors, 0.99 * best).holds


def test_matrices_that_do_not_fit_are_refused(case):
    p, best = case.problem, case.solution.certificate.dual
    for share in (0.9, 1 + 1e-7, 0.0):
        factors = tuple(np.sqrt(share) * F for F in case.solution.factors)
        proof = certificate_of(p, factors, best)
        assert not proof.holds
        assert proof.relative_residual > LARGEST_RESIDUAL


def test_matrices_of_another_model_are_refused():
    """A matrix with a negative eigenvalue, and one that is not Hermitian."""
    p = _problem("gram")
    for X, message in (
        (np.diag([1.0, 2.0, -1.0]), "negative eigenvalues"),
        (np.triu(np.ones((3, 3))), "not symmetric"),
    ):
        with pytest.raises(fm.InputError, match=message):
            fm.certify(p, X, np.ones(4))


class TestVectors:
    """All fits are as flat; what must not be claimed is that there is one only."""

    @pytest.mark.sampled(1)
    def test_no_dual_proves_one_of_many_fits_to_be_the_only_one(self):
        p, U = _vectors()
        apart = np.linalg.norm(_another_fit(p, None) - U @ U.T)
        assert apart > 0.1 * np.linalg.norm(U @ U.T)
        W = referee.whitened_rows(p)
        trivial = trivial_dual(p)
        np.testing.assert_allclose((trivial @ W).reshape(3, 3), np.eye(3), atol=1e-9)
        for dual in _duals(p, trivial, TRIES, np.random.default_rng(0)):
            proof = certificate_of(p, (U,), trivial, uniqueness_dual=dual)
            assert proof.holds
            assert proof.unique is not True
            assert proof.radius is None or proof.radius >= apart * (1 - 1e-6)

    def test_no_dual_certifies_a_matrix_that_does_not_fit(self):
        p, U = _vectors()
        wrong = (1.01 * U,)
        for dual in _duals(p, trivial_dual(p), 200, np.random.default_rng(1)):
            assert not certificate_of(p, wrong, dual).holds
            assert not certificate_of(p, wrong, trivial_dual(p), uniqueness_dual=dual).holds

    def test_the_trivial_dual_proves_any_fit_flattest_and_none_unique(self):
        p, _ = _vectors()
        U, s, _ = fm.Gram().cone.decompose(_another_fit(p, None, seed=1), np.eye(3))
        proof = certificate_of(p, (U * np.sqrt(s),), trivial_dual(p))
        assert proof.holds
        assert proof.unique is None
        assert proof.bound_kind == "proven"
        assert proof.value == pytest.approx(8 * np.mean(np.sum(p.measurement.left**2, axis=1) * p.data))


class TestHostile:
    """Attacks that a random search does not find."""

    def test_a_dual_along_redundant_measurements_cannot_lift_the_bound(self):
        """The data contradict themselves by 1e-9: exact fits do not exist, and bounds for them say nothing."""
        rng = np.random.default_rng(2)
        T = rng.standard_normal((8, 5, 5))
        T = np.concatenate([T, (0.1 * T[0] + 0.3 * T[1] + 0.7 * T[2])[None]])
        M = rng.standard_normal((5, 1)) @ rng.standard_normal((1, 5))
        A = fm.measurements.Dense(T)
        b = A.forward(M)
        dual = fm.flat_minimum(fm.Problem(A, b)).certificate.dual
        null = np.zeros(9)
        null[[0, 1, 2, 8]] = [0.1, 0.3, 0.7, -1]
        b[8] -= 1e-9 * np.linalg.norm(b)
        problem, reach = fm.Problem(A, b), 0.0
        for _ in range(7):
            proof = fm.certify(problem, M, dual=dual + reach * null)
            reach += (proof.value - proof.lower_bound) / 4 / float(b @ null)
        assert abs(proof.relative_gap) <= 1e-6
        assert proof.relative_residual <= 1e-8
        assert proof.residual_reach > 1e-3
        assert not proof.holds

    @pytest.mark.parametrize("model", [fm.Gram(), fm.SignedGram()])
    def test_nothing_is_called_unique_where_rounding_hides_what_rows_see(self, model):
        x = np.array([[1e5, 2e4], [0.3, 1.1], [1.0, -0.4]])
        problem = fm.Problem(fm.measurements.RankOne(x), (x @ [1.0, 0.7]) ** 2, model)
        proof = fm.flat_minimum(problem, alpha=1e-3).certificate
        assert proof.unique is None
        assert proof.radius is None

    def test_unique_is_said_of_the_matrix_and_not_of_its_whitened_form(self):
        rng = np.random.default_rng(1)
        x = rng.standard_normal((40, 4))
        x[:, 0] *= 1e-6
        v = rng.standard_normal(4)
        problem = fm.Problem(fm.measurements.RankOne(x), (x @ v) ** 2, fm.Gram())
        for t in (0.0, 1.0, 100.0):
            proof = fm.certify(problem, np.outer(v, v) + t * np.diag([1.0, 0, 0, 0]))
            assert proof.unique is not True or t == 0

    def test_zero_is_not_called_the_only_minimiser_for_a_gap_that_allows_others(self):
        rng = np.random.default_rng(0)
        A, b = fm.measurements.Dense(rng.standard_normal((12, 4, 4))), 1e-6 * rng.standard_normal(12)
        problem = fm.Problem(A, b)
        alpha = 2 / 12 * np.linalg.norm(problem.whitened.adjoint(b), 2) / 4 / (1 + 5e-4)
        dual = 2 / 12 * b / (4 * alpha)
        proof = fm.certify(problem, (np.zeros((4, 1)), np.zeros((4, 1))), dual=dual * (1 - 1e-3), alpha=alpha)
        assert proof.unique is not True
        assert fm.flat_minimum(problem, alpha=alpha).matrix.any()

    @pytest.mark.parametrize("scale", [1e-200, 1e160])
    def test_sizes_whose_squares_are_lost_are_refused(self, scale):
        rng = np.random.default_rng(0)
        T, b = rng.standard_normal((12, 4, 3)), np.arange(1.0, 13)
        with pytest.raises(fm.InputError, match="scale them"):
            fm.Problem(fm.measurements.Dense(T), scale * b)
        with pytest.raises(fm.InputError, match="scale them"), np.errstate(over="ignore"):
            fm.flat_minimum(fm.Problem(fm.measurements.Dense(scale * T), b))

    @pytest.mark.filterwarnings("error::RuntimeWarning")
    def test_enormous_duals_prove_nothing_and_overflow_nowhere(self):
        instance = fm.families.covariance.sample(4, 1, 12)
        proof = fm.certify(instance.problem, instance.truth, uniqueness_dual=np.full(12, 1e300))
        assert proof.unique is not True
        assert not fm.certify(instance.problem, instance.truth, dual=np.full(12, 1e300)).holds

"""Flat minima among positive semidefinite and among symmetric matrices, for sensing matrices of any rank."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flatmin as fm
from flatmin.measurements import Dense
from flatmin.testing import check_solution
from tests import referee

#: Model, number type and number of measurements of a 5×5 matrix of rank 2, below and above the recovery threshold.
KINDS = {
    "gram-below": (fm.Gram(), float, 6),
    "gram-near": (fm.Gram(), float, 11),
    "gram-above": (fm.Gram(), float, 14),
    "gram-complex-below": (fm.Gram(), complex, 9),
    "gram-complex-above": (fm.Gram(), complex, 22),
    "signed-below": (fm.SignedGram(), float, 6),
    "signed-near": (fm.SignedGram(), float, 10),
    "signed-above": (fm.SignedGram(), float, 14),
}


def _draw(rng, shape, dtype):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def _hermitian(rng, m, d, dtype=float):
    A = _draw(rng, (m, d, d), dtype)
    return A + A.conj().transpose(0, 2, 1)


def _truth(rng, model, d=5, dtype=float):
    U = _draw(rng, (d, 2), dtype)
    return U @ U.conj().T if isinstance(model, fm.Gram) else U * [1, -1] @ U.T


def _problem(kind, seed=0):
    model, dtype, m = KINDS[kind]
    rng = np.random.default_rng(seed)
    A = Dense(_hermitian(rng, m, 5, dtype))
    return fm.Problem(A, A.forward(_truth(rng, model, dtype=dtype)), model)


@pytest.fixture(scope="module", params=KINDS)
def solved(request):
    p = _problem(request.param)
    return p, fm.flat_minimum(p)


def _finite(s):
    numbers = [v for v in (*s.certificate.scalars().values(), *vars(s.flatness).values()) if isinstance(v, float)]
    return np.isfinite(s.matrix).all() and np.isfinite(s.certificate.dual).all() and np.isfinite(numbers).all()


def test_agrees_with_cvxpy(solved):
    p, s = solved
    check_solution(s, p)
    value, X = referee.flattest(p)
    assert s.certificate.holds
    assert abs(s.certificate.relative_gap) <= 1e-9
    assert s.certificate.value == pytest.approx(value, rel=1e-6)
    assert s.certificate.value == pytest.approx(referee.objective(p, s.matrix), rel=1e-9)
    assert s.certificate.lower_bound <= value * (1 + 1e-6)
    np.testing.assert_allclose(s.matrix, X, atol=2e-3 * np.linalg.norm(X))
    np.testing.assert_allclose(s.matrix, s.matrix.conj().T, atol=1e-12 * np.linalg.norm(X))
    assert isinstance(p.parametrization, fm.SignedGram) or np.linalg.eigvalsh(s.matrix)[0] > -1e-12
    assert np.iscomplexobj(s.matrix) == np.iscomplexobj(p.measurement.matrices())
    assert s.flatness.scaled_trace == pytest.approx(s.flatness.fibre_minimum)
    assert s.flatness.hessian_trace == pytest.approx(s.flatness.scaled_trace, rel=1e-6), "at zero loss"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith("above")])
@pytest.mark.parametrize("seed", range(2))
def test_recovers_the_truth_above_the_threshold(kind, seed):
    model, dtype, m = KINDS[kind]
    rng = np.random.default_rng(seed)
    A, X = Dense(_hermitian(rng, m + 2, 5, dtype)), _truth(rng, model, dtype=dtype)
    s = fm.flat_minimum(fm.Problem(A, A.forward(X), model))
    assert s.status is fm.Status.unique_flat_minimum
    assert s.rank == 2
    assert s.signature == ([1, 1] if isinstance(model, fm.SignedGram) else None)
    np.testing.assert_allclose(s.matrix, X, atol=1e-8 * np.linalg.norm(X))


@pytest.mark.parametrize("kind", ["gram-near", "gram-complex-above", "signed-below"])
def test_unique_means_that_linear_functionals_do_not_vary(kind):
    p = _problem(kind)
    s = fm.flat_minimum(p)
    assert s.certificate.unique is True
    direction = _hermitian(np.random.default_rng(1), 1, 5, complex)[0]
    direction = direction if np.iscomplexobj(s.matrix) else direction.real
    value = s.certificate.value * (1 + 1e-8)
    size = s.certificate.value / 8 * np.linalg.norm(direction)
    assert referee.spread(p, value, direction) < 2e-3 * size


@pytest.mark.parametrize("alpha", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("kind", ["gram-below", "gram-complex-above", "signed-below", "signed-above"])
def test_penalised(kind, alpha):
    p = _problem(kind)
    s = fm.flat_minimum(p, alpha=alpha)
    check_solution(s, p)
    value, X = referee.flattest(p, alpha=alpha)
    assert s.status is fm.Status.regularized_minimum
    assert s.certificate.value == pytest.approx(value, rel=1e-6)
    assert s.certificate.value == pytest.approx(s.flatness.loss + alpha * s.flatness.scaled_trace)
    np.testing.assert_allclose(s.matrix, X, atol=2e-3 * np.linalg.norm(X) + 1e-4)


@pytest.mark.parametrize("kind", ["gram-complex-below", "signed-below"])
def test_a_penalised_bound_holds_for_any_dual(kind):
    p = _problem(kind)
    s, value = fm.flat_minimum(p, alpha=0.1), referee.flattest(p, alpha=0.1)[0]
    for seed in range(20):
        dual = 10.0 ** (seed % 5 - 3) * np.random.default_rng(seed).standard_normal(p.measurement.size)
        proof = fm.certify(p, s.factors, dual, alpha=0.1)
        assert proof.lower_bound <= value * (1 + 1e-7)
        assert not proof.holds
    assert fm.certify(p, s.factors, s.certificate.dual, alpha=0.1).holds
    assert not fm.certify(p, s.factors, s.certificate.dual, alpha=0.2).holds


@pytest.mark.sampled(8)
@pytest.mark.parametrize("kind", ["gram-below", "gram-complex-below", "signed-below"])
@pytest.mark.parametrize("power", [0.0, 0.6])
@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_metric_power(kind, power, alpha):
    p = _problem(kind, seed=2)
    s = fm.flat_minimum(p, metric_power=power, alpha=alpha)
    check_solution(s, p)
    assert s.certificate.holds
    value, X = referee.flattest(p, power=power, alpha=alpha)
    assert s.certificate.value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(s.matrix, X, atol=5e-3 * np.linalg.norm(X))


class TestScale:
    """Nothing depends on units."""

    @pytest.mark.parametrize("c", [1e-100, 1e-8, 1e100])
    def test_of_the_data(self, solved, c):
        p, s = solved
        t = fm.flat_minimum(fm.Problem(p.measurement, c * p.data, p.parametrization))
        assert t.status is s.status
        assert t.certificate.value == pytest.approx(c * s.certificate.value, rel=1e-8)
        np.testing.assert_allclose(t.matrix / c, s.matrix, atol=1e-4 * np.linalg.norm(s.matrix))
        assert t.certificate.radius / c < 0.05 * np.linalg.norm(s.matrix)

    @pytest.mark.parametrize("c", [1e-50, -1.0, 1e50])
    def test_of_the_measurements(self, solved, c):
        p, s = solved
        A = Dense(c * p.measurement.matrices())
        t = fm.flat_minimum(fm.Problem(A, c * p.data, p.parametrization))
        assert t.status is s.status
        assert t.certificate.value / c**2 == pytest.approx(s.certificate.value, rel=1e-8)
        np.testing.assert_allclose(t.matrix, s.matrix, atol=1e-4 * np.linalg.norm(s.matrix))

    def test_of_single_measurements(self):
        """Six decades apart."""
        p = _problem("gram-near")
        scales = 10.0 ** (np.arange(p.measurement.size) % 7 - 3)
        q = fm.Problem(Dense(scales[:, None, None] * p.measurement.matrices()), scales * p.data, fm.Gram())
        s = fm.flat_minimum(q)
        check_solution(s, q)
        assert s.certificate.holds
        assert s.certificate.value == pytest.approx(referee.flattest(q)[0], rel=1e-5)


@pytest.mark.parametrize("model", [fm.Product(), fm.Gram(), fm.SignedGram()])
@pytest.mark.parametrize("m", [7, 20])
@pytest.mark.parametrize("alpha", [1e-3, 0.1, 10.0])
def test_where_misfit_has_a_price_measurements_of_any_size_keep_theirs(model, m, alpha):
    """Sizes differ by a thousand, and with 20 of them equations are merged."""
    rng = np.random.default_rng(m)
    T = 10.0 ** (np.arange(m) % 4 - 2)[:, None, None] * _hermitian(rng, m, 4)
    p = fm.Problem(Dense(T), np.tensordot(T, _truth(rng, model, 4)) + 0.1 * rng.standard_normal(m), model)
    s = fm.flat_minimum(p, alpha=alpha)
    check_solution(s, p)
    assert s.status is fm.Status.regularized_minimum
    assert s.certificate.value == pytest.approx(referee.flattest(p, alpha=alpha)[0], rel=1e-6)


def test_a_change_of_basis_goes_along(solved):
    p, s = solved
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(_draw(rng, p.shape, complex if np.iscomplexobj(s.matrix) else float))[0]
    t = fm.flat_minimum(fm.Problem(Dense(Q @ p.measurement.matrices() @ Q.conj().T), p.data, p.parametrization))
    assert t.certificate.value == pytest.approx(s.certificate.value, rel=1e-8)
    np.testing.assert_allclose(Q.conj().T @ t.matrix @ Q, s.matrix, atol=1e-4 * np.linalg.norm(s.matrix))


def test_complex_measurements_that_happen_to_be_real():
    """The model is another one, Hermitian in place of symmetric matrices; here its flat minimum is real."""
    p = _problem("gram-above")
    A = Dense(p.measurement.matrices().astype(complex))
    s, t = fm.flat_minimum(p), fm.flat_minimum(fm.Problem(A, p.data, fm.Gram()))
    assert t.certificate.value == pytest.approx(s.certificate.value, rel=1e-8)
    check_solution(t, fm.Problem(A, p.data, fm.Gram()))


@pytest.mark.parametrize("model", [fm.Gram(), fm.SignedGram()])
class TestUndetermined:
    """Directions that no sensing matrix sees."""

    def test_coordinates(self, model):
        rng = np.random.default_rng(0)
        T = _hermitian(rng, 9, 5)
        T[:, [1, 3]], T[:, :, [1, 3]] = 0, 0
        A = Dense(T)
        p = fm.Problem(A, A.forward(_truth(rng, model)), model)
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert [u.tolist() for u in s.undetermined] == [[1, 3], [1, 3]]
        assert s.certificate.holds
        assert _finite(s)
        assert not s.matrix[[1, 3]].any()
        assert not s.matrix[:, [1, 3]].any()
        assert s.certificate.value == pytest.approx(referee.flattest(p)[0], rel=1e-6)
        seen = np.ix_(range(9), [0, 2, 4], [0, 2, 4])
        smaller = fm.flat_minimum(fm.Problem(Dense(T[seen]), p.data, model))
        assert smaller.certificate.value == pytest.approx(s.certificate.value, rel=1e-8)
        np.testing.assert_allclose(s.matrix[np.ix_([0, 2, 4], [0, 2, 4])], smaller.matrix, atol=1e-5)

    def test_a_direction_across_coordinates(self, model):
        rng = np.random.default_rng(1)
        blind = np.ones(5) / np.sqrt(5)
        P = np.eye(5) - np.outer(blind, blind)
        T = P @ _hermitian(rng, 12, 5) @ P
        A = Dense((T + T.transpose(0, 2, 1)) / 2)
        p = fm.Problem(A, A.forward(_truth(rng, model)), model)
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert s.certificate.holds
        assert [u.tolist() for u in s.undetermined] == [[], []]
        np.testing.assert_allclose(s.matrix @ blind, 0, atol=1e-9 * np.linalg.norm(s.matrix))

    def test_nothing_is_seen(self, model):
        s = fm.flat_minimum(fm.Problem(Dense(np.zeros((2, 3, 3))), np.zeros(2), model))
        assert s.status.certified
        assert _finite(s)
        t = fm.flat_minimum(fm.Problem(Dense(np.zeros((2, 3, 3))), np.ones(2), model))
        assert t.status is fm.Status.inconsistent_data
        assert _finite(t)


@pytest.mark.parametrize("kind", ["gram-above", "gram-complex-above", "signed-above"])
def test_zero_data(kind):
    p = _problem(kind)
    q = fm.Problem(p.measurement, 0 * p.data, p.parametrization)
    s = fm.flat_minimum(q)
    check_solution(s, q)
    assert s.status is fm.Status.unique_flat_minimum
    assert (s.rank, s.certificate.relative_gap, s.certificate.value) == (0, 0, 0)
    assert s.signature in (None, [0, 0])


class TestRedundant:
    """More equations than a symmetric (Hermitian) matrix has unknowns."""

    @pytest.mark.parametrize(("kind", "m"), [("gram-above", 40), ("gram-complex-above", 60), ("signed-above", 40)])
    def test_consistent(self, kind, m):
        model, dtype, _ = KINDS[kind]
        rng = np.random.default_rng(0)
        A, X = Dense(_hermitian(rng, m, 5, dtype)), _truth(rng, model, dtype=dtype)
        p = fm.Problem(A, A.forward(X), model)
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert s.status is fm.Status.unique_flat_minimum
        np.testing.assert_allclose(s.matrix, X, atol=1e-9 * np.linalg.norm(X))

    @pytest.mark.parametrize(("kind", "m"), [("gram-above", 40), ("gram-complex-above", 60), ("signed-above", 40)])
    @pytest.mark.parametrize("size", [1e-5, 1.0])
    def test_contradictory(self, kind, m, size):
        model, dtype, _ = KINDS[kind]
        rng = np.random.default_rng(0)
        A, X = Dense(_hermitian(rng, m, 5, dtype)), _truth(rng, model, dtype=dtype)
        p = fm.Problem(A, A.forward(X) + size * rng.standard_normal(m), model)
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert s.status is fm.Status.inconsistent_data
        assert not s.certificate.holds
        assert s.certificate.radius is None
        assert _finite(s)
        assert np.linalg.norm(p.residual(s.factors)) <= 2 * size * np.sqrt(m)

    def test_repeated(self):
        rng = np.random.default_rng(0)
        T, X = np.repeat(_hermitian(rng, 7, 4), 2, axis=0), _truth(rng, fm.Gram(), 4)
        p = fm.Problem(Dense(T), Dense(T).forward(X), fm.Gram())
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert s.certificate.holds
        assert s.certificate.value == pytest.approx(referee.flattest(p)[0], rel=1e-6)


def _not_semidefinite(smallest, m=40, d=4, dtype=float):
    """Data of an indefinite matrix, so many that no positive semidefinite one has the same."""
    A = Dense(_hermitian(np.random.default_rng(1), m, d, dtype))
    return fm.Problem(A, A.forward(np.diag([1.0, 2.0, smallest, 1.0])), fm.Gram())


class TestNoSemidefiniteMatrixFits:
    """A symmetric one does, so the contradiction is with the model: never a success, never NaN."""

    @pytest.mark.parametrize("smallest", [-1e-2, -1.0, -100.0])
    @pytest.mark.parametrize("dtype", [float, complex])
    def test_indefinite(self, smallest, dtype):
        p = _not_semidefinite(smallest, dtype=dtype)
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert s.status is fm.Status.inconsistent_data
        assert _finite(s)
        assert not s.certificate.holds
        assert s.certificate.unique is None
        best = referee.flattest(p, alpha=1e-9)[1]  # nearly the least-squares fit
        least = np.linalg.norm(p.measurement.forward(best) - p.data)
        assert np.linalg.norm(p.residual(s.factors)) <= 1.01 * least

    def test_a_symmetric_matrix_does(self):
        p = _not_semidefinite(-1.0)
        s = fm.flat_minimum(fm.Problem(p.measurement, p.data, fm.SignedGram()))
        assert s.certificate.unique is True
        assert s.signature == [3, 1]
        np.testing.assert_allclose(s.matrix, np.diag([1.0, 2.0, -1.0, 1.0]), atol=1e-9)

    @pytest.mark.parametrize("size", [1e-6, 1e-10])
    def test_hardly_indefinite_is_no_success(self, size):
        """A misfit this small could be the solver's, so nothing is said about the data."""
        s = fm.flat_minimum(_not_semidefinite(-size))
        assert _finite(s)
        assert s.certificate.holds == (s.certificate.relative_residual <= 1e-8)
        assert size < 1e-8 or not s.status.certified

    @pytest.mark.parametrize(
        ("tensor", "data"), [(np.eye(3)[None], [-1.0]), ([[[2.0]]], [-3.0]), ([np.eye(2), -np.eye(2)], [1.0, 1.0])]
    )
    def test_negative_trace(self, tensor, data):
        p = fm.Problem(Dense(tensor), data, fm.Gram())
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert s.status is fm.Status.inconsistent_data
        assert _finite(s)
        assert s.rank == 0

    def test_minus_identity(self):
        """Few equations, and still no positive semidefinite matrix has these measurements: one of them is a trace."""
        T = _hermitian(np.random.default_rng(0), 6, 4)
        T[0] = np.eye(4)
        p = fm.Problem(Dense(T), Dense(T).forward(-np.eye(4)), fm.Gram())
        s = fm.flat_minimum(p)
        assert s.status is fm.Status.inconsistent_data
        assert _finite(s)

    def test_alpha_makes_them_fit(self):
        p = _not_semidefinite(-1.0)
        s = fm.flat_minimum(p, alpha=0.1)
        check_solution(s, p)
        assert s.status is fm.Status.regularized_minimum
        assert s.certificate.value == pytest.approx(referee.flattest(p, alpha=0.1)[0], rel=1e-6)


class TestOptions:
    @pytest.mark.sampled(1)
    @pytest.mark.parametrize("kind", ["gram-below", "gram-complex-below", "signed-below"])
    def test_largest_rank(self, kind):
        """A limit below the rank of the flat minimum is no contradiction in the data, and no success."""
        p = _problem(kind)
        s = fm.flat_minimum(p)
        assert s.rank > 1
        for narrow in (
            fm.flat_minimum(p, max_rank=1),
            fm.flat_minimum(fm.Problem(p.measurement, p.data, type(p.parametrization)(rank=1))),
        ):
            assert narrow.rank <= 1
            assert narrow.status is fm.Status.not_certified
            assert _finite(narrow)
        assert fm.flat_minimum(p, max_rank=s.rank).certificate.holds

    def test_warm_start(self, solved):
        p, s = solved
        for start in (s, s.factors, tuple(np.zeros((5, 1)) for _ in s.factors)):
            t = fm.flat_minimum(p, warm_start=start)
            assert t.certificate.holds
            assert t.certificate.value == pytest.approx(s.certificate.value, rel=1e-8)
        assert fm.flat_minimum(p, warm_start=s).iterations <= s.iterations

    @pytest.mark.parametrize("start", [(np.ones((4, 1)),), (np.ones((5, 1)), np.ones((5, 1))), "cold"])
    def test_warm_starts_that_do_not_fit_are_refused(self, start):
        with pytest.raises(fm.InputError):
            fm.flat_minimum(_problem("gram-below"), warm_start=start)

    def test_complex_data_are_refused(self):
        with pytest.raises(fm.InputError, match="the data b is complex, expected real numbers"):
            fm.Problem(Dense(np.eye(2)[None] * 1j * -1j), [1j], fm.Gram())


@pytest.mark.parametrize("model", [fm.Gram(), fm.SignedGram()])
@settings(max_examples=20)
@given(
    d=st.integers(1, 5), m=st.integers(1, 18), rank=st.integers(1, 3), seed=st.integers(0, 10_000), wave=st.booleans()
)
def test_any_consistent_problem_is_certified(model, d, m, rank, seed, wave):
    """Sensing matrices of any rank, few or too many."""
    rng = np.random.default_rng(seed)
    dtype = complex if wave and isinstance(model, fm.Gram) else float
    left = _draw(rng, (m, d, rank), dtype)
    T = left * rng.choice([-1.0, 1.0], (m, 1, rank)) @ left.conj().transpose(0, 2, 1)
    A, U = Dense((T + T.conj().transpose(0, 2, 1)) / 2), _draw(rng, (d, 2), dtype)
    X = U @ U.conj().T if isinstance(model, fm.Gram) else U * [1, -1] @ U.T
    p = fm.Problem(A, A.forward(X), model)
    s = fm.flat_minimum(p)
    check_solution(s, p)
    assert s.certificate.holds, s.status
    assert s.certificate.value <= referee.objective(p, X) * (1 + 1e-6)

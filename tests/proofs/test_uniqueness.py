"""Whether a flat minimum is the only one: True and False are proofs, None is an honest answer."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.cones import Rectangular
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.testing import check_solution
from tests import referee


def _trace_of_identity(n=3, b=2.0):
    """``tr X = b``: every positive semidefinite matrix of that trace is flat."""
    return fm.Problem(fm.measurements.Dense(np.eye(n)[None]), [b])


def _single_orthogonal():
    """One orthogonal sensing matrix: so is the dual matrix, and nothing is preferred."""
    A = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    return fm.Problem(fm.measurements.Dense(A[None]), [1.0])


def _sum_of_a_block():
    """``X_11 + X_22`` and ``X_33`` measured: the first block may be split at will."""
    A = np.zeros((2, 3, 3))
    A[0, :2, :2], A[1, 2, 2] = np.eye(2), 1.0
    return fm.Problem(fm.measurements.Dense(A), [1.0, 5.0])


def _repeated_trace():
    """More equations than the symmetric core has unknowns, and still only one of them independent."""
    return fm.Problem(fm.measurements.Dense(np.arange(1.0, 9.0)[:, None, None] * np.eye(3)), 2 * np.arange(1.0, 9.0))


def _long_completion():
    """So few entries that a core of five columns has freedom left."""
    return fm.families.matrix_completion.sample((12, 9), 1, 16, seed=1).problem


#: The referee's accuracy: a value relaxed by a relative 1e-8 widens even a single point by about the square root of it.
REFEREE = 2e-3


def _opposite_signs():
    """``[[1, −t], [t, −1]]`` has nuclear norm 2 for every t up to one: a core may mix both signs."""
    return fm.Problem(fm.measurements.Entries([0, 1], [0, 1], (2, 2)), [1.0, -1.0])


def _trace(model, n=3, sign=1.0):
    """``tr X`` is measured: every positive semidefinite matrix of that trace is flat, or its negative."""
    return fm.Problem(fm.measurements.Dense(np.eye(n)[None]), [2.0 * sign], model)


def _diagonal(*data, model=None, dtype=float, real_part=False):
    """The diagonal is measured, and where asked for the real part of the entry beside it."""
    units = [np.diag(e) for e in np.eye(2)] + [np.array([[0.0, 1.0], [1.0, 0.0]])] * real_part
    return fm.Problem(fm.measurements.Dense(np.array(units, dtype=dtype)), data, model or fm.SignedGram())


NOT_UNIQUE = [
    _trace_of_identity,
    _single_orthogonal,
    _sum_of_a_block,
    _long_completion,
    _opposite_signs,
    pytest.param(lambda: _trace(fm.Gram()), id="gram, trace"),
    pytest.param(lambda: _trace(fm.SignedGram()), id="signed, trace"),
    pytest.param(lambda: _trace(fm.SignedGram(), sign=-1.0), id="signed, negative trace"),
    pytest.param(lambda: _diagonal(1.0, 2.0), id="signed, diagonal"),
    pytest.param(lambda: _diagonal(1.0, 2.0, model=fm.Gram()), id="gram, diagonal"),
    pytest.param(lambda: _diagonal(-1.0, -2.0), id="signed, negative diagonal"),
    pytest.param(
        lambda: _diagonal(1.0, 2.0, 0.5, model=fm.Gram(), dtype=complex, real_part=True), id="gram, phase unseen"
    ),
]


def _width(problem, s, seed):
    direction = np.random.default_rng(seed).standard_normal(problem.shape)
    if problem.parametrization.cone.is_hermitian:
        direction = direction + direction.T
    if np.issubdtype(problem.measurement.dtype, np.complexfloating):
        skew = np.random.default_rng(seed + 1).standard_normal(problem.shape)
        direction = direction + 1j * (skew - skew.T)
    return referee.spread(problem, s.certificate.value * (1 + 1e-8), direction / np.linalg.norm(direction))


def _most_apart(problem, s, seeds):
    """Return the largest width of the set of flat minima in a few random directions, over its nuclear norm."""
    return max(_width(problem, s, seed) for seed in range(seeds)) / (s.certificate.value / 4)


def test_true_means_that_linear_functionals_do_not_vary(instance, solution):
    """Undecided only where the dual vector that was found leaves another singular value next to one."""
    proof = solution.certificate
    assert proof.unique is not False
    assert proof.unique or proof.margin < 1e-4
    assert (solution.status is fm.Status.unique_flat_minimum) == bool(proof.unique)
    assert _most_apart(instance.problem, solution, 2) < REFEREE


@pytest.mark.parametrize("m", [6, 9, 12, 15])
@pytest.mark.parametrize("seed", range(2))
def test_true_below_the_threshold(m, seed):
    """The paper's condition fails here (fewer measurements than the tangent space has dimensions)."""
    p = fm.families.matrix_sensing.sample((5, 4), 3, m, seed=seed).problem
    s = fm.flat_minimum(p)
    check_solution(s, p)
    assert s.certificate.unique is True
    assert s.rank * (5 + 4 - s.rank) > m or m == 15
    assert _most_apart(p, s, 1) < REFEREE


@pytest.mark.parametrize("A", [np.random.default_rng(0).standard_normal((3, 3)), np.array([[1, 1.0], [1, 0]])])
def test_one_generic_measurement_has_one_flat_minimum(A):
    """``D1⁻¹ A D2⁻¹`` has the inverse singular values of A, so X lies along the smallest of them."""
    U, values, Vt = np.linalg.svd(A)
    s = fm.flat_minimum(fm.Problem(fm.measurements.Dense(A[None]), [1.0]))
    assert s.certificate.unique is True
    np.testing.assert_allclose(s.matrix, np.outer(U[:, -1], Vt[-1]) / values[-1], atol=1e-7)


def test_exact_answer_above_the_threshold():
    inst = fm.families.matrix_sensing.sample((8, 6), 1, 40)
    s = fm.flat_minimum(inst.problem)
    assert s.certificate.unique is True
    assert s.certificate.q == s.rank == 1
    assert s.certificate.injectivity == pytest.approx(1), "one column has one singular value"
    assert 0 < s.certificate.margin < 1


@pytest.mark.sampled(5)
@pytest.mark.parametrize("make", NOT_UNIQUE)
def test_false_comes_with_a_second_solution(make):
    p = make()
    s = fm.flat_minimum(p)
    check_solution(s, p)
    assert s.certificate.unique is False
    assert s.status is fm.Status.flat_minimum
    other = p.parametrization.matrix(s.certificate.alternative)
    np.testing.assert_allclose(p.measurement.forward(other), p.data, rtol=1e-8)
    assert referee.objective(p, other) == pytest.approx(s.certificate.value, rel=1e-7)
    assert np.linalg.norm(other - s.matrix) > 1e-3 * np.linalg.norm(s.matrix)
    assert max(_width(p, s, seed) for seed in range(2)) > 0.05 * s.certificate.value / referee.factor(p)
    assert fm.certify(p, s.certificate.alternative, s.certificate.dual).holds


def _beside_a_unique_block(weight):
    """Beside a block that is determined, ``weight · tr`` of a block that is not."""
    rng = np.random.default_rng(0)
    A = np.zeros((17, 6, 6))
    A[:16, :4, :4] = rng.standard_normal((16, 4, 4))
    A[16, 4:, 4:] = weight * np.eye(2)
    truth = np.zeros((6, 6))
    truth[:4, :4] = np.outer(rng.standard_normal(4), rng.standard_normal(4))
    truth[4, 4] = 1.0
    return fm.Problem(fm.measurements.Dense(A), np.tensordot(A, truth))


@pytest.mark.parametrize(
    "make",
    [
        *NOT_UNIQUE,
        _repeated_trace,
        *(pytest.param(lambda w=w: _beside_a_unique_block(w), id=f"block-{w:g}") for w in (1e-3, 1.0, 1e3)),
    ],
)
def test_never_true_where_a_second_solution_exists(make):
    """Not even with a better or a worse dual vector, or a larger one."""
    p = make()
    s = fm.flat_minimum(p)
    assert s.certificate.holds
    assert s.certificate.unique is not True
    for change in (1, 1.001, 1 - 1e-9, 1 + 1e-7 * np.random.default_rng(0).standard_normal(p.measurement.size)):
        assert fm.certify(p, s.factors, change * s.certificate.dual).unique is not True


def test_undecided_without_a_certificate(instance, solution):
    wrong = fm.certify(instance.problem, 1.01 * solution.matrix, solution.certificate.dual)
    assert wrong.unique is None
    assert wrong.alternative is None


def test_zero_data_is_unique():
    p = fm.Problem(fm.measurements.Dense(np.random.default_rng(0).standard_normal((5, 4, 3))), np.zeros(5))
    s = fm.flat_minimum(p)
    assert s.certificate.unique is True
    assert s.status is fm.Status.unique_flat_minimum


class TestSymmetric:
    """Among symmetric matrices."""

    def test_a_solution_can_be_unique_that_is_not_so_among_all_matrices(self):
        """``diag(1, −1)`` is as flat as the nonsymmetric ``[[1, −t], [t, −1]]``, which has the same measurements."""
        p = _diagonal(1.0, -1.0)
        s = fm.flat_minimum(p)
        check_solution(s, p)
        np.testing.assert_allclose(s.matrix, np.diag([1.0, -1.0]), atol=1e-8)
        assert s.certificate.unique is True
        assert max(_width(p, s, seed) for seed in range(2)) < REFEREE
        among_all = fm.Problem(p.measurement, p.data)
        other = np.array([[1.0, -0.5], [0.5, -1.0]])
        np.testing.assert_allclose(p.measurement.forward(other), p.data)
        assert referee.nuclear(other) == pytest.approx(2)
        assert referee.nuclear(s.matrix) == pytest.approx(2)
        t = fm.flat_minimum(among_all)
        assert t.certificate.value == pytest.approx(referee.objective(among_all, other))
        assert fm.certify(among_all, other, t.certificate.dual).holds
        assert t.certificate.unique is False
        check_solution(t, among_all)

    def test_the_same_on_random_measurements_that_are_blind_to_skew_matrices(self):
        """They leave the skew part of a matrix free, so unique can only be meant among symmetric ones."""
        rng = np.random.default_rng(0)
        T = rng.standard_normal((9, 4, 4))
        T = T + T.transpose(0, 2, 1)
        p = fm.Problem(fm.measurements.Dense(T), T.trace(axis1=1, axis2=2) - 3 * T[:, 0, 0], fm.SignedGram())
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert min(s.signature) > 0
        assert s.certificate.unique is True
        assert max(_width(p, s, seed) for seed in range(2)) < REFEREE * s.certificate.value

    def test_mixed_signs_on_purpose(self):
        """A block of each sign that may be split at will: the alternative is symmetric, of the same signature."""
        T = np.zeros((2, 4, 4))
        T[0, :2, :2], T[1, 2:, 2:] = np.eye(2), np.eye(2)
        p = fm.Problem(fm.measurements.Dense(T), [1.0, -1.0], fm.SignedGram())
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert s.certificate.unique is False
        other = p.parametrization.matrix(s.certificate.alternative)
        np.testing.assert_allclose(other, other.T, atol=1e-12)
        assert np.linalg.eigvalsh(other[:2, :2])[0] > -1e-9
        assert np.linalg.eigvalsh(-other[2:, 2:])[0] > -1e-9

    def test_the_real_model_does_not_look_for_phases(self):
        """``[[1, z], [z̄, 2]]`` with the real part of z measured: one symmetric matrix, many Hermitian ones."""
        real = fm.flat_minimum(_diagonal(1.0, 2.0, 0.5, model=fm.Gram(), real_part=True))
        assert real.certificate.unique is True
        p = _diagonal(1.0, 2.0, 0.5, model=fm.Gram(), dtype=complex, real_part=True)
        s = fm.flat_minimum(p)
        assert s.certificate.unique is False
        assert abs(p.parametrization.matrix(s.certificate.alternative)[0, 1].imag - s.matrix[0, 1].imag) > 1e-3


def _two_cells(small):
    """The diagonal of a 2×2 matrix: every ``[[1, t], [t, small]]`` that is semidefinite is flat."""
    return fm.Problem(fm.measurements.Entries([0, 1], [0, 1], (2, 2)), [1.0, small])


@pytest.mark.sampled(5)
@pytest.mark.parametrize("small", [1e-3, 1e-5, 1e-7, 1e-9, 1e-11])
@pytest.mark.parametrize("dual", [None, [0.25, 0.25], [0.25, 0.125]])
def test_true_never_hides_a_flat_minimum_that_lies_further_off(small, dual):
    """However the dual vector is chosen: a gap confines other flat minima to its square root only."""
    p = _two_cells(small)
    t = np.sqrt(small)
    flat = [np.array([[1, c * t], [c * t, small]]) for c in (-1, -0.5, 0, 0.5, 1)]
    for X in (fm.flat_minimum(p).matrix, *flat):
        if fm.certify(p, X, dual).unique is True:
            assert max(np.linalg.norm(other - X) for other in flat) <= 1e-3 * np.linalg.norm(X)


def test_measurements_of_tiny_scale_still_decide():
    """``diag(1, 2)`` is the only flat minimum, because the smallest of three measurements says so."""
    A = np.zeros((3, 2, 2))
    A[0, 0, 0], A[1, 1, 1], A[2, 0, 1] = 1.0, 1.0, 1e-13
    p = fm.Problem(fm.measurements.Dense(A), [1.0, 2.0, 0.0])
    s = fm.flat_minimum(p)
    check_solution(s, p)
    np.testing.assert_allclose(s.matrix, np.diag([1.0, 2.0]), atol=1e-7)
    assert s.certificate.unique is not False
    assert s.certificate.alternative is None


def test_what_no_measurement_sees_is_not_counted():
    """Another matrix is as flat and fits as well; it differs where nothing is measured, where solutions vanish."""
    p = fm.Problem(fm.measurements.Dense(np.ones((1, 1, 3))), [2.0])
    s = fm.flat_minimum(p)
    assert s.certificate.unique is True
    blind = np.array([[1.0, -1.0, 0.0]])
    np.testing.assert_allclose(s.matrix @ blind.T, 0, atol=1e-9)
    assert fm.certify(p, s.matrix + blind, s.certificate.dual).value == pytest.approx(s.certificate.value)
    assert [D.shape[0] - D.rank - len(D.undetermined) for D in p.metric] == [0, 2]


def _judged(problem, monkeypatch, squared):
    """Return the certificate where Gram matrices of cores serve above this threshold."""
    monkeypatch.setattr(Rectangular, "derivative", lambda *arguments: None)
    monkeypatch.setattr("flatmin.proofs.cores.MIN_SQUARE", squared)
    return fm.flat_minimum(problem).certificate


def test_by_blocks_or_by_columns_is_the_same(monkeypatch):
    p = fm.families.matrix_completion.sample((20, 15), 2, 220, seed=0).problem
    by_blocks, by_columns = _judged(p, monkeypatch, 1e-8), _judged(p, monkeypatch, np.inf)
    assert by_blocks.unique is by_columns.unique
    assert by_blocks.injectivity == pytest.approx(by_columns.injectivity, rel=1e-6)
    assert by_blocks.stability.injectivity == pytest.approx(by_columns.stability.injectivity, rel=1e-6)
    assert by_blocks.radius == pytest.approx(by_columns.radius, rel=1e-3)


def test_blocks_leave_a_map_that_is_not_injective_to_its_columns(monkeypatch):
    """The two cells of a diagonal leave a one-parameter family of flat minima."""
    found = _judged(_two_cells(1.0), monkeypatch, 1e-8)
    assert found.unique is False


def test_columns_are_not_formed_where_the_gap_leaves_too_much_room(monkeypatch):
    """A poor dual vector: True is impossible, and columns that cost much are left alone; cheap ones still count."""
    monkeypatch.setattr(Rectangular, "derivative", lambda *arguments: None)
    p = fm.families.matrix_sensing.sample((8, 6), 1, 30, seed=0).problem
    s = fm.flat_minimum(p)
    rough = s.certificate.dual * (1 - 5e-7)
    cheap = certificate_of(p, s.factors, rough)
    assert cheap.holds
    assert cheap.unique is None
    assert cheap.injectivity is not None
    monkeypatch.setattr("flatmin.proofs.uniqueness.MAX_HOPELESS_WORK", 0)
    dear = certificate_of(p, s.factors, rough)
    assert dear.holds
    assert dear.unique is dear.injectivity is dear.radius is None
    assert certificate_of(p, s.factors, s.certificate.dual).injectivity is not None


def test_singular_values_near_one_are_counted_if_that_gives_a_smaller_radius(monkeypatch):
    """The second singular value leaves a margin of 3e-9 if it does not count, and of 1 if it does."""
    A, X, Y = fm.measurements.Identity((3, 3)), np.diag([1.0, 0.0, 0.0]), np.diag([1.0, 1 - 3e-9, 0.0])
    problem = fm.Problem(A, A.forward(X))
    D1, D2 = (np.asarray(D) for D in problem.metric)
    factors, dual = problem.check((np.eye(3)[:, :1], np.eye(3)[:, :1])), A.forward(D1 @ Y @ D2)
    proof = certificate_of(problem, factors, dual)
    assert (proof.holds, proof.unique, proof.q) == (True, True, 2)
    assert proof.radius < 1e-12
    assert proof.margin == pytest.approx(1)
    monkeypatch.setattr("flatmin.proofs.uniqueness.NEARLY_ONE", 2)
    alone = certificate_of(problem, factors, dual)
    assert (alone.holds, alone.q) == (True, 1)
    assert alone.radius > 1e3 * proof.radius

"""Legal but awkward input works and says so: never NaN, never silence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flatmin as fm
from flatmin.measurements import Dense, Entries, FromLinearOperator, Identity, RankOne
from flatmin.testing import check_solution
from tests import referee


def _rng():
    return np.random.default_rng(0)


def _scaled_columns():
    scales = np.array([1e-6, 1.0, 1e3, 1.0])
    return fm.Problem(Dense(_rng().standard_normal((12, 5, 4)) * scales), _rng().standard_normal(12))


def _scaled_measurements():
    scales = 10.0 ** (np.arange(12) % 4)
    A = _rng().standard_normal((12, 5, 4))
    return fm.Problem(Dense(A * scales[:, None, None]), scales * np.tensordot(A, _rng().standard_normal((5, 4))))


def _rank_deficient():
    """Every measurement is a combination of three, consistently."""
    mix = _rng().standard_normal((9, 3))
    return fm.Problem(Dense(np.tensordot(mix, _rng().standard_normal((3, 5, 4)), 1)), mix @ [1.0, 2.0, 3.0])


def _consistent_surplus():
    A = _rng().standard_normal((30, 4, 3))
    return fm.Problem(Dense(A), np.tensordot(A, np.outer([1, 2, 3, 4.0], [1, 0, -1.0])))


CONSISTENT = {
    "one dense measurement": lambda: fm.Problem(Dense(_rng().standard_normal((1, 4, 3))), [2.0]),
    "one entry": lambda: fm.Problem(Entries([1], [2], (3, 4)), [-5.0]),
    "one pair of vectors": lambda: fm.Problem(RankOne([[1.0, 2.0]], [[3.0, 4.0, 0.0]]), [7.0]),
    "one number": lambda: fm.Problem(Identity((1, 1)), [3.0]),
    "one row": lambda: fm.Problem(Dense(_rng().standard_normal((3, 1, 5))), [1.0, 2.0, 3.0]),
    "one column": lambda: fm.Problem(Dense(_rng().standard_normal((3, 5))), [1.0, 2.0, 3.0]),
    "one row of entries": lambda: fm.Problem(Entries([0, 0], [3, 1], (1, 5)), [1.0, 2.0]),
    "one column of rank-one": lambda: fm.Problem(RankOne(_rng().standard_normal((3, 4)), np.ones((3, 1))), [1.0, 2, 3]),
    "zero data, dense": lambda: fm.Problem(Dense(_rng().standard_normal((5, 4, 3))), np.zeros(5)),
    "zero data, entries": lambda: fm.Problem(Entries([0, 1], [1, 0], (2, 3)), np.zeros(2)),
    "zero data, square system": lambda: fm.Problem(Identity((3, 2)), np.zeros(6)),
    "zero sensing matrices": lambda: fm.Problem(Dense(np.zeros((2, 3, 2))), np.zeros(2)),
    "a zero sensing matrix among others": lambda: fm.Problem(
        Dense(np.concatenate([np.zeros((1, 3, 2)), _rng().standard_normal((2, 3, 2))])), [0.0, 1.0, 2.0]
    ),
    "everything observed": lambda: fm.Problem(Identity((4, 3)), _rng().standard_normal(12)),
    "everything observed twice": lambda: fm.Problem(
        Entries(np.tile(np.repeat([0, 1, 2], 2), 2), np.tile([0, 1], 6), (3, 2)), np.tile(np.arange(6.0), 2)
    ),
    "repeated entries": lambda: fm.Problem(
        Entries([0, 2, 0, 1, 2, 1], [1, 0, 1, 2, 0, 1], (3, 3)), [1.0, 2.0, 1.0, 3.0, 2.0, 4.0]
    ),
    "unsorted entries": lambda: fm.Problem(Entries([3, 0, 2, 1, 0], [0, 2, 1, 1, 0], (4, 3)), [1.0, 2, 3, 4, 5]),
    "weighted entries": lambda: fm.Problem(Entries([0, 1, 1], [0, 0, 1], (2, 2), weights=[1, 2, 3]), [1.0, 2, 3]),
    "columns of very different scale": _scaled_columns,
    "measurements of very different scale": _scaled_measurements,
    "rank-deficient measurements": _rank_deficient,
    "more equations than unknowns": _consistent_surplus,
    "repeated dense measurements": lambda: fm.Problem(
        Dense(np.repeat(_rng().standard_normal((3, 4, 3)), 2, axis=0)), np.repeat([1.0, 2.0, 3.0], 2)
    ),
    "repeated operator rows": lambda: fm.Problem(
        FromLinearOperator(np.repeat(_rng().standard_normal((3, 12)), 2, axis=0), (4, 3)), np.repeat([1.0, 2.0, 3.0], 2)
    ),
    "all ones, a chain": lambda: fm.Problem(Entries([0, 0, 1, 1, 2], [0, 2, 1, 2, 1], (3, 3)), np.ones(5)),
    "all ones, an unseen row": lambda: fm.Problem(Entries([0, 0, 2, 2], [0, 2, 1, 2], (3, 3)), np.ones(4)),
    "small whole numbers": lambda: fm.Problem(
        Dense([[[2, 2, 1], [2, 0, 0], [1, 0, 0]], [[2, -1, 0], [-1, -2, -2], [0, -2, 2]]]), [2.0, 2.0]
    ),
    "tiny data": lambda: fm.Problem(Entries([0, 1, 1], [0, 0, 1], (2, 2)), [1e-150, 2e-150, 3e-150]),
    "huge data": lambda: fm.Problem(Entries([0, 1, 1], [0, 0, 1], (2, 2)), [1e100, 2e100, 3e100]),
    "data of very different size": lambda: fm.Problem(Entries([0, 1, 1], [0, 0, 1], (2, 2)), [1e-6, 1.0, 1e6]),
}


def _finite(solution):
    scalars = [v for v in solution.certificate.scalars().values() if isinstance(v, float)]
    scalars += [v for v in vars(solution.flatness).values() if isinstance(v, float)]
    return (
        np.isfinite(solution.matrix).all()
        and np.isfinite(scalars).all()
        and np.isfinite(solution.certificate.dual).all()
    )


@pytest.mark.parametrize("kind", CONSISTENT)
def test_consistent(kind):
    p = CONSISTENT[kind]()
    s = fm.flat_minimum(p)
    assert _finite(s)
    check_solution(s, p)
    assert s.certificate.holds
    assert s.status.certified
    if not p.data.any():
        assert s.status is fm.Status.unique_flat_minimum
        assert (s.rank, s.certificate.relative_gap, s.certificate.value) == (0, 0, 0)


RIGHT = """one dense measurement, unsorted entries, repeated entries, weighted entries, rank-deficient measurements,
repeated dense measurements, columns of very different scale, measurements of very different scale"""


@pytest.mark.parametrize("kind", [kind.strip() for kind in RIGHT.split(",")])
def test_consistent_is_right(kind):
    p = CONSISTENT[kind]()
    assert fm.flat_minimum(p).certificate.value == pytest.approx(referee.flattest(p)[0], rel=1e-5)


def test_a_tiny_measurement_can_carry_half_of_the_trace():
    """The residual of the small measurement vanishes beside the large one, its share of the flat norm does not."""
    p = fm.Problem(Entries([0, 1], [0, 1], (2, 2), weights=[1e-10, 1]), [1e10, 1.0])
    s = fm.flat_minimum(p)
    assert s.certificate.holds
    assert s.certificate.value == pytest.approx(2)
    half = fm.certify(p, (np.array([[1e20], [0]]), np.array([[1.0], [0]])), [0.25e-10, 0])
    assert half.relative_residual <= 1e-8
    assert half.whitened_residual > 0.5
    assert not half.holds


def test_columns_differing_by_a_million_are_recovered():
    """The metric undoes the scale of columns: the truth is found to the same relative accuracy in each of them."""
    scales = np.array([1e-6, 1.0, 1e6, 1e2])
    A = _rng().standard_normal((40, 5, 4)) * scales
    truth = np.outer([1, 2, 3, 4, 5.0], [1, -1, 2, 1.0] / scales)
    s = fm.flat_minimum(fm.Problem(Dense(A), np.tensordot(A, truth)))
    assert s.status is fm.Status.unique_flat_minimum
    np.testing.assert_allclose(s.matrix, truth, rtol=1e-6)


class TestUndetermined:
    """Rows and columns that no measurement sees."""

    @pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
    def test_entries(self, power):
        p = fm.Problem(Entries([0, 0, 2, 4], [0, 2, 2, 0], (5, 4)), [1.0, 2.0, 3.0, 4.0])
        s = fm.flat_minimum(p, metric_power=power)
        check_solution(s, p)
        assert [u.tolist() for u in s.undetermined] == [[1, 3], [1, 3]]
        assert _finite(s)
        assert not s.matrix[[1, 3]].any()
        assert not s.matrix[:, [1, 3]].any()
        assert s.certificate.holds

    @pytest.mark.parametrize("make", [Dense, lambda A: FromLinearOperator(A.reshape(len(A), -1), A.shape[1:])])
    def test_dense(self, make):
        A = _rng().standard_normal((8, 5, 4))
        A[:, 2], A[:, :, 0] = 0, 0
        p = fm.Problem(make(A), _rng().standard_normal(8))
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert [u.tolist() for u in s.undetermined] == [[2], [0]]
        assert not s.matrix[2].any()
        assert not s.matrix[:, 0].any()
        assert s.certificate.holds
        assert s.certificate.value == pytest.approx(referee.flattest(p)[0], rel=1e-6)

    def test_rank_one(self):
        left = _rng().standard_normal((8, 5)) * [1, 1, 0, 1, 1]
        p = fm.Problem(RankOne(left, _rng().standard_normal((8, 4))), _rng().standard_normal(8))
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert [u.tolist() for u in s.undetermined] == [[2], []]
        assert s.certificate.holds

    def test_deleting_them_changes_nothing_else(self):
        """D1 and D2 change by constants only, which cancel."""
        rows, cols, b = np.array([0, 0, 2, 4, 4]), np.array([0, 2, 2, 0, 2]), np.array([1.0, 2, 3, 4, 5])
        s = fm.flat_minimum(fm.Problem(Entries(rows, cols, (5, 4)), b))
        t = fm.flat_minimum(fm.Problem(Entries(rows // 2, cols // 2, (3, 2)), b))
        np.testing.assert_allclose(s.matrix[::2, ::2], t.matrix, atol=1e-6)
        assert s.status is t.status

    def test_a_range_that_is_no_coordinate_subspace(self):
        """Only sums of two rows are seen: nothing is listed, and the minimum-norm choice is equal rows."""
        A = _rng().standard_normal((9, 2, 4))
        p = fm.Problem(Dense(np.repeat(A, 2, axis=1)), _rng().standard_normal(9) * 0 + 1)
        s = fm.flat_minimum(p)
        check_solution(s, p)
        assert s.certificate.holds or s.status is fm.Status.inconsistent_data
        assert all(len(u) == 0 for u in s.undetermined)
        np.testing.assert_allclose(s.matrix[::2], s.matrix[1::2], atol=1e-9 * np.abs(s.matrix).max())


class TestInconsistent:
    """No matrix fits: the status says so, and the best fit is returned."""

    @staticmethod
    def _check(p):
        s = fm.flat_minimum(p)
        assert s.status is fm.Status.inconsistent_data
        assert not s.certificate.holds
        assert s.certificate.unique is None
        assert _finite(s)
        check_solution(s, p)
        rows = p.measurement.matrices().reshape(p.measurement.size, -1)
        best = rows @ np.linalg.pinv(rows) @ p.data
        np.testing.assert_allclose(p.measurement.forward(s.matrix), best, atol=1e-7 * np.linalg.norm(p.data))
        return s

    def test_repeated_entries(self):
        s = self._check(fm.Problem(Entries([0, 0, 1, 1], [0, 0, 0, 1], (2, 2)), [1.0, 3.0, 5.0, 6.0]))
        assert s.matrix[0, 0] == pytest.approx(2)
        assert s.matrix[1] == pytest.approx([5, 6])

    @pytest.mark.parametrize("largest", [1.0, 1e3, 1e9, 1e12])
    def test_however_large_the_other_data_are(self, largest):
        """One cell measured as 1 and as 2 is a contradiction, whatever stands elsewhere."""
        s = fm.flat_minimum(fm.Problem(Entries([0, 1, 1], [0, 1, 1], (2, 2)), [largest, 1.0, 2.0]))
        assert s.status is fm.Status.inconsistent_data

    def test_best_fit_is_the_flattest_one(self):
        A, b = Entries([0, 0, 1, 1, 2], [0, 0, 0, 1, 1], (3, 2)), np.array([1.0, 3.0, 5.0, 6.0, 1.0])
        s, t = (fm.flat_minimum(fm.Problem(A, data)) for data in (b, [2.0, 2.0, 5.0, 6.0, 1.0]))
        assert t.certificate.holds
        np.testing.assert_allclose(s.matrix, t.matrix, atol=1e-6)

    def test_dense(self):
        self._check(fm.Problem(Dense(_rng().standard_normal((20, 4, 3))), _rng().standard_normal(20)))

    def test_fewer_dense_equations_than_unknowns(self):
        A = np.repeat(_rng().standard_normal((3, 4, 3)), 2, axis=0)
        self._check(fm.Problem(Dense(A), [1.0, 1.1, 2.0, 2.0, 3.0, 3.0]))

    def test_bilinear(self):
        p = fm.families.bilinear_sensing.sample((4, 3), 1, 20, noise=0.1).problem
        self._check(p)

    def test_operator(self):
        self._check(fm.Problem(FromLinearOperator(_rng().standard_normal((9, 6)), (3, 2)), _rng().standard_normal(9)))

    def test_a_zero_sensing_matrix_with_data(self):
        A = np.concatenate([np.zeros((1, 3, 2)), _rng().standard_normal((2, 3, 2))])
        self._check(fm.Problem(Dense(A), [1.0, 1.0, 2.0]))

    def test_only_zero_sensing_matrices_with_data(self):
        self._check(fm.Problem(Dense(np.zeros((2, 3, 2))), [1.0, 2.0]))

    def test_alpha_makes_them_fit(self):
        p = fm.Problem(Entries([0, 0, 1], [0, 0, 0], (2, 2)), [1.0, 3.0, 5.0])
        s = fm.flat_minimum(p, alpha=0.1)
        check_solution(s, p)
        assert s.status is fm.Status.regularized_minimum
        assert s.certificate.value == pytest.approx(referee.flattest(p, alpha=0.1)[0], rel=1e-6)

    def test_rounding_in_the_data_is_no_contradiction(self):
        """Surplus equations with data rounded to double precision fit; rounded to single precision they do not."""
        A = _rng().standard_normal((30, 4, 3))
        b = np.tensordot(A, np.outer([1, 2, 3, 4.0], [1, 0.5, -1.0]))
        assert fm.flat_minimum(fm.Problem(Dense(A), b)).status is fm.Status.unique_flat_minimum
        rounded = fm.flat_minimum(fm.Problem(Dense(A), b.astype(np.float32)))
        assert rounded.status is fm.Status.inconsistent_data
        np.testing.assert_allclose(rounded.matrix, np.outer([1, 2, 3, 4.0], [1, 0.5, -1.0]), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float32])
def test_other_number_types(dtype):
    tensor, b = _rng().integers(-5, 5, (9, 4, 3)).astype(dtype), _rng().integers(-5, 5, 9).astype(dtype)
    s = fm.flat_minimum(fm.Problem(Dense(tensor), b))
    want = fm.flat_minimum(fm.Problem(Dense(tensor.astype(float)), b.astype(float)))
    assert s.certificate.holds
    np.testing.assert_array_equal(s.matrix, want.matrix)
    assert s.matrix.dtype == float


@pytest.mark.parametrize(("tensor", "data"), [(1j * np.ones((2, 2, 2)), [1.0, 2.0]), (np.ones((2, 2, 2)), [1.0, 2.0j])])
def test_complex_is_rejected_in_one_sentence(tensor, data):
    with pytest.raises(fm.InputError, match=r"complex, expected real (ones|numbers) for") as caught:
        fm.Problem(Dense(tensor), data)
    assert "\n" not in str(caught.value)


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    m=st.integers(1, 15),
    kind=st.sampled_from(["dense", "rank-one", "entries"]),
    seed=st.integers(0, 10_000),
)
def test_any_consistent_problem_is_certified(shape, m, kind, seed):
    """Random shapes, with repeated and unsorted entries, unobserved rows, and more equations than unknowns."""
    rng = np.random.default_rng(seed)
    d1, d2 = shape
    A = {
        "dense": lambda: Dense(rng.standard_normal((m, d1, d2))),
        "rank-one": lambda: RankOne(rng.standard_normal((m, d1)), rng.standard_normal((m, d2))),
        "entries": lambda: Entries(rng.integers(0, d1, m), rng.integers(0, d2, m), shape),
    }[kind]()
    p = fm.Problem(A, A.forward(rng.standard_normal(shape)))
    s = fm.flat_minimum(p)
    check_solution(s, p)
    assert s.certificate.holds, s.status

"""Input that no measurement map can use: one sentence each, saying what was found and expected."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.measurements import CodedDiffraction, Dense, Entries, FromLinearOperator, Identity, RankOne

BAD = [
    (lambda: Dense(np.zeros(3)), r"shape \(3,\), expected \(m, d1, d2\)"),
    (lambda: Dense(np.zeros((0, 2, 2))), "without an empty axis"),
    (lambda: Dense([[[1.0, np.nan]]]), "NaN or infinity"),
    (lambda: Dense([[[1.0], [2.0, 3.0]]]), "ragged"),
    (lambda: Dense([["a"]]), "expected numbers"),
    (lambda: Dense(np.array([[None]])), "expected numbers"),
    (lambda: RankOne([1.0, 2.0]), r"left has shape \(2,\), expected \(m, d\)"),
    (lambda: RankOne(np.ones((2, 3)), np.ones((4, 3))), "left has 2 rows and right has 4"),
    (lambda: RankOne(np.ones((2, 0))), "without an empty axis"),
    (lambda: RankOne(np.ones((2, 1)), [[np.inf], [1]]), "right contains NaN or infinity"),
    (lambda: CodedDiffraction([1.0, 2.0]), r"masks has shape \(2,\), expected \(q, n\) or \(q, h, w\)"),
    (lambda: CodedDiffraction(np.ones((1, 2, 2, 2))), r"masks has shape \(1, 2, 2, 2\)"),
    (lambda: CodedDiffraction(np.ones((0, 4))), "without an empty axis"),
    (lambda: CodedDiffraction([[1.0, np.nan]]), "masks contains NaN or infinity"),
    (lambda: CodedDiffraction([[1, 2], [3]]), "masks is ragged"),
    (lambda: Entries([0, 2], [0, 0], (2, 2)), "rows contains 2, expected indices from 0 to 1"),
    (lambda: Entries([0, 0], [0, -1], (2, 2)), "cols contains -1, expected indices from 0 to 1"),
    (lambda: Entries([0], [0, 1], (2, 2)), "rows has length 1 and cols has 2"),
    (lambda: Entries([0.5], [0], (2, 2)), "rows contains 0.5, expected whole numbers"),
    (lambda: Entries([[0]], [[0]], (2, 2)), "expected one dimension"),
    (lambda: Entries([], [], (2, 2)), "no entry is observed"),
    (lambda: Entries([0], [0], (2,)), "shape is .*expected two positive whole numbers"),
    (lambda: Entries([0], [0], (2, 0)), "expected two positive whole numbers"),
    (lambda: Entries([0], [0], (2.5, 2)), "expected two positive whole numbers"),
    (lambda: Entries([0], [0], (2, 2), weights=[1, 2]), r"weights has shape \(2,\), expected \(1,\)"),
    (lambda: Entries([0], [0], (2, 2), weights=[1j]), "weights is complex"),
    (lambda: Identity((0, 3)), "expected two positive whole numbers"),
    (lambda: FromLinearOperator(np.ones((2, 5)), (2, 3)), r"shape \(2, 5\), expected \(m, 6\)"),
    (lambda: FromLinearOperator(1j * np.ones((2, 6)), (2, 3)), "complex, expected a real one"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_refused(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_vectors_are_matrices_of_one_column():
    A = Dense(np.arange(6.0).reshape(2, 3))
    assert A.shape == (3, 1)
    np.testing.assert_array_equal(A.forward(np.ones((3, 1))), [3, 12])


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, bool])
def test_other_number_types_are_converted(dtype):
    tensor = np.array([[[1, 0], [1, 1]]], dtype=dtype)
    assert Dense(tensor).dtype == float
    assert RankOne(tensor[0]).dtype == float
    assert Entries(np.array([0, 1], dtype=dtype), [0, 1], (2, 2)).rows.dtype == np.int64


def test_repeated_entries_merge_into_one_weighted_measurement_each():
    A = Entries([1, 0, 1, 0], [1, 0, 1, 1], (2, 2))
    merged, Q = A.merged()
    assert list(zip(merged.rows, merged.cols, strict=True)) == [(0, 0), (0, 1), (1, 1)]
    np.testing.assert_allclose(merged.weights, [1, 1, np.sqrt(2)])
    np.testing.assert_allclose([Q.T @ (Q @ e) for e in np.eye(3)], np.eye(3), atol=1e-15)
    assert merged.merged() is None


def test_sparse_maps_stay_sparse():
    A = Entries([0, 70_000], [5, 99_999], (100_000, 100_000))
    assert A.adjoint_operator(np.ones(2)).nnz == 2
    L = np.ones((100_000, 1))
    np.testing.assert_array_equal(A.forward_factors(L, L), [1, 1])
    assert all(D.is_diagonal for D in A.metric())


def test_traces_need_square_sensing_matrices():
    for A in (RankOne(np.ones((2, 3)), np.ones((2, 4))), Dense(np.ones((2, 3, 4)))):
        with pytest.raises(InputError, match=r"shape \(3, 4\) was asked for, expected square ones"):
            A.traces()


def test_only_rank_one_maps_have_amplitudes():
    for A in (RankOne(np.ones((2, 3)), 2 * np.ones((2, 3))), Identity((3, 3))):
        assert not A.is_rank_one
        with pytest.raises(InputError, match="expected RankOne or CodedDiffraction"):
            A.amplitudes(np.ones((3, 1)))
        with pytest.raises(InputError, match="expected RankOne or CodedDiffraction"):
            A.superposition(np.ones((A.size, 1)))

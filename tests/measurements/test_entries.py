"""Many entries take compiled loops, with the same results."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.measurements import Entries
from flatmin.measurements import entries as module


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_many_entries_are_measured_as_few_are(weighted, repeated, ordered, monkeypatch):
    rng = np.random.default_rng(1)
    cell = rng.integers(0, 12 * 9, 70)
    cell = cell if repeated else rng.permutation(np.unique(cell))
    rows, cols = np.divmod(np.sort(cell) if ordered else cell, 9)
    weights = rng.uniform(-2, 2, len(rows)) if weighted else None
    few = Entries(rows, cols, (12, 9), weights)
    y, L, R = rng.standard_normal(few.size), rng.standard_normal((12, 3)), rng.standard_normal((9, 3))
    expected = (
        few.forward_factors(L, R),
        few.adjoint_operator(y) @ R,
        few.adjoint_operator(y).T @ L,
        few.curvature_blocks(L, R),
        few.merged(),
    )
    monkeypatch.setattr(module, "MIN_COMPILED_CELLS", 1)
    many = Entries(rows, cols, (12, 9), weights)
    fm.testing.check_measurement(many)
    np.testing.assert_allclose(many.forward_factors(L, R), expected[0], atol=1e-14)
    np.testing.assert_allclose(many.adjoint_operator(y) @ R, expected[1], atol=1e-14)
    np.testing.assert_allclose(many.adjoint_operator(y).T @ L, expected[2], atol=1e-14)
    np.testing.assert_allclose(many.adjoint(y), few.adjoint(y), atol=1e-14)
    np.testing.assert_allclose(many.curvature_blocks(L, R), expected[3], atol=1e-13)
    merged = many.merged()
    assert (merged is None) == (expected[4] is None)
    if merged is not None:
        (one, Q), P = merged, expected[4][1]
        assert np.all(np.diff(one.rows * 9 + one.cols) > 0)
        np.testing.assert_allclose(_dense(Q), _dense(P))
        np.testing.assert_allclose(Q @ one.forward_factors(L, R), expected[0], atol=1e-14)
        np.testing.assert_allclose(_dense(Q).T @ _dense(Q), np.eye(one.size), atol=1e-14)


def _dense(Q):
    return np.stack([Q @ e for e in np.eye(Q.n)], axis=1)


def test_maps_that_differ_in_weights_share_their_sorting():
    A = Entries([1, 0, 1], [0, 2, 2], (2, 3))
    D1, D2 = A.metric()
    B = A.congruence(D1.power(-1), D2.power(-1)).weighted(np.array([1.0, 2.0, 3.0]))
    assert B._pattern is A._pattern
    X = np.arange(6.0).reshape(2, 3)
    Z = (D1 @ X) @ D2
    np.testing.assert_allclose(B.forward(Z), np.array([1.0, 2.0, 3.0]) * A.forward(X))


def test_merging_cells_without_repetition_keeps_signs_and_zeros():
    A = Entries([1, 0, 1], [2, 1, 0], (2, 3), [2.0, -1.0, 0.0])
    merged, Q = A.merged()
    X = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(Q @ merged.forward(X), A.forward(X))
    np.testing.assert_array_equal(_dense(Q).T @ _dense(Q), np.eye(3))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sorted_cells", [False, True])
def test_wide_factors_of_fewer_entries_are_measured_as_narrow_ones_are(weighted, sorted_cells, monkeypatch):
    rng = np.random.default_rng(0)
    (d1, d2), size, k = (150, 140), module.MIN_BUSY_CELLS, module.MIN_BUSY_WORK // module.MIN_BUSY_CELLS
    cells = rng.choice(d1 * d2, size, replace=False)
    cells = np.sort(cells) if sorted_cells else cells
    A = Entries(*np.divmod(cells, d2), (d1, d2), rng.random(size) if weighted else None)
    L, R = rng.standard_normal((d1, k)), rng.standard_normal((d2, k))
    compiled = A.forward_factors(L, R), A.curvature_blocks(L, R), A.adjoint(np.arange(size))
    assert A._compiled(k)
    assert not A._compiled(k - 1)
    monkeypatch.setattr(module, "MIN_BUSY_CELLS", size + 1)
    assert not A._compiled(k)
    plain = A.forward_factors(L, R), A.curvature_blocks(L, R), A.adjoint(np.arange(size))
    for one, other in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(plain[0], A.forward(L @ R.T), rtol=1e-10, atol=1e-10)


def test_indices_of_four_bytes_are_kept_and_do_not_overflow():
    shape, rng = (100_000, 90_000), np.random.default_rng(0)
    rows, cols = (rng.integers(d - 50, d, 60).astype(np.int32) for d in shape)
    short = Entries(rows, cols, shape)
    long = Entries(rows.astype(np.int64), cols.astype(np.int64), shape)
    assert short.rows.dtype == np.int32
    y, F = rng.standard_normal(60), rng.standard_normal((shape[1], 2))
    np.testing.assert_array_equal(short.adjoint_operator(y) @ F, long.adjoint_operator(y) @ F)
    assert short.merged()[1].n == long.merged()[1].n
    np.testing.assert_array_equal(short.merged()[0].rows, long.merged()[0].rows)


@pytest.mark.parametrize("k", [3, 12])
@pytest.mark.parametrize("many", [False, True])
def test_blocks_of_rows_are_the_first_curvature_blocks(many, k, monkeypatch):
    monkeypatch.setattr(module, "MIN_COMPILED_CELLS", 1 if many else 10**9)
    rng = np.random.default_rng(0)
    A = Entries(rng.integers(0, 12, 70), rng.integers(0, 9, 70), (12, 9), rng.uniform(-2, 2, 70))
    L, R = rng.standard_normal((12, k)), rng.standard_normal((9, k))
    np.testing.assert_allclose(A.row_blocks(R), A.curvature_blocks(L, R)[:12], atol=1e-12)


def test_diagonal_weights_on_both_sides_multiply_the_entries(monkeypatch):
    monkeypatch.setattr(module, "ENTRIES_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    A = Entries(rng.integers(0, 12, 70), rng.integers(0, 9, 70), (12, 9), rng.uniform(-2, 2, 70))
    P1, P2 = (fm.linalg.metric.Metric(rng.uniform(0.5, 2, d)) for d in (12, 9))
    X = rng.standard_normal((12, 9))
    np.testing.assert_allclose(A.congruence(P1, P2).forward(X), A.forward((P1 @ X) @ P2.dense))


def test_cells_of_a_huge_table_are_told_apart():
    rows, cols = np.array([0, 65_536], np.int32), np.array([5, 5], np.int32)
    A = Entries(rows, cols, (70_000, 65_536))  # in four bytes, both cells have the same number
    assert fm.Problem(A, [1.0, 2.0], loss=fm.losses.Absolute()).measurement is A
    with pytest.raises(fm.InputError, match="observed twice"):
        fm.Problem(A.take([1, 1]), [1.0, 2.0], loss=fm.losses.Absolute())


@pytest.mark.parametrize("size", [3000, 2 * module.MIN_COMPILED_CELLS])
def test_what_is_done_with_an_adjoint_leaves_the_map_alone(size):
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 60, size), rng.integers(0, 50, size)  # nearly all entries are repeated
    A, y = Entries(rows, cols, (60, 50)), rng.standard_normal(size)
    expected = np.zeros((60, 50))
    np.add.at(expected, (rows, cols), y)
    for _ in range(2):
        S = A.adjoint_operator(y)
        np.testing.assert_allclose(S.toarray(), expected, atol=1e-12)
        for done in (abs, lambda S: abs(S.T), lambda S: S + S, lambda S: S.sum_duplicates(), lambda S: S.tocsc()):
            done(S)
        abs(S).sum_duplicates()
        np.testing.assert_allclose(A.adjoint(y), expected, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("size", [20_000, 55_000])
def test_repeated_entries_are_certified_alike_every_time(size):
    rng = np.random.default_rng(1)
    rows, cols = rng.integers(0, 450, size), rng.integers(0, 430, size)
    L, R = rng.standard_normal((450, 2)), rng.standard_normal((430, 2))
    problem = fm.Problem(Entries(rows, cols, (450, 430)), np.einsum("ij,ij->i", L[rows], R[cols]))
    y = rng.standard_normal(size)
    D1, D2 = (D.values for D in problem.metric)
    S = np.zeros((450, 430))
    np.add.at(S, (rows, cols), y)
    norm = np.linalg.norm(S / D1[:, None] / D2, 2)
    proofs = [fm.certify(problem, (L, R), y) for _ in range(2)]
    assert proofs[0].dual_norm == proofs[1].dual_norm
    assert norm <= proofs[0].dual_norm <= 1.05 * norm


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize("many", [False, True])
def test_what_the_caller_changes_later_changes_nothing(kind, many, monkeypatch):
    monkeypatch.setattr(module, "MIN_COMPILED_CELLS", 1 if many else 50_000)
    rows, cols, weights = np.array([2, 0], kind), np.array([1, 1], kind), np.array([1.0, 2.0])
    A, X = Entries(rows, cols, (3, 2), weights), np.arange(6.0).reshape(3, 2)
    rows[0], cols[0], weights[0] = 0, 0, 7.0
    np.testing.assert_array_equal(A.forward(X), [5.0, 2.0])
    np.testing.assert_array_equal(A.adjoint(np.ones(2)), [[0, 2], [0, 0], [0, 1]])
    assert A.rows.dtype == (np.int32 if many else kind)


def test_positions_beyond_four_bytes_are_refused():
    for shape in ((2**31, 2), (2, 2**31)):
        with pytest.raises(fm.InputError, match="expected two positive whole numbers of at most 2147483647"):
            Entries([0], [0], shape)
    A = Entries([2**31 - 2], [1], (2**31 - 1, 2))
    assert A.rows[0] == 2**31 - 2
    with pytest.raises(fm.InputError, match=r"cols contains 4294967296, expected indices from 0 to 9"):
        Entries([0], [2**32], (10, 10))


@pytest.mark.parametrize("repeated", [False, True])
def test_dual_matrices_do_not_share_their_values(repeated):
    A = Entries([0, 1, 1] + [1] * repeated, [1, 0, 2] + [0] * repeated, (2, 3))
    y = np.arange(1.0, A.size + 1)
    first, second = A.adjoint_operator(y), A.adjoint_operator(2 * y)
    first.sum_duplicates()
    first.data[:] = 7
    np.testing.assert_array_equal(second.toarray(), A.adjoint(2 * y))
    np.testing.assert_array_equal(y, np.arange(1.0, A.size + 1))

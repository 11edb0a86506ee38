"""The short way to exact splits, against the long one, and its passes against dense algebra."""

import numpy as np
import pytest
from scipy.optimize import linprog

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin._core.threads import one_thread
from flatmin.families import robust_pca as family
from flatmin.linalg.kernels.row_passes import RowPasses
from flatmin.measurements import Entries, Mask
from flatmin.solvers.robust.error_free_fit import least_deviations
from flatmin.solvers.robust.exact_split import exact_split
from flatmin.solvers.robust.pursuit import Corrupted, pursue


def table(shape, rank, *, wrong=0.1, missing=0.0, seed=0):
    """Return data of size one at most, what is seen of them or None, and the truth."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    bad = rng.random(shape) < wrong
    Y = np.where(bad, 5 * np.sqrt(rank) * rng.uniform(-1, 1, shape), X)
    seen = rng.random(shape) >= missing if missing else None
    unit = np.abs(Y).max()
    return (Y if seen is None else Y * seen) / unit, seen, X / unit


def judged(Y, seen, weight, triplets, W):
    """Return the relative gap of a split and a dual matrix, from whole decompositions."""
    U, s, V = triplets
    left = Y - (U * s) @ V.T
    cost = s.sum() + weight * np.abs(left if seen is None else left * seen).sum()
    if seen is not None:
        assert not W[~seen].any()
    return 1 - np.vdot(W, Y) / max(1, np.linalg.norm(W, 2), np.abs(W).max() / weight) / cost


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("shape", "rank", "missing"),
    [((150, 120), 4, 0.0), ((120, 150), 4, 0.2), ((300, 80), 3, 0.0), ((200, 200), 12, 0.1)],
)
def test_the_short_way_ends_where_the_long_one_does(shape, rank, missing):
    Y, seen, truth = table(shape, rank, missing=missing)
    weight = 1 / np.sqrt(max(shape))
    short = exact_split(Y, seen, weight, Clock(), 1e-9)
    long = pursue(Corrupted(Y, seen, weight), Clock(1000), 1e-7)
    assert judged(Y, seen, weight, short.triplets, short.W) <= 1e-9
    assert short.rounds < 30
    for U, s, V in (short.triplets, long.triplets):
        np.testing.assert_allclose((U * s) @ V.T, truth, atol=1e-4 * np.linalg.norm(truth))
    U, s, V = short.triplets
    np.testing.assert_allclose((U * s) @ V.T, truth, atol=1e-11)
    np.testing.assert_allclose(U.T @ U, np.eye(rank), atol=1e-12)


def test_where_recovery_fails_no_gap_is_claimed_and_the_long_way_goes_on():
    Y, _, _ = table((90, 80), 15, wrong=0.3)
    weight = 1 / np.sqrt(90)
    short = exact_split(Y, None, weight, Clock(), 1e-9)
    assert short is None or short.gap > 1e-6
    solution = fm.robust_pca(Y)
    assert solution.certificate.holds
    assert solution.rank > 15


@pytest.mark.parametrize("Y", [np.zeros((70, 70)), np.eye(80), np.ones((70, 90)), np.eye(1, 70 * 70).reshape(70, 70)])
def test_ends_of_the_scale(Y):
    """Nothing, errors alone, rank one alone, and one cell."""
    solution = fm.robust_pca(Y)
    assert solution.certificate.holds
    np.testing.assert_allclose(solution.low_rank + solution.sparse, Y, atol=1e-9)


def test_rows_and_columns_that_are_unlike_the_others():
    Y, _, truth = table((200, 160), 3, wrong=0.05)
    Y[:20], truth[:20] = 1e-4 * Y[:20], 1e-4 * truth[:20]
    solution = fm.robust_pca(Y)
    assert solution.certificate.holds
    np.testing.assert_allclose(solution.low_rank, truth, atol=1e-8)


def moving(height, width, frames, seed):
    """Return a clip, one frame a column, of a picture under changing light with squares that move over it, and both."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:height, :width]
    picture = 0.3 + 0.2 * np.sin(row / 7) * np.cos(col / 5) + 0.05 * rng.standard_normal((height, width))
    phase = 2 * np.pi * np.arange(frames) / frames
    X = picture.ravel()[:, None] * (1 + 0.2 * np.sin(3 * phase)) + 0.1 * (col / width).ravel()[:, None] * np.cos(phase)
    Y = X.reshape(height, width, frames).copy()
    for _ in range(4):
        value, place, speed = rng.uniform(0, 1), rng.uniform(0, 1, 2) * (height, width), rng.uniform(1, 3, 2)
        for frame in range(frames):
            y, x = (place + frame * speed).astype(int) % (height, width)
            Y[y : y + 6, x : x + 6, frame] = value
    return Y.reshape(-1, frames), X


@pytest.mark.parametrize(("seed", "missing"), [(0, 0.0), (1, 0.0), (3, 0.0), (0, 0.1)])
def test_rows_with_small_errors_that_come_together_are_fitted_in_the_end(seed, missing):
    """Where a square is nearly as bright as what is behind it, a few rows are fitted to the square at first."""
    Y, truth = moving(40, 50, 80, seed)
    seen = np.random.default_rng(seed).random(Y.shape) >= missing if missing else None
    solution = fm.robust_pca(Y, seen)
    assert solution.certificate.holds
    assert solution.certificate.relative_gap <= 1e-9
    assert solution.certificate.unique
    assert solution.iterations < 40
    np.testing.assert_allclose(solution.low_rank, truth, atol=1e-9)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_least_deviations_against_linear_programming(missing):
    rng = np.random.default_rng(0)
    B, truth = rng.standard_normal((40, 3)), rng.standard_normal((4, 3))
    Y = truth @ B.T + rng.standard_normal((4, 40)) * (rng.random((4, 40)) < 0.25)
    seen = rng.random(Y.shape) >= missing if missing else None
    T = least_deviations(Y, seen, B, np.zeros((4, 3)))
    for i, y in enumerate(Y):
        known = slice(None) if seen is None else seen[i]
        y, A = y[known], B[known]
        n = len(y)
        best = linprog(
            np.r_[np.zeros(3), np.ones(2 * n)],
            A_eq=np.hstack([A, np.eye(n), -np.eye(n)]),
            b_eq=y,
            bounds=[(None, None)] * 3 + [(0, None)] * 2 * n,
        ).fun
        assert np.abs(y - A @ T[i]).sum() == pytest.approx(best, rel=1e-9)


def test_a_mask_is_as_good_as_its_entries():
    """The measurement keeps no index of an entry, and the split is the same."""
    Y, seen, _ = table((120, 90), 3, missing=0.2)
    seen[:, 7] = False
    seen[3] = False
    mask, entries = Mask(seen), Entries(*np.nonzero(seen), seen.shape)
    splits = [fm.flat_minimum(fm.Problem(A, Y[seen], loss=fm.losses.Absolute())) for A in (mask, entries)]
    np.testing.assert_allclose(splits[0].low_rank, splits[1].low_rank, atol=1e-12)
    np.testing.assert_array_equal(splits[0].sparse, splits[1].sparse)
    assert splits[0].undetermined[0].tolist() == [3]
    assert splits[0].certificate.relative_gap == pytest.approx(splits[1].certificate.relative_gap, abs=1e-12)
    assert "rows" not in vars(mask)


def test_a_mask_takes_one_number_a_cell():
    mask = fm.measurements.Mask(np.eye(3) > 0)
    for y in (3.0, np.ones(4), np.ones((3, 1))):
        with pytest.raises(fm.InputError, match=r"y has shape .*, expected \(3,\)"):
            mask.adjoint(y)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([True, False], "shape"),
        ([[2, 0]], "other values"),
        ([[False, False]], "no entry"),
        ([[True], [True, False]], "ragged"),
        ([["a"]], "other values"),
    ],
)
def test_a_mask_that_is_none(mask, message):
    with pytest.raises(fm.InputError, match=message):
        Mask(mask)


def test_order_of_the_entries_does_not_matter():
    instance = family.sample((90, 70), 2, 5000, corruption=0.05)
    A, b = instance.problem.measurement, instance.problem.data
    mixed = np.random.default_rng(1).permutation(A.size)
    other = fm.Problem(A.take(mixed), b[mixed], loss=fm.losses.Absolute())
    first, second = fm.flat_minimum(instance.problem), fm.flat_minimum(other)
    assert first.certificate.holds
    assert second.certificate.holds
    np.testing.assert_allclose(first.matrix, second.matrix, atol=1e-9)
    np.testing.assert_allclose(first.sparse, second.sparse, atol=1e-9)
    np.testing.assert_allclose(first.certificate.dual[mixed], second.certificate.dual, atol=1e-7)


def test_limits_are_kept():
    Y, _, _ = table((150, 120), 4)
    stopped = fm.robust_pca(Y, max_iter=1)
    assert stopped.status is fm.Status.iteration_limit
    assert stopped.iterations == 1
    assert fm.robust_pca(Y, time_limit=0).status is fm.Status.time_limit


@pytest.mark.sampled(3)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("holes", [False, True])
def test_passes_are_what_they_say(compiled, threads, holes, monkeypatch):
    monkeypatch.setattr("flatmin.linalg.kernels.row_passes.LEAST", 1)
    monkeypatch.setattr("flatmin.linalg.kernels.row_passes.BLOCK", 100)
    rng = np.random.default_rng(3)
    (d1, d2), k = (37, 23), 3
    Y, W = rng.standard_normal((2, d1, d2))
    seen = rng.random((d1, d2)) < 0.8 if holes else None
    visible = np.ones((d1, d2), bool) if seen is None else seen
    Y, W = Y * visible, np.clip(W * visible, -0.5, 0.5)
    L, R, U, V = (rng.standard_normal((d, k)) for d in (d1, d2, d1, d2))
    X = L @ R.T
    passes = RowPasses(Y, seen, threads=threads, compiled=compiled)

    new, Z = W.copy(), np.empty_like(Y)
    passes.ascend(L, R, new, Z, level=0.4, rho=2.0, following=3.0)
    expected = np.clip(2 * (Y - X) + W, -0.4, 0.4) * visible
    np.testing.assert_allclose(new, expected, atol=1e-14)
    np.testing.assert_allclose(Z, X + (expected - W) / 2 + expected / 3, atol=1e-14)

    free = np.empty((d1, d2), bool)
    high, wide = rng.random(d1), rng.random(d2)
    G = np.where((np.abs(Y - X) <= np.maximum(high[:, None], wide)) & visible, Y - X, 0)
    GV, GtU = passes.trim(L, R, (high, wide), free, U, V)
    np.testing.assert_array_equal(free, G != 0)
    np.testing.assert_allclose(GV, G @ V, atol=1e-12)
    np.testing.assert_allclose(GtU, G.T @ U, atol=1e-12)

    GV, GtU = passes.masked(L, R, free, U, V)
    np.testing.assert_allclose(GV, (X * free) @ V, atol=1e-12)
    np.testing.assert_allclose(GtU, (X * free).T @ U, atol=1e-12)
    moved = W.copy()
    passes.add(L, R, free, moved)
    np.testing.assert_allclose(moved, W + X * free, atol=1e-14)
    np.testing.assert_allclose(passes.products(free, V), free @ V, atol=1e-12)
    np.testing.assert_allclose(passes.adjoint_products(Y, U), Y.T @ U, atol=1e-12)


@pytest.mark.parametrize("compiled", [False, True])
def test_threads_do_not_change_the_digits(compiled):
    rng = np.random.default_rng(0)
    d1, d2, q = 1100, 1000, 3
    Y, L, R = rng.standard_normal((d1, d2)), rng.standard_normal((d1, q)), rng.standard_normal((d2, q))
    limits, level = (rng.random(d1), rng.random(d2)), {"level": 0.4, "rho": 2.0, "following": 3.0}
    with one_thread():
        runs = []
        for threads in (1, 2, 4):
            passes = RowPasses(Y, threads=threads, compiled=compiled)
            assert passes.threads == threads
            W, Z, free = np.ones_like(Y), np.empty_like(Y), np.empty(Y.shape, bool)
            passes.ascend(L, R, W, Z, **level)
            found = [W, Z, *passes.trim(L, R, limits, free, L, R), *passes.masked(L, R, free, L, R)]
            runs.append([*found, passes.products(Y, R), passes.adjoint_products(Y, L)])
    for run in runs[1:]:
        for one, other in zip(runs[0], run, strict=True):
            np.testing.assert_array_equal(one, other)

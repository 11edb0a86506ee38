"""Noise of unknown level beside gross errors: the strength, the rank, the refit and the level found."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.robust.least_squares import row_coefficients, trimmed_fit, typical_size


def noisy(shape, rank, *, snr=10.0, corruption=0.1, observed=1.0, seed=0, tails=None):
    """Return data with noise, errors of three to ten times the entries and holes; the truth, the errors, σ."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    rms = np.sqrt(np.mean(truth**2))
    noise = rng.standard_normal(shape) if tails is None else rng.standard_t(tails, shape) / np.sqrt(tails / (tails - 2))
    errors = (rng.random(shape) < corruption) * rng.uniform(3, 10, shape) * rms * rng.choice([-1, 1], shape)
    Y = truth + rms / snr * noise + errors
    return np.where(rng.random(shape) < observed, Y, np.nan), truth, errors, rms / snr


def oracle(Y, truth, errors):
    """Return the least-squares fit that knows the rank and which cells are errors."""
    good = ~np.isnan(Y) & (errors == 0)
    U, s, Vt = np.linalg.svd(truth, full_matrices=False)
    rank = int(np.count_nonzero(s > 1e-9 * s[0]))
    L, R = U[:, :rank] * s[:rank], Vt[:rank].T
    for _ in range(50):
        R = row_coefficients(np.nan_to_num(Y).T, good.T * 1.0, L, 1e-12)
        L = row_coefficients(np.nan_to_num(Y), good * 1.0, R, 1e-12)
    return L @ R.T


@pytest.mark.sampled(2)
@pytest.mark.parametrize("observed", [1.0, 0.7], ids=["all", "missing"])
@pytest.mark.parametrize("corruption", [0.02, 0.1, 0.2])
@pytest.mark.parametrize("snr", [10.0, 100.0])
def test_as_good_as_an_oracle(snr, corruption, observed):
    levels = []
    for seed in range(2):
        Y, truth, errors, sigma = noisy((90, 70), 3, snr=snr, corruption=corruption, observed=observed, seed=seed)
        s = fm.robust_pca(Y, alpha="auto")
        noise = s.noise
        best = np.linalg.norm(oracle(Y, truth, errors) - truth)
        L, R = noise.refit
        assert s.status is fm.Status.regularized_minimum
        assert noise.rank == 3
        assert np.linalg.norm(L @ R.T - truth) <= 1.06 * best
        found, true = s.parts["outliers"], (errors != 0) & ~np.isnan(Y)
        assert np.count_nonzero(true & ~found) <= 0.002 * np.count_nonzero(true)
        assert np.count_nonzero(found & ~true) <= 0.01 * found.size
        levels.append((noise.sigma - sigma) / noise.std_error)
        assert noise.sigma == pytest.approx(sigma, rel=0.05)
    assert np.max(np.abs(levels)) <= 4


def test_the_strength_is_a_fixed_point():
    Y, *_ = noisy((60, 50), 2, observed=0.8)
    s = fm.robust_pca(Y, alpha="auto")
    seen = ~np.isnan(Y)
    rng = np.random.default_rng(5)
    norms = [np.linalg.norm(np.where(seen, rng.standard_normal(Y.shape), 0), 2) for _ in range(200)]
    size = typical_size((Y - s.matrix)[seen])
    m = np.count_nonzero(seen)
    assert 2 * s.noise.alpha * m == pytest.approx(np.quantile(norms, 0.95) * size, rel=0.05)
    again = fm.robust_pca(Y, alpha=s.noise.alpha)
    np.testing.assert_allclose(again.matrix, s.matrix, atol=1e-5)


def test_units():
    Y, *_ = noisy((40, 30), 2, observed=0.9)
    s = fm.robust_pca(Y, alpha="auto")
    other = fm.robust_pca(1e3 * Y, alpha="auto")
    assert other.noise.sigma == pytest.approx(1e3 * s.noise.sigma, rel=1e-5)
    assert other.noise.alpha == pytest.approx(1e3 * s.noise.alpha, rel=1e-5)
    np.testing.assert_allclose(other.matrix, 1e3 * s.matrix, atol=1e-2)


def test_heavy_tails_are_errors_and_noise_alone_is_noise():
    Y, truth, errors, _ = noisy((90, 70), 3, corruption=0.0, tails=3)
    s = fm.robust_pca(Y, alpha="auto")
    L, R = s.noise.refit
    assert s.noise.rank == 3
    assert np.linalg.norm(L @ R.T - truth) < 0.9 * np.linalg.norm(oracle(Y, truth, errors) - truth)
    nothing = fm.robust_pca(np.random.default_rng(0).standard_normal((60, 40)), alpha="auto")
    assert (nothing.rank, nothing.noise.rank) == (0, 0)
    assert nothing.noise.sigma == pytest.approx(1, abs=4 * nothing.noise.std_error)


def test_without_noise_the_split_is_exact():
    instance = fm.families.robust_pca.sample((50, 40), 1, corruption=0.05)
    s = fm.flat_minimum(instance.problem, alpha="auto")
    assert (s.status, s.noise.alpha, s.noise.sigma) == (fm.Status.unique_flat_minimum, 0.0, 0.0)
    np.testing.assert_allclose(s.matrix, instance.truth, atol=1e-8)
    zero = fm.robust_pca(np.zeros((4, 5)), alpha="auto")
    assert (zero.status, zero.rank, zero.noise.sigma) == (fm.Status.unique_flat_minimum, 0, 0.0)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-6, 1e-4])
@pytest.mark.parametrize("corruption", [0.0, 0.05])
def test_no_noise_and_faint_noise(corruption, noise):
    rng = np.random.default_rng(1)
    truth = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 50))
    errors = (rng.random(truth.shape) < corruption) * rng.choice([-8.0, 8.0], truth.shape)
    s = fm.robust_pca(truth + errors + noise * rng.standard_normal(truth.shape), alpha="auto")
    L, R = s.noise.refit
    assert s.status.certified
    assert s.noise.rank == 3
    np.testing.assert_allclose(L @ R.T, truth, atol=max(5 * noise, 1e-8))
    assert not np.any((errors != 0) & ~s.parts["outliers"])
    if noise > 1e-10:
        assert abs(s.noise.sigma / noise - 1) < 0.1
    else:
        assert (s.noise.sigma, np.count_nonzero(s.parts["outliers"])) == (0.0, np.count_nonzero(errors))


@pytest.mark.parametrize("sentinel", [1e20, 1e37, 1e150])
def test_a_sentinel_is_an_error_and_hides_no_noise(sentinel):
    Y, truth, _, sigma = noisy((60, 20), 2, corruption=0.0)
    Y[3, 4] = sentinel
    noise, parts = (s := fm.robust_pca(Y, alpha="auto")).noise, s.parts
    assert noise.rank == 2
    assert parts["outliers"][3, 4]
    assert abs(noise.sigma / sigma - 1) < 0.1
    assert 0.01 < noise.std_error / noise.sigma < 0.1
    L, R = noise.refit
    np.testing.assert_allclose(L @ R.T, truth, atol=4 * sigma)


def test_what_is_seen_nowhere_stays_zero_and_files_keep_the_noise(tmp_path):
    Y, *_ = noisy((40, 30), 2, observed=0.9)
    Y[3], Y[:, 5] = np.nan, np.nan
    s = fm.robust_pca(Y, alpha="auto")
    L, R = s.noise.refit
    assert not L[3].any()
    assert not R[5].any()
    assert not s.parts["outliers"][3].any()
    s.save(tmp_path / "s.npz")
    loaded = fm.Solution.load(tmp_path / "s.npz")
    assert loaded.noise.scalars() == s.noise.scalars()
    np.testing.assert_array_equal(loaded.parts["outliers"], s.parts["outliers"])
    with pytest.raises(fm.InputError, match="metric_power"):
        fm.flat_minimum(fm.families.robust_pca.sample((8, 8), 1).problem, alpha="auto", metric_power=0.5)


def test_rows_are_fitted_one_by_one():
    rng = np.random.default_rng(0)
    Y, weights, R = rng.standard_normal((7, 9)), rng.random((7, 9)), rng.standard_normal((9, 3))
    found = row_coefficients(Y, weights, R, 0.3)
    for i in range(7):
        root = np.sqrt(weights[i])[:, None]
        stacked = np.vstack([root * R, np.sqrt(0.3) * np.eye(3)])
        expected = np.linalg.lstsq(stacked, np.concatenate([root[:, 0] * Y[i], np.zeros(3)]), rcond=None)[0]
        np.testing.assert_allclose(found[i], expected)


def test_the_standard_error_is_the_spread():
    rng, fits = np.random.default_rng(1), []
    for _ in range(300):
        Y = rng.standard_normal((30, 20))
        fits.append(trimmed_fit(Y, np.ones(Y.shape, bool), np.zeros((30, 0)), np.zeros((20, 0)), 1e-9))
    sigmas, errors = np.array([f.sigma for f in fits]), np.array([f.std_error for f in fits])
    assert np.mean(sigmas) == pytest.approx(1, abs=0.01)
    assert np.mean(errors) == pytest.approx(np.std(sigmas), rel=0.15)

"""Phase retrieval as an estimator: vectors and masks, exact data, noise and counts, units and order."""

import pickle

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from flatmin.errors import InputError
from flatmin.estimators import PhaseRetrieval
from flatmin.families.phase_retrieval import octanary_masks
from flatmin.testing import expected_failed_checks


def gaussian(size, rng, complex_=False):
    return rng.standard_normal(size) + (1j * rng.standard_normal(size) if complex_ else 0)


def vectors(m=120, d=12, *, noise=0.0, complex_=False, seed=0):
    """Return vectors, intensities and the signal."""
    rng = np.random.default_rng(seed)
    X, s = gaussian((m, d), rng, complex_), gaussian(d, rng, complex_)
    y = np.abs(X.conj() @ s) ** 2
    return X, noisy(y, noise, rng), s


def noisy(y, share, rng):
    """Return intensities with Gaussian noise of a share of their root mean square; negative ones are set to 0."""
    return np.maximum(y + share * np.sqrt(np.mean(y**2)) * rng.standard_normal(y.shape), 0)


def patterns(shape=(6, 6), count=8, seed=0):
    """Return masks, what is measured behind them, and the image."""
    rng, masks = np.random.default_rng(seed), octanary_masks(count, shape, seed=seed)
    image = rng.random(shape)
    return masks, np.abs(np.fft.fftn(masks.conj() * image, axes=tuple(range(1, masks.ndim)))) ** 2, image


def error(found, s):
    """Return the relative error up to a phase."""
    phase = np.vdot(found, s)
    return np.linalg.norm(found * phase / abs(phase) - s) / np.linalg.norm(s)


@pytest.mark.sampled(60)
@parametrize_with_checks([PhaseRetrieval(), PhaseRetrieval(0.1)], expected_failed_checks=expected_failed_checks)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


class TestRecovery:
    @pytest.mark.parametrize("complex_", [False, True])
    def test_exact_intensities_determine_the_signal(self, complex_):
        X, y, s = vectors(complex_=complex_)
        model = PhaseRetrieval(0).fit(X, y)
        assert model.status_.name == "unique_flat_minimum"
        assert error(model.signal_, s) < 1e-9
        np.testing.assert_allclose(model.predict(X), y, atol=1e-9 * y.max())
        assert model.score(X, y) > 1 - 1e-12

    @pytest.mark.parametrize("shape", [(20,), (5, 6)])
    def test_exact_patterns_determine_the_image(self, shape):
        masks, y, image = patterns(shape)
        model = PhaseRetrieval(0).fit(masks, y)
        assert model.signal_.shape == shape
        assert error(model.signal_, image) < 1e-9
        np.testing.assert_allclose(model.predict(masks), y, atol=1e-8 * y.max())
        assert model.score(masks, y) > 1 - 1e-12

    def test_the_largest_entry_is_positive(self):
        for complex_ in (False, True):
            X, y, _ = vectors(complex_=complex_)
            signal = PhaseRetrieval(0).fit(X, y).signal_
            largest = signal[np.argmax(np.abs(signal))]
            assert largest.real > 0
            assert abs(np.imag(largest)) < 1e-12 * abs(largest)


class TestNoise:
    @pytest.mark.parametrize("complex_", [False, True])
    def test_least_squares_by_another_solver_finds_no_better_signal(self, complex_):
        X, y, s = vectors(noise=0.2, complex_=complex_)
        model = PhaseRetrieval().fit(X, y)
        assert model.certificate_.holds
        assert model.noise_.rank == model.rank_ == 1
        assert abs(model.noise_.sigma - 0.2 * np.sqrt(np.mean(vectors(complex_=complex_)[1] ** 2))) < (
            4 * model.noise_.std_error
        )

        def loss(z):
            u = z[: len(s)] + 1j * z[len(s) :] if complex_ else z
            return np.sum((np.abs(X.conj() @ u) ** 2 - y) ** 2)

        best = minimize(loss, np.concatenate([s.real, s.imag]) if complex_ else s, method="BFGS")
        own = np.concatenate([model.signal_.real, model.signal_.imag]) if complex_ else model.signal_
        assert loss(own) <= best.fun * (1 + 1e-4)

    def test_the_refit_fits_better_than_the_penalised_solution_predicts(self):
        X, y, s = vectors(noise=0.2)
        fits = [PhaseRetrieval(0.05, refit=refit).fit(X, y) for refit in (False, True)]
        assert error(fits[1].signal_, s) <= error(fits[0].signal_, s)

    def test_behind_masks(self):
        masks, y, image = patterns()
        y = noisy(y, 0.1, np.random.default_rng(1))
        model = PhaseRetrieval().fit(masks, y)
        assert model.certificate_.holds
        assert model.rank_ == 1
        assert error(model.signal_, image) < 0.15

    def test_without_certificate_the_signal_is_the_same_and_nothing_is_claimed(self, recwarn):
        masks, y, _ = patterns()
        y = noisy(y, 0.1, np.random.default_rng(1))
        model, certified = PhaseRetrieval(certify=False).fit(masks, y), PhaseRetrieval().fit(masks, y)
        assert not model.certificate_.holds
        assert model.status_.name == "not_certified"
        assert "status: a least-squares fit to noisy intensities" in str(model)
        assert model.certificate_.lower_bound <= certified.certificate_.value * (1 + 1e-3)
        assert error(model.signal_, certified.signal_) < 1e-2
        assert not [w for w in recwarn if issubclass(w.category, ConvergenceWarning)]

    def test_a_mixture_of_signals_is_noticed(self):
        X, y, _ = vectors(200)
        y = y + 0.5 * (X @ np.random.default_rng(5).standard_normal(12)) ** 2
        model = PhaseRetrieval().fit(X, noisy(y, 0.03, np.random.default_rng(2)))
        assert model.noise_.rank == 2
        assert model.rank_ == 1
        assert "rank in doubt" in str(model)

    def test_intensities_of_zero_are_no_signal(self):
        X = vectors()[0]
        model = PhaseRetrieval().fit(X, np.zeros(120))
        assert model.rank_ == 0
        np.testing.assert_array_equal(model.predict(X), np.zeros(120))


class TestCounts:
    @pytest.mark.sampled(1)
    @pytest.mark.parametrize("complex_", [False, True])
    def test_nearly_the_likeliest_signal(self, complex_):
        """The oracle minimises the Poisson likelihood from the truth, with a background of half a photon."""
        weighted, plain = [], []
        for seed in range(5):
            X, y, s = vectors(150, complex_=complex_, seed=seed)
            unit = 20 / y.mean()
            photons, truth = np.random.default_rng(seed).poisson(unit * y), np.sqrt(unit) * s

            def loss(z, X=X, photons=photons):
                u = z[: len(z) // 2] + 1j * z[len(z) // 2 :] if complex_ else z
                rate = np.abs(X.conj() @ u) ** 2 + 0.5
                return np.sum(rate - (photons + 0.5) * np.log(rate))

            start = np.concatenate([truth.real, truth.imag]) if complex_ else truth
            best = minimize(loss, start, method="BFGS").x
            oracle = error(best[: len(s)] + 1j * best[len(s) :] if complex_ else best, truth)
            model = PhaseRetrieval(noise="poisson").fit(X, photons)
            assert model.noise_.rank == 1
            assert abs(model.unit_ - 1) < 0.5
            weighted.append(error(model.signal_, truth) / oracle)
            plain.append(error(PhaseRetrieval().fit(X, photons).signal_, truth) / oracle)
        assert np.mean(weighted) < 1.02
        assert np.mean(plain) > 1.1

    def test_behind_masks_with_and_without_certificate(self):
        masks, y, image = patterns()
        photons = np.random.default_rng(0).poisson(20 * y / y.mean())
        for certify in (True, False):
            model = PhaseRetrieval(noise="poisson", certify=certify).fit(masks, photons)
            assert model.certificate_.holds is certify
            assert 0.7 < model.unit_ < 1.3
            assert error(model.signal_, image) < 0.2

    def test_photons_may_have_any_unit(self):
        X, y, _ = vectors()
        photons = np.random.default_rng(0).poisson(20 * y / y.mean())
        one, other = (PhaseRetrieval(noise="poisson").fit(X, unit * photons) for unit in (1, 250.0))
        assert other.unit_ == pytest.approx(250 * one.unit_, rel=1e-3)
        np.testing.assert_allclose(other.signal_, np.sqrt(250) * one.signal_, rtol=1e-3, atol=1e-3 * np.sqrt(250))

    def test_weights_are_exposures(self):
        """A count that was exposed four times as long and divided by four has a quarter of the variance."""
        weighted, blind = [], []
        for seed in range(6):
            X, y, s = vectors(200, seed=seed)
            s, y, exposure = s * np.sqrt(5 / y.mean()), 5 * y / y.mean(), np.repeat([1, 16], 100)
            rates = np.random.default_rng(seed).poisson(exposure * y) / exposure
            weighted.append(error(PhaseRetrieval(noise="poisson").fit(X, rates, sample_weight=exposure).signal_, s))
            blind.append(error(PhaseRetrieval(noise="poisson").fit(X, rates).signal_, s))
        assert np.mean(weighted) < 0.8 * np.mean(blind)


class TestExactData:
    @pytest.mark.parametrize("noise", ["gaussian", "poisson"])
    @pytest.mark.parametrize("shape", [(6, 6), (18, 18)])
    def test_clean_patterns_are_recognised_and_certified(self, shape, noise, monkeypatch):
        """The convex programme, which forms whole matrices, is not solved; 324 unknowns exceed `MAX_CERTIFIED`."""
        monkeypatch.setattr("flatmin.solvers.noise.exact_data.convex_minimum", None)
        masks, y, image = patterns(shape)
        model = PhaseRetrieval(noise=noise).fit(masks, y)
        assert model.status_.name == "unique_flat_minimum"
        assert model.noise_.alpha == 0
        assert error(model.signal_, image) < 1e-12
        assert noise == "gaussian" or model.unit_ < 1e-12 * y.mean()

    @pytest.mark.parametrize("complex_", [False, True])
    def test_clean_vectors_too(self, complex_):
        X, y, s = vectors(complex_=complex_)
        model = PhaseRetrieval().fit(X, y)
        assert model.status_.name == "unique_flat_minimum"
        assert error(model.signal_, s) < 1e-12

    @pytest.mark.parametrize("share", [3e-8, 1e-6, 1e-3])
    def test_the_faintest_noise_is_noise(self, share):
        X, y, s = vectors()
        model = PhaseRetrieval().fit(X, y * (1 + share * np.random.default_rng(0).standard_normal(len(y))))
        assert model.noise_.alpha > 0
        assert model.noise_.sigma == pytest.approx(share * np.sqrt(np.mean(y**2)), rel=0.5)
        assert error(model.signal_, s) < share

    def test_an_exact_fit_of_as_many_unknowns_is_no_evidence(self):
        X, y, _ = vectors(12)
        model = PhaseRetrieval().fit(X, y)
        assert model.certificate_.unique is not True

    def test_one_pattern_is_warned_of(self):
        masks, y, _ = patterns()
        support = np.zeros((1, 6, 6))
        support[:, :3, :3] = 1
        for single, seen in ((masks[:1], y[:1]), (np.stack([masks[0], 2j * masks[0]]), np.stack([y[0], 4 * y[0]]))):
            with pytest.warns(UserWarning, match="One diffraction pattern does not determine a signal"):
                PhaseRetrieval().fit(single, seen)
        with pytest.warns(UserWarning, match="One diffraction pattern"):
            PhaseRetrieval().fit(support, np.abs(np.fft.fft2(support)) ** 2)


class TestEquivariance:
    def test_order_and_units(self):
        X, y, s = vectors(noise=0.2, complex_=True)
        model, order = PhaseRetrieval().fit(X, y), np.random.default_rng(1).permutation(len(y))
        shuffled = PhaseRetrieval().fit(X[order], y[order])
        np.testing.assert_allclose(shuffled.signal_, model.signal_, atol=2e-3 * np.linalg.norm(s))
        scaled = PhaseRetrieval().fit(1e3 * X, 1e-4 * y)
        np.testing.assert_allclose(1e5 * scaled.signal_, model.signal_, atol=2e-3 * np.linalg.norm(s))
        assert scaled.noise_.sigma == pytest.approx(1e-4 * model.noise_.sigma, rel=1e-3)

    def test_a_unitary_map_of_the_vectors_maps_the_signal(self):
        X, y, s = vectors(complex_=True)
        Q = np.linalg.qr(gaussian((12, 12), np.random.default_rng(2), complex_=True))[0]
        model = PhaseRetrieval(0).fit((Q @ X.T).T, y)
        assert error(Q.conj().T @ model.signal_, s) < 1e-9

    def test_weights_of_zero_leave_samples_out(self):
        X, y, _ = vectors(noise=0.1)
        y[:20] += 100
        kept = np.arange(120) >= 20
        one = PhaseRetrieval().fit(X, y, sample_weight=kept)
        np.testing.assert_allclose(one.signal_, PhaseRetrieval().fit(X[kept], y[kept]).signal_)


def test_it_can_be_pickled_and_read():
    masks, y, _ = patterns((12,))
    model = PhaseRetrieval(0).fit(masks, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(masks), model.predict(masks))
    assert "certificate: holds" in str(model)


def test_it_works_in_pipelines_and_searches():
    X, y, _ = vectors(150, 8)
    photons = np.random.default_rng(0).poisson(20 * y / y.mean())
    model = make_pipeline(MaxAbsScaler(), PhaseRetrieval(noise="poisson"))
    search = GridSearchCV(model, {"phaseretrieval__alpha": [100.0, "auto"]}, cv=3).fit(X, photons)
    assert search.best_params_ == {"phaseretrieval__alpha": "auto"}
    assert search.best_score_ > 0.9


def test_bad_input_is_one_sentence():
    X, y, _ = vectors()
    masks, intensities, _ = patterns()
    with pytest.raises(InputError, match="'laplace', expected 'gaussian' or 'poisson'"):
        PhaseRetrieval(noise="laplace").fit(X, y)
    with pytest.raises(InputError, match="certify is 3"):
        PhaseRetrieval(certify=3).fit(X, y)
    with pytest.raises(InputError, match="sample_weight was given with masks"):
        PhaseRetrieval(0).fit(masks, intensities, sample_weight=np.ones(8))
    for found, noise in ((-y, "gaussian"), (-y, "poisson"), (np.where(y == y.min(), -1e-3, y), "gaussian")):
        with pytest.raises(InputError, match=r"y contains the negative intensity -.* at index \d+, expected"):
            PhaseRetrieval(noise=noise).fit(X, found)
    with pytest.raises(InputError, match=r"negative intensity -1 at index 0, 2, 1, expected"):
        PhaseRetrieval(0).fit(masks, np.where(np.arange(288).reshape(8, 6, 6) == 13, -1, intensities))
    with pytest.raises(InputError, match="NaN"):
        PhaseRetrieval(0).fit(masks, np.where(intensities > 1, np.nan, intensities))
    with pytest.raises(InputError, match="expected y of the shape of the masks"):
        PhaseRetrieval(0).fit(masks, intensities[:3])
    with pytest.raises(InputError, match=r"expected masks of shape \(6, 6\)"):
        PhaseRetrieval(0).fit(masks, intensities).predict(masks[:, :5])
    with pytest.raises(ValueError, match="NaN"):
        PhaseRetrieval().fit(np.where(X > 2, np.nan, X) + 0j, y)
    with pytest.raises(ValueError, match="zero"):
        PhaseRetrieval().fit(X, y, sample_weight=np.zeros(120))


@pytest.mark.parametrize(("scale_x", "scale_y", "name"), [(1e150, 1, "X"), (1e-150j, 1, "X"), (1j, 1e-150, "y")])
def test_sizes_that_cannot_be_calculated_with_are_refused(scale_x, scale_y, name):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4))
    y = X[:, 0] ** 2
    with pytest.raises(ValueError, match=f"the largest number of {name} is"):
        PhaseRetrieval().fit(scale_x * X, scale_y * y)

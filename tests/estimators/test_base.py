"""What regressors share: weights, parameters, scikit-learn's machinery, and what they say about themselves."""

import copy
import html
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import flatmin as fm

REGRESSORS = [fm.TraceRegressor, fm.BilinearRegressor, fm.QuadraticNetworkRegressor]
every = pytest.mark.parametrize("regressor", REGRESSORS)


def samples(m=80, noise=0.1, seed=0):
    """Return four features and values to which every one of the regressors can say something."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, 4))
    return X, X[:, 0] * X[:, 2] + 2 * X[:, 0] - X[:, 3] + 1 + noise * rng.standard_normal(m)


class TestMachinery:
    @every
    def test_copies_predict_alike(self, regressor, tmp_path):
        X, y = samples()
        model = regressor().fit(X, y)
        joblib.dump(model, tmp_path / "model.joblib")
        others = copy.deepcopy(model), pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")
        for other in others:
            np.testing.assert_array_equal(other.predict(X), model.predict(X))
            assert str(other) == str(model)

    @every
    def test_a_clone_has_the_parameters_and_nothing_else(self, regressor):
        X, y = samples()
        model = regressor(0.1, max_rank=2, metric_power=0.5, tol=1e-6).fit(X, y)
        other = clone(model)
        assert other.get_params() == model.get_params()
        assert not hasattr(other, "solution_")
        with pytest.raises(NotFittedError):
            other.predict(X)
        assert other.set_params(alpha=0.3) is other
        assert other.alpha == 0.3
        with pytest.raises(ValueError, match="Invalid parameter 'beta'"):
            other.set_params(beta=1)

    @every
    def test_fitting_changes_no_parameter_and_no_argument(self, regressor):
        X, y = samples()
        model, before = regressor(verbose=0), (X.copy(), y.copy())
        parameters = model.get_params()
        model.fit(X, y, sample_weight=np.ones(len(y)))
        assert model.get_params() == parameters
        np.testing.assert_array_equal(X, before[0])
        np.testing.assert_array_equal(y, before[1])

    @every
    def test_a_second_fit_forgets_the_first(self, regressor):
        X, y = samples()
        model = regressor(0.1).fit(X, y)
        again = model.fit(X[:, ::-1][:50], y[:50])
        assert again is model
        fresh = regressor(0.1).fit(X[:, ::-1][:50], y[:50])
        np.testing.assert_array_equal(model.predict(X), fresh.predict(X))

    @every
    def test_strength_and_metric_are_searched(self, regressor):
        X, y = samples()
        grid = {"alpha": [0.01, 0.3], "metric_power": [0.0, 1.0]}
        if regressor is fm.TraceRegressor:
            grid["shape"] = [(2, 2), (4, 1)]
        search = GridSearchCV(regressor(), grid, cv=3, error_score="raise").fit(X, y)
        assert set(search.best_params_) == set(grid)
        assert search.best_estimator_.certificate_.holds

    @every
    def test_in_a_pipeline_with_names(self, regressor):
        X, y = samples()
        table = pd.DataFrame(X, columns=list("abcd"))
        pipeline = make_pipeline(StandardScaler(), regressor(0.1)).set_output(transform="pandas").fit(table, y)
        assert list(pipeline[-1].feature_names_in_) == list("abcd")
        assert pipeline[-1].n_features_in_ == 4
        np.testing.assert_allclose(
            pipeline.predict(table), make_pipeline(StandardScaler(), regressor(0.1)).fit(X, y).predict(X)
        )

    @every
    def test_weights_are_routed(self, regressor):
        X, y = samples()
        weight = np.random.default_rng(1).uniform(0.1, 2, len(y))
        with sklearn.config_context(enable_metadata_routing=True):
            routed = regressor(0.1).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            found = cross_validate(routed, X, y, params={"sample_weight": weight}, cv=3, return_estimator=True)
            with pytest.raises(Exception, match="sample_weight"):
                cross_val_score(regressor(0.1), X, y, params={"sample_weight": weight}, error_score="raise")
        first = found["estimator"][0]
        train = np.arange(len(y)) >= 27
        want = regressor(0.1).fit(X[train], y[train], sample_weight=weight[train])
        np.testing.assert_allclose(first.predict(X), want.predict(X))
        without = regressor(0.1).fit(X[train], y[train])
        assert abs(first.predict(X) - without.predict(X)).max() > 1e-6

    @every
    def test_weights_count_up_to_a_factor_and_zeros_leave_out(self, regressor):
        X, y = samples()
        weight = np.random.default_rng(1).uniform(0.1, 2, len(y))
        weight[:20] = 0
        fits = [
            regressor(0.1).fit(X, y, sample_weight=weight),
            regressor(0.1).fit(X, y, sample_weight=1e6 * weight),
            regressor(0.1).fit(X[20:], y[20:], sample_weight=weight[20:]),
        ]
        for other in fits[1:]:
            np.testing.assert_allclose(other.predict(X), fits[0].predict(X), atol=1e-7)
        with pytest.raises(ValueError, match=r"at least one non-zero number|zero throughout"):
            regressor().fit(X, y, sample_weight=np.zeros(len(y)))
        with pytest.raises(ValueError, match=r"[Nn]egative"):
            regressor().fit(X, y, sample_weight=-weight)

    @every
    @pytest.mark.parametrize("state", [None, 3, np.int64(3), np.random.RandomState(3)])
    def test_where_a_solution_is_unique_chance_does_not_matter(self, regressor, state):
        X, y = samples()
        model = regressor(0.1, random_state=state).fit(X, y)
        np.testing.assert_allclose(model.predict(X), regressor(0.1).fit(X, y).predict(X), atol=1e-6)


BAD = [
    ({"alpha": -1}, r"alpha is -1, expected a finite number of at least 0"),
    ({"alpha": "foo"}, r"alpha is 'foo', expected a finite number of at least 0, or 'auto'"),
    ({"alpha": np.nan}, "alpha is nan"),
    ({"alpha": None}, "alpha is None"),
    ({"alpha": [1]}, r"alpha is \[1\]"),
    ({"refit": "x"}, "refit is 'x', expected True, False or 'auto'"),
    ({"refit": 3}, "refit is 3"),
    ({"max_rank": 0}, "max_rank is 0, expected a whole number of at least 1"),
    ({"max_rank": 1.5}, "max_rank is 1.5"),
    ({"tol": 2}, "tol is 2, expected a number from 1e-14 to 1"),
    ({"tol": "x"}, "tol is 'x'"),
    ({"max_iter": -1}, "max_iter is -1"),
    ({"verbose": "x"}, "verbose is 'x', expected a whole number of at least 0"),
    ({"verbose": -1}, "verbose is -1"),
    ({"metric_power": 2}, "metric_power is 2, expected a finite number of at least 0 and at most 1"),
    ({"random_state": "x"}, "random_state is 'x', expected a whole number of at least 0, a RandomState or None"),
    ({"random_state": -1}, "random_state is -1"),
    ({"random_state": 1.5}, "random_state is 1.5"),
]


class TestParameters:
    @every
    @pytest.mark.parametrize(("bad", "message"), BAD, ids=lambda v: str(v) if isinstance(v, dict) else "")
    def test_bad_ones_get_one_sentence(self, regressor, bad, message):
        X, y = samples(30)
        with pytest.raises(ValueError, match=message) as caught:
            regressor(**bad).fit(X, y)
        assert "\n" not in str(caught.value)

    @every
    @pytest.mark.parametrize("bad", [{"refit": "x"}, {"verbose": "x"}, {"random_state": "x"}], ids=str)
    def test_they_are_refused_before_the_work_is_done(self, regressor, bad, monkeypatch):
        monkeypatch.setattr("flatmin.estimators.base.flat_minimum", None)
        X, y = samples(30)
        with pytest.raises(ValueError, match="expected"):
            regressor(**bad).fit(X, y)

    @every
    def test_refits_are_as_asked(self, regressor):
        X, y = samples(noise=0.5)
        shrunk, refit = (regressor(0.1, refit=refit).fit(X, y) for refit in (False, True))
        assert refit.score(X, y) >= shrunk.score(X, y)
        assert regressor(0.1).fit(X, y).score(X, y) == shrunk.score(X, y)
        assert regressor("auto").fit(X, y).score(X, y) == regressor("auto", refit=True).fit(X, y).score(X, y)

    @every
    def test_a_largest_rank_is_kept(self, regressor):
        X, y = samples()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert regressor(1e-3, max_rank=1).fit(X, y).rank_ <= 1


class TestNumbers:
    @every
    @pytest.mark.parametrize(("x", "y", "name"), [(1e200, 1, "X"), (1e-200, 1, "X"), (1, 1e200, "y"), (1, 1e-200, "y")])
    def test_those_that_cannot_be_squared_twice(self, regressor, x, y, name):
        X, values = samples(30)
        with pytest.raises(ValueError, match=rf"the largest number of {name} is .*; scale {name}$"):
            regressor().fit(x * X, y * values)

    @every
    @pytest.mark.parametrize("kind", [int, bool, np.float32, object])
    def test_of_other_kinds(self, regressor, kind):
        X, y = (np.rint(3 * values).astype(kind) for values in samples())
        want = regressor(0.1).fit(X.astype(float), y.astype(float)).predict(X.astype(float))
        np.testing.assert_allclose(regressor(0.1).fit(X, y).predict(X), want, atol=1e-6)


class TestWords:
    @every
    def test_before_and_after_a_fit(self, regressor):
        X, y = samples()
        model = regressor()
        assert str(model) == repr(model) == f"{regressor.__name__}()"
        model.fit(X, y)
        first, *lines = str(model).splitlines()
        assert first == repr(model)
        named = dict(line.strip().split(": ", 1) for line in lines)
        assert named["rank"].startswith(f"{model.rank_} of a ")
        assert named["status"] == f"{model.status_.name}. {model.status_.value}"
        assert named["certificate"].startswith("holds; relative gap")
        assert named["alpha"] == f"{model.noise_.alpha:.4g}, from the noise"
        assert f"{model.noise_.sigma:.4g} ± " in named["noise"]

    @every
    def test_in_a_notebook(self, regressor):
        X, y = samples()
        model = regressor()
        assert "<th scope" not in model._repr_mimebundle_()["text/html"]
        bundle = model.fit(X, y)._repr_mimebundle_()
        assert bundle["text/plain"] == str(model)
        for name, text in model._summary().items():
            assert f">{html.escape(name)}</th>" in bundle["text/html"]
            assert f">{html.escape(text)}</td>" in bundle["text/html"]
        assert model._repr_html_().count("<th scope") == len(model._summary())
        with sklearn.config_context(display="text"):
            assert "text/html" not in model._repr_mimebundle_()

    def test_text_in_a_notebook_is_escaped(self):
        X, y = samples()

        class Loud(fm.TraceRegressor):
            def _summary(self):
                return {"<b>": "<script>alert('&')</script>"}

        page = Loud(0.1).fit(X, y)._repr_mimebundle_()["text/html"]
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in page

    @every
    def test_without_a_certificate_there_is_advice(self, regressor):
        X, y = samples()
        with pytest.warns(ConvergenceWarning, match="iteration_limit: .*raise max_iter") as caught:
            model = regressor(1e-3, max_iter=1).fit(X, y)
        assert caught[0].filename == __file__
        assert not model.status_.certified
        assert "does not hold" in str(model)

    def test_what_was_asked_for_needs_no_advice(self):
        """A loose tol is reached without a certificate, which needs a gap of 1e-6."""
        entries = fm.MatrixCompletion(0.2, tol=1e-2, scale=False, offsets="none")
        table = np.random.default_rng(0).standard_normal((40, 30))
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            entries.fit(table)
        assert abs(entries.certificate_.relative_gap) <= 1e-2
        with pytest.warns(ConvergenceWarning):
            fm.MatrixCompletion(0.2, max_rank=1, scale=False, offsets="none").fit(table)

    @every
    def test_good_fits_are_silent(self, regressor, capsys):
        X, y = samples()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            regressor().fit(X, y).predict(X)
        assert capsys.readouterr() == ("", "")

    @every
    @pytest.mark.parametrize("verbose", [1, True, 2])
    def test_what_is_told_goes_to_stderr(self, regressor, verbose, capsys):
        X, y = samples()
        model = regressor(0.1, verbose=verbose).fit(X, y)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith(f"{model}\n")
        assert (f"[{regressor.__name__}] iteration" in err) == (verbose == 2)

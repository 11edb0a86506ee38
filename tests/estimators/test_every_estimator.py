"""What every estimator promises: scikit-learn's checks, and what flatmin adds to them."""

import inspect
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import flatmin as fm
from flatmin.testing import expected_failed_checks

ESTIMATORS = [
    fm.TraceRegressor(),
    fm.TraceRegressor(0.1, fit_intercept=False),
    fm.BilinearRegressor(),
    fm.BilinearRegressor(0.1, fit_linear=True),
    fm.BilinearRegressor(0.1, metric_power=0.0, fit_intercept=False),
    fm.BilinearRegressor(0.3),
    fm.QuadraticNetworkRegressor(),
    fm.QuadraticNetworkRegressor(0.1),
    fm.QuadraticNetworkRegressor(0.1, metric_power=0.0, fit_linear=False),
    fm.PanelEffect(),
]


@pytest.mark.sampled(100)
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_accepts(estimator, check):
    check(estimator)


def test_every_estimator_is_importable_from_the_package():
    shells = {"FlatEstimator", "MatrixRegressor"}
    assert set(fm.NAMES["estimators"]) == set(fm.estimators.__all__) - shells
    assert all(getattr(fm, name) is getattr(fm.estimators, name) for name in fm.NAMES["estimators"])
    assert set(fm.NAMES["estimators"]) <= set(fm.__all__)


@pytest.mark.parametrize("name", sorted(fm.NAMES["estimators"]))
def test_every_parameter_is_documented(name):
    kind = getattr(fm, name)
    pages = [inspect.cleandoc(base.__doc__ or "") for base in kind.__mro__ if base.__module__.startswith("flatmin.")]
    lines = [line for page in pages for line in re.findall(r"^(\w[\w, ]*) : ", page, re.MULTILINE)]
    described = {word for line in lines for word in line.split(", ")}
    assert set(inspect.signature(kind).parameters) <= described


@pytest.mark.parametrize("name", sorted(fm.NAMES["estimators"]))
def test_every_transformer_names_its_output(name):
    estimator = getattr(fm, name)()
    assert hasattr(estimator, "transform") == hasattr(estimator, "set_output")
    assert hasattr(estimator, "transform") == hasattr(estimator, "get_feature_names_out")
    assert type(clone(estimator)) is type(estimator)


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("name", ["MatrixCompletion", "MatrixCompletionCV", "RobustPCA"])
def test_frames_go_in_and_out(name, library):
    frames = pytest.importorskip(library)
    table = np.random.default_rng(0).standard_normal((12, 2)) @ [[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]]
    frame = frames.DataFrame(dict(zip("abc", table.T.tolist(), strict=True)))
    options = {"n_alphas": 3, "cv": 2} if name.endswith("CV") else {"alpha": 0.1}
    model = getattr(fm, name)(**options).set_output(transform=library)
    found = model.fit_transform(frame)
    assert isinstance(found, frames.DataFrame)
    assert list(found.columns) == list(model.get_feature_names_out())
    assert list(model.feature_names_in_) == list("abc")
    assert found.shape[0] == 12

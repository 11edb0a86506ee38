"""Saved estimators: predictions bit by bit, no certificate, no pickle, and errors of one sentence."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

import flatmin as fm
from flatmin import InputError
from flatmin._core.stored_arrays import write_described
from flatmin.estimators._saved import MODEL_VERSION

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((30, 2)) @ RNG.standard_normal((2, 8)) + 0.1 * RNG.standard_normal((30, 8))
HOLES = np.where(RNG.random(TABLE.shape) < 0.2, np.nan, TABLE)
X = RNG.standard_normal((60, 6))
Y = X[:, 0] * X[:, 3] + 1 + 0.1 * RNG.standard_normal(60)
PAIRS = [(f"row {i}", int(j)) for i, j in RNG.integers(0, 9, (120, 2))]
RATINGS = RNG.standard_normal(120)
NEW = [*PAIRS, ("nobody", 3), ("row 2", 77), ("nobody", 77)]

#: An estimator, the data of its fit, and what it answers afterwards.
CASES = {
    "table": (fm.MatrixCompletion(), (HOLES,), lambda m: m.transform(HOLES)),
    "table, all": (
        fm.MatrixCompletion(0.1, offsets="both", missing_values=pd.NA, add_indicator=True),
        (pd.DataFrame(HOLES, columns=list("abcdefgh")),),
        lambda m: m.set_output(transform="pandas").transform(pd.DataFrame(HOLES, columns=list("abcdefgh"))),
    ),
    "table, folds": (fm.MatrixCompletionCV([0.1, 0.3], metric_powers=1.0, cv=3), (HOLES,), lambda m: m.predict(HOLES)),
    "pairs": (fm.PairRegressor(), (PAIRS, RATINGS), lambda m: m.predict(NEW)),
    "pairs, penalised": (fm.PairRegressor(0.01, metric_power=0.5), (PAIRS, RATINGS), lambda m: m.predict(NEW)),
    "pairs, large ids": (
        fm.PairRegressor(0.1),
        ([(2**60 + 1, 2**70), (2**60 + 2, 2**70 + 1), (2**60 + 1, 2**70 + 1)], [1.0, 2.0, 4.0]),
        lambda m: m.predict([(2**60 + 2, 2**70)]),
    ),
    "pairs, dates": (
        fm.PairRegressor(0.1),
        (pd.DataFrame({"day": pd.date_range("2020-01-01", periods=4), "place": list("abab")}), [1.0, 2.0, 4.0, 3.0]),
        lambda m: m.predict(pd.DataFrame({"day": pd.date_range("2020-01-02", periods=4), "place": list("aaaa")})),
    ),
    "gross errors": (fm.RobustPCA(), (HOLES,), lambda m: np.hstack([m.transform(HOLES), m.outliers(HOLES)])),
    "gross errors, exact": (fm.RobustPCA(0.0), (HOLES,), lambda m: m.inverse_transform(m.transform(HOLES))),
    "matrices": (fm.TraceRegressor(), (X.reshape(60, 3, 2), Y), lambda m: m.predict(X.reshape(60, 3, 2))),
    "vectors": (fm.BilinearRegressor(), (X, Y), lambda m: m.predict(X)),
    "network": (fm.QuadraticNetworkRegressor(), (X, Y), lambda m: m.predict(X)),
    "network, folds": (fm.QuadraticNetworkRegressorCV(n_alphas=3, cv=3), (X, Y), lambda m: m.predict(X)),
    "covariance": (fm.CovarianceSketch(), (X, Y**2), lambda m: m.predict(X)),
    "phases": (fm.PhaseRetrieval(certify=False), (X, X[:, 0] ** 2), lambda m: m.predict(X)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    model, data, answer = CASES[request.param]
    model.fit(*data)
    file = tmp_path_factory.mktemp("models") / "model.npz"
    model.save(file)
    return model, type(model).load(file), answer


@pytest.mark.filterwarnings("ignore:.*did not|.*not_certified|.*limit")
class TestRoundTrip:
    def test_answers_are_the_same_bit_by_bit(self, case):
        model, again, answer = case
        np.testing.assert_array_equal(answer(model), answer(again))

    def test_parameters_are_the_same_and_nothing_is_certified(self, case):
        model, again, _ = case
        same = {name: (value, again.get_params()[name]) for name, value in model.get_params().items()}
        assert all(str(a) == str(b) or a is pd.NA for a, b in same.values())
        assert again.certificate_ is None
        assert again.status_ is again.solution_.status is fm.Status.not_checked
        claimed = again.solution_.claimed
        assert claimed["relative_gap"] == model.certificate_.relative_gap
        assert claimed["status"] == model.status_.name
        assert "read from a file" in str(again)

    def test_a_loaded_model_is_saved_again(self, case, tmp_path):
        _, again, answer = case
        again.save(tmp_path / "again.npz")
        third = type(again).load(tmp_path / "again.npz")
        assert third.solution_.claimed["status"] == again.solution_.claimed["status"]
        np.testing.assert_array_equal(answer(third), answer(again))


@pytest.fixture
def saved(tmp_path):
    file = tmp_path / "model.npz"
    fm.PairRegressor(0.1).fit(PAIRS, RATINGS).save(file)
    return file


def test_a_file_has_no_pickle(saved):
    with np.load(saved, allow_pickle=False) as archive:
        assert not any(archive[name].dtype.hasobject for name in archive)


def test_foreign_and_damaged_files_are_refused(saved, tmp_path):
    whole = saved.read_bytes()
    for name, content in {
        "half": whole[: len(whole) // 2],
        "text": b"row,column,value",
        "empty": b"",
        "flipped": whole[:300] + bytes(b ^ 255 for b in whole[300:340]) + whole[340:],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be read as a model|is not a model") as caught:
            fm.PairRegressor.load(tmp_path / name)
        assert "allow_pickle" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read as a model"):
        fm.PairRegressor.load(tmp_path / "nowhere.npz")
    with pytest.raises(InputError, match="holds a PairRegressor, expected a MatrixCompletion"):
        fm.MatrixCompletion.load(saved)
    fm.PairRegressor(0.1).fit(PAIRS, RATINGS).solution_.save(tmp_path / "solution.npz")
    with pytest.raises(InputError, match="holds no model, expected a PairRegressor"):
        fm.PairRegressor.load(tmp_path / "solution.npz")
    write_described(tmp_path / "later.npz", {}, {}, MODEL_VERSION + 1)
    with pytest.raises(InputError, match=f"format version {MODEL_VERSION + 1}, newer than {MODEL_VERSION}"):
        fm.PairRegressor.load(tmp_path / "later.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attributes": {}}, "not fitted"),
        ({"attributes": {"predict": 3}}, "predict cannot be an attribute"),
        ({"attributes": {"__class__": 3}}, "__class__ cannot be an attribute"),
        ({"attributes": {"offsets_": {"class": "Path", "fields": {}}}}, "'Path' is missing or unknown"),
        ({"attributes": {"offsets_": {"array": "array_999"}}}, "'array_999' is missing"),
        ({"attributes": {"offsets_": {"class": "Offsets", "fields": {"slope": 1}}}}, "slope"),
        ({"attributes": {"offsets_": [1]}}, "a list"),
        ({"parameters": {"beta": 1}}, "beta"),
    ],
)
def test_a_file_that_states_something_else_is_refused(saved, changes, words):
    with zipfile.ZipFile(saved) as archive:
        assert "description.npy" in archive.namelist()
    with np.load(saved) as archive:
        arrays = {name: archive[name] for name in archive if name not in ("description", "format_version")}
        about = json.loads(str(archive["description"])) | changes
    write_described(saved, arrays, about, MODEL_VERSION)
    with pytest.raises(InputError, match=words):
        fm.PairRegressor.load(saved)


def test_what_cannot_be_saved(tmp_path):
    model = fm.PairRegressor(0.1, random_state=np.random.RandomState(0)).fit(PAIRS, RATINGS)
    with pytest.raises(InputError, match="the parameter random_state is a RandomState, which cannot be saved"):
        model.save(tmp_path / "model.npz")
    with pytest.raises(InputError, match="cannot be written"):
        model.set_params(random_state=0).save(tmp_path / "nowhere" / "model.npz")

"""Spark itself: what its ALS minimises, what is read, written and predicted, and what is proved about it."""

import json

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import flatmin as fm
from flatmin.spark import SparkCompletion
from flatmin.spark.distributed_cells import DistributedCells
from flatmin.spark.distributed_certificate import certify_factors, regularization
from flatmin.spark.triples import placed

from .conftest import sample

SHAPE, REG = (70, 50), 0.3


I, J, VALUES = sample(SHAPE)


ROW_IDS, COLUMN_IDS = np.array([f"user {27 * i % 70:02d}" for i in range(70)]), 1000 - 3 * np.arange(50)


@pytest.fixture(scope="module")
def local():
    """What the local engine finds in the same data."""
    problem = fm.Problem(fm.measurements.Entries(I, J, SHAPE), VALUES)
    return problem, fm.flat_minimum(problem, alpha=REG / regularization(1.0, SHAPE))


@pytest.fixture(scope="module")
def frame(spark):
    """The triples with ids of two kinds."""
    rows = zip(ROW_IDS[I].tolist(), COLUMN_IDS[J].tolist(), VALUES.tolist(), strict=True)
    return spark.createDataFrame(list(rows), "user string, item long, stars double").cache()


@pytest.fixture(scope="module")
def model(frame):
    return fm.PairRegressor(REG, engine="spark", max_rank=8).fit(frame)


def test_fit_is_the_certified_minimum_of_the_local_engine(model, local):
    _, solution = local
    assert model.status_.name == "regularized_minimum"
    assert model.certificate_.holds
    assert np.isclose(model.certificate_.value, solution.certificate.value, rtol=2e-6)
    assert model.rank_ == solution.rank
    here = fm.PairRegressor(REG, offsets="none")
    here.fit(np.array(list(zip(ROW_IDS[I], COLUMN_IDS[J], strict=True)), dtype=object), VALUES)
    assert np.array_equal(model.row_ids_, here.row_ids_)
    assert np.array_equal(model.column_ids_, here.column_ids_)
    pairs = [("user 03", 1000), ("user 69", 853), ("nobody", 1000)]
    assert np.allclose(model.predict(pairs), here.predict(pairs), atol=0.01)
    assert model.predict(pairs)[2] == 0
    assert np.isclose(model.alpha_, REG)
    assert model.spark_model_.costs["als"] > 0


@pytest.mark.slow
def test_the_certificate_made_on_the_machines_is_that_of_certify(spark, local, model):
    problem, _ = local
    cells = DistributedCells.from_triples(placed(spark, I, J, VALUES, (np.arange(70), np.arange(50))))
    order = np.argsort(ROW_IDS).argsort(), np.argsort(COLUMN_IDS).argsort()
    factors = tuple(F[places] for F, places in zip(model.spark_model_.factors, order, strict=True))
    proof = certify_factors(cells, factors, REG, collect=False)
    cells.release()
    alpha = REG / regularization(1.0, SHAPE)
    judged = fm.certify(problem, factors, -problem.residual(factors) / (2 * len(I) * alpha), alpha=alpha)
    assert proof.products > 0
    assert proof.certificate.bound_kind == "probabilistic"
    assert proof.certificate.failure_probability <= 1e-10
    assert proof.certificate.holds
    assert judged.holds
    for name in ("value", "lower_bound", "dual_norm", "relative_residual"):
        assert np.isclose(getattr(proof.certificate, name), getattr(judged, name), rtol=1e-9), name


@pytest.mark.slow
def test_a_model_that_is_too_narrow_is_not_certified(spark, frame, capsys):
    narrow = fm.PairRegressor(REG, engine="spark", max_rank=1, max_iter=8, verbose=2)
    with pytest.warns(ConvergenceWarning, match="not_certified|iteration_limit"):
        narrow.fit(frame)
    assert not narrow.certificate_.holds
    assert narrow.certificate_.relative_gap > 1e-2
    assert narrow.certificate_.dual_norm > 1.1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[PairRegressor] seconds ")]
    assert f"iteration 8, rank 1, gap {narrow.certificate_.relative_gap:.4g}" in lines[-1]


@pytest.mark.slow
def test_a_file_gives_the_fit_of_its_triples(frame, tmp_path):
    path = tmp_path / "stars.csv"
    frame.coalesce(1).write.csv(str(path), header=True)
    settings = {"engine": "spark", "max_rank": 8, "max_iter": 4, "tol": 1.0}
    there = fm.PairRegressor(REG, **settings).fit(str(path), list(frame.columns))
    here = fm.PairRegressor(REG, **settings).fit(frame)
    assert np.array_equal(there.row_ids_, here.row_ids_)
    assert np.array_equal(there.column_ids_, here.column_ids_)
    pairs = [(user, item) for user in here.row_ids_ for item in here.column_ids_]
    assert np.abs(there.predict(pairs) - here.predict(pairs)).max() < 1e-3  # 32 bits, added in another order


@pytest.mark.slow
def test_factors_are_written_and_read_back(spark, model, tmp_path):
    folder = tmp_path / "model"
    model.spark_model_.write(folder)
    with pytest.raises(fm.InputError, match="cannot be written, expected a new folder or overwrite=True"):
        model.spark_model_.write(folder)
    model.spark_model_.write(folder, overwrite=True)
    found = SparkCompletion.load(folder)
    for mine, other in zip(model.spark_model_.factors, found.factors, strict=True):
        assert np.array_equal(mine, other)
    assert found.certificate is None
    assert found.solution.status is fm.Status.not_checked
    claimed = found.solution.claimed
    assert claimed["status"] == model.status_.name
    known = {name: x for name, x in model.certificate_.scalars().items() if name != "rigor"}  # follows from the others
    assert {name: claimed[name] for name in known} == known
    pairs = (["user 03", "nobody"], [1000, 1000])
    assert np.allclose(found.predict(*pairs), model.predict(np.array(pairs, dtype=object).T))
    rows = spark.read.parquet(str(folder / "rows"))
    assert rows.columns == ["id", "features"]
    assert rows.count() == 70
    assert json.loads(spark.read.parquet(str(folder / "about")).first()[0])["alpha"] == REG
    with pytest.raises(fm.InputError, match="cannot be read, expected what SparkCompletion wrote"):
        SparkCompletion.load(tmp_path / "nothing")


def test_data_frames_are_predicted_where_they_are(spark, model):
    asked = spark.createDataFrame(
        [("user 03", 1000, "a"), ("nobody", 1000, "b")], "user string, item long, note string"
    )
    answer = model.predict(asked)
    assert answer.columns == ["user", "item", "note", "prediction"]
    found = {row.note: row.prediction for row in answer.collect()}
    assert np.isclose(found["a"], model.predict([("user 03", 1000)])[0])
    assert found["b"] == 0.0
    again = model.predict(asked.select("note", "item", "user"), ["user", "item"])
    assert np.isclose(again.filter("note = 'a'").first().prediction, found["a"])


def test_the_session_of_the_user_goes_on(spark, model):
    assert spark.range(3).count() == 3
    assert not spark.sparkContext._jsc.sc().isStopped()

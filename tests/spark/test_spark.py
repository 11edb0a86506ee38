"""Spark itself: what its ALS minimises, what is read, written and predicted, and what is proved about it."""

import datetime
import json

import numpy as np
import pytest
from pyarrow import table
from pyarrow.parquet import write_table
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

import flatmin as fm
from flatmin.spark import SparkCompletion
from flatmin.spark.als import fit_als
from flatmin.spark.cells import Cells
from flatmin.spark.proof import prove, regularization
from flatmin.spark.reading import indexed, placed, read

from .conftest import sample
from .test_chunks import flat_objective

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
    return fm.MatrixCompletion(REG, input="triples", engine="spark", max_rank=8).fit(frame)


@pytest.mark.slow
def test_the_als_of_spark_minimises_the_flat_objective(spark, local):
    """The mapping of strengths: regParam of Spark is alpha of MatrixCompletion, 2 alpha / √(d1 d2) of flat_minimum."""
    dealt = placed(spark, I, J, VALUES, (np.arange(70), np.arange(50)))
    L, R = fit_als(dealt, 8, REG, 24, 0)
    _, solution = local
    assert solution.certificate.holds
    assert solution.rank <= 8
    value = flat_objective(I, J, VALUES, L, R, REG) / len(I)
    assert np.isclose(value, solution.certificate.value, rtol=1e-6)
    E = csr_array((VALUES - np.einsum("nk,nk->n", L[I], R[J]), (I, J)), shape=SHAPE)
    n1, n2 = np.bincount(I, minlength=70), np.bincount(J, minlength=50)
    slopes = REG * n1[:, None] * L - E @ R, REG * n2[:, None] * R - E.T @ L
    data = csr_array((VALUES, (I, J)), shape=SHAPE)
    sizes = data @ R, data.T @ L
    relative = np.sqrt(sum(np.sum(g**2) for g in slopes) / sum(np.sum(g**2) for g in sizes))
    assert relative < 3e-5  # in 32 bits
    off = flat_objective(I, J, VALUES, *fit_als(dealt, 8, 1.1 * REG, 10, 0), REG) / len(I)
    assert off > solution.certificate.value * (1 + 1e-4)  # another strength is seen


def test_fit_is_the_certified_minimum_of_the_local_engine(model, local):
    _, solution = local
    assert model.status_.name == "regularized_minimum"
    assert model.certificate_.holds
    assert np.isclose(model.certificate_.value, solution.certificate.value, rtol=2e-6)
    assert model.rank_ == solution.rank
    here = fm.MatrixCompletion(REG, input="triples", offsets="none")
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
    cells = Cells.of(placed(spark, I, J, VALUES, (np.arange(70), np.arange(50))))
    order = np.argsort(ROW_IDS).argsort(), np.argsort(COLUMN_IDS).argsort()
    factors = tuple(F[places] for F, places in zip(model.spark_model_.factors, order, strict=True))
    proof = prove(cells, factors, REG, collect=False)
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
    narrow = fm.MatrixCompletion(REG, input="triples", engine="spark", max_rank=1, max_iter=8, verbose=2)
    with pytest.warns(ConvergenceWarning, match="not_certified|iteration_limit"):
        narrow.fit(frame)
    assert not narrow.certificate_.holds
    assert narrow.certificate_.relative_gap > 1e-2
    assert narrow.certificate_.dual_norm > 1.1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[MatrixCompletion] seconds ")]
    assert f"iteration 8, rank 1, gap {narrow.certificate_.relative_gap:.4g}" in lines[-1]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_are_read_by_their_names(spark, frame, tmp_path, kind):
    path = tmp_path / f"stars.{kind}"
    getattr(frame.selectExpr("stars AS `how.many`", "user", "item", "1 AS week").write, kind)(
        str(path), **({"header": True} if kind == "csv" else {})
    )
    names = ["user", "item", "how.many"]
    triples = indexed(read(spark, path, names))
    assert np.array_equal(triples.row_ids, np.sort(ROW_IDS))
    assert np.array_equal(triples.column_ids, np.sort(COLUMN_IDS))
    found = sorted((triples.row_ids[i], triples.column_ids[j], v) for i, j, v in triples.frame.collect())
    assert found == sorted(zip(ROW_IDS[I], COLUMN_IDS[J], VALUES, strict=True))
    triples.frame.unpersist()
    with pytest.raises(fm.InputError, match=r"the columns are how.many, user, item, week, expected the names of three"):
        SparkCompletion.fit(path, alpha=REG)
    with pytest.raises(fm.InputError, match=r"there is no column 'movie', expected three of how.many, user"):
        SparkCompletion.fit(path, ["user", "movie", "how.many"], alpha=REG)


@pytest.mark.slow
def test_a_file_gives_the_fit_of_its_triples(frame, tmp_path):
    path = tmp_path / "stars.csv"
    frame.coalesce(1).write.csv(str(path), header=True)
    settings = {"input": "triples", "engine": "spark", "max_rank": 8, "max_iter": 4, "tol": 1.0}
    there = fm.MatrixCompletion(REG, **settings).fit(str(path), list(frame.columns))
    here = fm.MatrixCompletion(REG, **settings).fit(frame)
    assert np.array_equal(there.row_ids_, here.row_ids_)
    assert np.array_equal(there.column_ids_, here.column_ids_)
    pairs = [(user, item) for user in here.row_ids_ for item in here.column_ids_]
    assert np.abs(there.predict(pairs) - here.predict(pairs)).max() < 1e-3  # 32 bits, added in another order


IDS_IN_TEXT = {
    "whole numbers": (["1", "-20", "3"], [-20, 1, 3]),
    "leading zeros": (["01", "1", "2"], ["01", "1", "2"]),
    "signs": (["+1", "1", "2"], ["+1", "1", "2"]),
    "decimals": (["1.5", "-2.0", "0.25"], [-2.0, 0.25, 1.5]),
    "two spellings": (["1.50", "1.5", "2.0"], ["1.5", "1.50", "2.0"]),
    "too large": (["9007199254740993", "92233720368547758070", "1"], ["1", "9007199254740993", "92233720368547758070"]),
    "dates": (["2020-02-03", "2019-12-31", "2020-02-04"], ["2019-12-31", "2020-02-03", "2020-02-04"]),
    "names": (["ann", "1", "true"], ["1", "ann", "true"]),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", IDS_IN_TEXT)
def test_ids_in_text_are_merged_by_no_reading(spark, tmp_path, kind):
    written, ids = IDS_IN_TEXT[kind]
    path = tmp_path / "ids.csv"
    path.write_text("\n".join(["u,f,r", *(f"{name},x,{k}.5" for k, name in enumerate(written))]) + "\n")
    rows = read(spark, path).collect()
    kinds = {"dates": datetime.date.fromisoformat}.get(kind, type(ids[0]))
    assert sorted(row["row"] for row in rows) == [kinds(name) for name in ids]
    assert all(type(row["row"]) is type(kinds(ids[0])) for row in rows)
    assert sorted(row.value for row in rows) == [0.5, 1.5, 2.5]


@pytest.mark.slow
def test_factors_are_written_and_read_back(spark, model, tmp_path):
    folder = tmp_path / "model"
    model.spark_model_.write(folder)
    with pytest.raises(fm.InputError, match="cannot be written, expected a folder not there yet, or overwrite=True"):
        model.spark_model_.write(folder)
    model.spark_model_.write(folder, overwrite=True)
    found = SparkCompletion.load(folder)
    for mine, other in zip(model.spark_model_.factors, found.factors, strict=True):
        assert np.array_equal(mine, other)
    assert found.certificate.scalars() == model.certificate_.scalars()
    assert found.solution.status is model.status_
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


BAD = {
    "1 triples have no id of a row": ("string, long, double", [(None, 1, 1.0), ("a", 1, 1.0)]),
    "2 triples have no id of a column": ("long, double, float", [(1, float("nan"), 1.0), (1, None, 1.0)]),
    "the values contain NaN": ("long, long, double", [(1, 1, float("nan")), (1, 2, 1.0)]),
    "numbers beyond those of 32 bits": ("long, long, double", [(1, 1, 1e39), (1, 2, 1.0)]),
    "there are no triples": ("long, long, double", []),
    "column 'v' holds string, expected numbers": ("long, long, string", [(1, 1, "good")]),
    "column 'r' holds array, expected ids": ("array<int>, long, double", [([1], 1, 1.0)]),
}


@pytest.mark.parametrize("sentence", BAD)
def test_triples_that_cannot_be_used(spark, sentence):
    kinds, rows = BAD[sentence]
    schema = ", ".join(f"{name} {kind}" for name, kind in zip("rcv", kinds.split(", "), strict=True))
    with pytest.raises(fm.InputError, match=sentence):
        SparkCompletion.fit(spark.createDataFrame(rows, schema), alpha=0.1)


FILES = {
    "Malformed CSV record: 1,3 ": "u,f,r\n1,2,3.5\n1,3\n2,2,4\n",
    "Malformed CSV record: 1,3,4,5 ": "u,f,r\n1,2,3.5\n1,3,4,5\n",
    "Malformed CSV record: 1,3,1 ": "u,f,r,week\n1,2,3.5,1\n1,3,1\n",
    "begins with 1, 2, 3.5, expected a line of names above the triples$": "1,2,3.5\n1,3,3\n",
    "is empty, expected a line of names and triples below it$": "",
    "^there are no triples, expected at least one$": "u,f,r\n",
    "^column 'r' holds 'good', expected numbers$": "u,f,r\n1,2,3\n1,3,good\n",
    "^1 triples have no id of a row": "u,f,r\n1,2,3\n,3,4\n",
    "^the values contain NaN, nothing": "u,f,r\n1,2,3\n1,3,\n",
    "^there is no column 'u', expected three of u0, u1, r": "u,u,r\n1,2,3\n",
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("sentence", FILES)
def test_text_that_cannot_be_read(spark, tmp_path, sentence):
    path = tmp_path / "some.csv"
    path.write_text(FILES[sentence])
    names = ["u", "f", "r"] if "week" in FILES[sentence] or "u,u" in FILES[sentence] else None
    with pytest.raises(fm.InputError, match=sentence) as caught:
        SparkCompletion.fit(path, names, alpha=0.1)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(spark, tmp_path):
    with pytest.raises(fm.InputError, match="cannot be read, expected a CSV file with a line of names, or Parquet"):
        SparkCompletion.fit(str(tmp_path / "none.parquet"), alpha=0.1)
    (tmp_path / "wrong.parquet").write_text("no parquet")
    with pytest.raises(fm.InputError, match="cannot be read"):
        SparkCompletion.fit(tmp_path / "wrong.parquet", alpha=0.1)
    path = tmp_path / "rotten.parquet"
    write_table(table({"u": np.arange(9), "f": np.arange(9), "r": np.ones(9)}), path)
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36  # a page, below a footer that is whole
    path.write_bytes(content)
    with pytest.raises(fm.InputError, match=r"rotten\.parquet cannot be read, .*xception: [^\n]*$"):
        SparkCompletion.fit(path, alpha=0.1)


def test_frames_that_cannot_be_read(spark, tmp_path):
    (tmp_path / "short.csv").write_text("u,f,r\n1,2,3.5\n1,3\n")
    lazy = spark.read.csv(str(tmp_path / "short.csv"), header=True, schema="u int, f int, r double", mode="FAILFAST")
    with pytest.raises(fm.InputError, match=r"^the DataFrame cannot be read, .*Malformed CSV record: 1,3 [^\n]*$"):
        SparkCompletion.fit(lazy, alpha=0.1)


@pytest.mark.parametrize(
    ("columns", "names", "sentence"),
    [
        ("u, f, r", ["u", "u", "r"], "the columns are u, u, r, expected three different ones"),
        ("u, f, r", ["u", "f", "u"], "the columns are u, f, u, expected three different ones"),
        ("u, f, r", "ufr", "the names of columns are 'ufr', expected a list of three"),
        ("u, u, r", None, "the columns are u, u, r, expected three different ones"),
        ("u, U, r", None, "the DataFrame cannot be read, .* ambiguous"),
    ],
)
def test_names_of_columns_that_cannot_be_meant(spark, columns, names, sentence):
    schema = ", ".join(f"{name} double" for name in columns.split(", "))
    with pytest.raises(fm.InputError, match=f"^{sentence}"):
        SparkCompletion.fit(spark.createDataFrame([(1.0, 2.0, 3.0)], schema), names, alpha=0.1)


def test_the_session_of_the_user_goes_on(spark, model):
    assert spark.range(3).count() == 3
    assert not spark.sparkContext._jsc.sc().isStopped()

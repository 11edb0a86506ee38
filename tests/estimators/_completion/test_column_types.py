import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer

from flatmin import MatrixCompletion
from flatmin.estimators._completion.column_types import with_column_types

WHOLE, PARTS = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.0, 0.0])


def filled(values, X, library, sources=(0,)):
    estimator = SimpleImputer().set_output(transform=library)
    names = np.array([f"c{k}" for k in range(values.shape[1])], dtype=object)
    return with_column_types(estimator, values, X, np.array(sources), names)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("Int64", WHOLE, "Int64"),
        ("Int64", PARTS, "Float64"),
        ("Int8", 100 * WHOLE, "Float64"),
        ("UInt8", -WHOLE, "Float64"),
        ("Float32", PARTS, "Float32"),
        ("boolean", np.array([1.0, 0.0, 1.0]), "boolean"),
        ("boolean", PARTS, "Float64"),
        ("int64[pyarrow]", WHOLE, "int64[pyarrow]"),
        ("int64[pyarrow]", PARTS, "double[pyarrow]"),
        ("bool[pyarrow]", PARTS, "double[pyarrow]"),
    ],
)
def test_pandas_columns_keep_their_types_if_values_allow(dtype, values, expected):
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    X = pd.DataFrame({"a": pd.array([1, None, 0], dtype=dtype)}, index=["x", "y", "y"])
    found = filled(values[:, None], X, "pandas")
    assert (str(found.dtypes["c0"]), list(found.columns), list(found.index)) == (expected, ["c0"], ["x", "y", "y"])
    np.testing.assert_array_equal(found["c0"].to_numpy(dtype=float), values)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_without_nullable_types_scikit_learn_makes_the_frame(dtype):
    values = WHOLE[:, None]
    assert filled(values, pd.DataFrame({"a": np.ones(3, dtype)}), "pandas") is values


def test_only_the_columns_of_the_input_have_its_types():
    X = pd.DataFrame({"a": pd.array([1, 2, 3], dtype="Int64"), "b": pd.array([1, 2, 3], dtype="Int8"), "c": WHOLE})
    found = filled(np.stack([WHOLE, WHOLE, PARTS], axis=1), X, "pandas", sources=(1, 2))
    assert list(map(str, found.dtypes)) == ["Int8", "float64", "float64"]


@pytest.mark.parametrize("library", ["default", "pandas"])
def test_frames_of_another_library_are_not_made(library):
    polars = pytest.importorskip("polars")
    values = WHOLE[:, None]
    assert filled(values, polars.DataFrame({"a": [1, 2, 3]}), library) is values
    assert filled(values, pd.DataFrame({"a": pd.array([1, 2, 3], dtype="Int64")}), "default") is values


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("Int64", WHOLE, "Int64"),
        ("Int64", PARTS, "Float64"),
        ("Int8", 100 * WHOLE, "Float64"),
        ("Float32", PARTS, "Float32"),
        ("Boolean", np.array([1.0, 0.0, 1.0]), "Boolean"),
        ("Boolean", PARTS, "Float64"),
    ],
)
def test_polars_columns_keep_their_types_if_values_allow(dtype, values, expected):
    polars = pytest.importorskip("polars")
    X = polars.DataFrame({"a": polars.Series([1, None, 0]).cast(getattr(polars, dtype))})
    found = filled(values[:, None], X, "polars")
    assert (str(found.dtypes[0]), found.columns) == (expected, ["c0"])
    np.testing.assert_array_equal(found["c0"].cast(polars.Float64).to_numpy(), values)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_of_nullable_types_are_completed(library):
    frames = pytest.importorskip(library)
    rng = np.random.default_rng(0)
    table = rng.standard_normal((20, 1)) + 0.2 * rng.standard_normal((20, 3))
    holes = rng.random(table.shape) < 0.1
    counts = np.arange(20)
    cells = np.where(holes, None, table).T.tolist()
    columns = dict(zip("abc", cells, strict=True))
    frame = frames.DataFrame(columns | {"n": counts})
    if library == "pandas":
        frame = frame.convert_dtypes()
    model = MatrixCompletion(0.1, add_indicator=True).set_output(transform=library)
    found = model.fit_transform(frame)
    expected = MatrixCompletion(0.1).fit_transform(np.column_stack([np.where(holes, np.nan, table), counts]))
    assert list(found.columns) == list(model.get_feature_names_out())
    np.testing.assert_allclose(np.stack([found[name].to_numpy() for name in "abcn"], axis=1), expected)
    types = [str(dtype) for dtype in found.dtypes][:4]
    assert types == ["Float64"] * 3 + ["Int64"]
    assert [str(dtype) for dtype in model.transform(frame).dtypes][:4] == types

import csv
import json
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning

from flatmin import InputError, MatrixCompletion
from flatmin.formats.tables import Reading, read_typed_table

#: An option that makes fits fast.
FAST = ("--alpha", "0.1")


def table(rows=40, columns=5, seed=0):
    """Return columns of rank 1 with noise, and which of their cells are missing."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((rows, 1)) @ rng.uniform(1, 2, (1, columns)) + 0.3 * rng.standard_normal(
        (rows, columns)
    )
    return values.round(3), rng.random(values.shape) < 0.1


VALUES, HOLES = table()


@pytest.fixture
def data(tmp_path):
    lines = ["who,day," + ",".join(f"x{j}" for j in range(5))]
    for i, (row, holes) in enumerate(zip(VALUES, HOLES, strict=True)):
        cells = ["" if hole else f"{value:.3f}" for value, hole in zip(row, holes, strict=True)]
        lines.append(f"p{i},{'' if i == 3 else '2020-01-01'}," + ",".join(cells))
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(autouse=True)
def one_fold(monkeypatch):
    monkeypatch.setattr("flatmin.estimators._comparison.ALL_FOLDS", 0)


@pytest.fixture
def without_pictures(monkeypatch):
    monkeypatch.setattr("flatmin.cli.commands.impute.write_imputation_report", lambda path, table: path.write_text("-"))


@pytest.fixture
def filled(flatmin, data, without_pictures):
    run = flatmin("impute", data, "--output", "out", "--json", *FAST)
    assert run.code == 0
    return run


def rows(path):
    with open(path, newline="") as stream:
        return list(csv.reader(stream))


def test_holes_are_filled_as_by_the_estimator_and_nothing_else_changes(filled, data, tmp_path):
    before, after = rows(data), rows(tmp_path / "out" / "completed.csv")
    holed = np.where(HOLES, np.nan, VALUES)
    expected = MatrixCompletion(alpha=0.1).fit_transform(holed)
    for i in range(40):
        assert after[i + 1][:2] == before[i + 1][:2]
        for j in range(5):
            if HOLES[i, j]:
                assert float(after[i + 1][j + 2]) == pytest.approx(expected[i, j], rel=1e-9)
            else:
                assert after[i + 1][j + 2] == before[i + 1][j + 2]


def test_every_filled_cell_has_an_interval(filled, tmp_path):
    head, *found = rows(tmp_path / "out" / "intervals.csv")
    completed = rows(tmp_path / "out" / "completed.csv")
    assert head == ["row", "column", "value", "low", "high"]
    assert [(int(i), int(name[1:])) for i, name, *_ in found] == [tuple(cell) for cell in np.argwhere(HOLES)]
    for i, name, value, low, high in found:
        assert completed[int(i) + 1][int(name[1:]) + 2] == value
        assert float(low) < float(value) < float(high)


def test_the_summary_has_the_errors_the_coverage_and_the_rest(filled, tmp_path):
    summary = json.loads(filled.out)
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["shape"], summary["n_filled"], summary["holes_left"]) == ([40, 7], int(HOLES.sum()), 1)
    found = summary["held_out"]
    assert found["error"] < 0.6 < 0.9 < found["error_means"]
    assert 0.7 < found["coverage"] <= 1
    assert [column["role"] for column in summary["columns"]] == ["carried"] * 2 + ["fitted"] * 5
    assert summary["columns"][1]["holes"] == 1
    assert summary["columns"][2]["error"] < summary["columns"][2]["error_means"]
    assert summary["certificate"]["holds"]
    assert "1 missing cell stays in columns that are not filled: 'day' (1)" in filled.err


def test_without_intervals_cells_are_filled_all_the_same(flatmin, data, tmp_path, monkeypatch, without_pictures):
    def refuse(self, X, **options):
        raise InputError("too few cells can be held out")

    monkeypatch.setattr(MatrixCompletion, "predict_interval", refuse)
    run = flatmin("impute", data, "-o", "out", "--json", *FAST)
    assert run.code == 0
    assert json.loads(run.out)["held_out"]["coverage"] is None
    assert "filled cells have no intervals" in run.err
    assert rows(tmp_path / "out" / "intervals.csv")[1][3:] == ["", ""]


def test_the_printed_table(flatmin, data, without_pictures):
    run = flatmin("impute", data, *FAST)
    assert run.code == 0
    assert "standard deviations of a column; column means" in " ".join(run.out.split())
    assert "data-imputed" in run.out
    assert flatmin("impute", data, "--quiet", *FAST).out == ""


def test_a_model_fills_one_row_and_reports_it(filled, flatmin, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.csv").write_text("x0,x1,x2,x3,x4\n1.2,,,,\n")
    run = flatmin("impute", "one.csv", "--model", "out", "--confidence", "0.8")
    assert run.code == 0
    assert "80 % asked for; those for 90 % contain" in " ".join(run.out.split())
    assert "when the model was fitted" in (tmp_path / "one-imputed" / "report.html").read_text()


def test_a_model_fills_new_rows_with_columns_in_any_order(filled, flatmin, tmp_path):
    (tmp_path / "new.csv").write_text("x4,extra,x3,x2,x1,x0\n1.5,5,,1.4,1.3,1.2\n,,,,,\n1,1,1,1,1,1\n")
    run = flatmin("impute", "new.csv", "--model", "out", "--json")
    assert run.code == 0
    completed = rows(tmp_path / "new-imputed" / "completed.csv")
    assert [completed[1][k] for k in (0, 1, 3, 4, 5)] == ["1.5", "5", "1.4", "1.3", "1.2"]
    new = np.array([[1.2, 1.3, 1.4, np.nan, 1.5]])
    expected = MatrixCompletion(alpha=0.1).fit(np.where(HOLES, np.nan, VALUES)).transform(new)
    assert float(completed[1][2]) == pytest.approx(expected[0, 3], rel=1e-9)
    assert completed[2][1] == ""
    summary = json.loads(run.out)
    assert summary["model"] == "out"
    assert summary["held_out"] == json.loads(filled.out)["held_out"]
    again = flatmin("impute", "new.csv", "--model", "new-imputed", "-o", "other")
    assert (again.code, "no model.npz" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--model", "."], "--model . holds no results of flatmin impute"),
        (["--model", "out", "--seed", "1"], "--seed and --model exclude each other"),
        (["--confidence", "90"], "--confidence is 90, expected a number between 0 and 1"),
        (["--clip", "3,1"], "--clip is '3,1', expected LO,HI"),
        (["--clip", "all"], "--clip is 'all'"),
        (["--index", "nobody"], "--index names the column 'nobody', found 'who', 'day'"),
        (["--alpha", "x"], "expected a number or auto"),
        (["--alpha", "-1"], "alpha"),
        (["--encoding", "klingon"], "--encoding is 'klingon'"),
        (["--output", "."], "would replace"),
        (["--output", "/proc/flatmin/out"], "cannot be written"),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(flatmin, data, tmp_path, options, part):
    run = flatmin("impute", data, *options)
    assert (run.code, run.out) == (2, "")
    assert part in run.err
    assert run.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [data]


def test_an_unwritable_directory(flatmin, data, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    run = flatmin("impute", data)
    assert (run.code, "Permission denied" in run.err) == (2, True)


def test_bounds_and_rounding(flatmin, tmp_path, without_pictures):
    rng = np.random.default_rng(1)
    counts = rng.poisson(3, (40, 1)) + rng.poisson(1, (40, 3))
    lines = [",".join("" if rng.random() < 0.2 else str(count) for count in row) for row in counts]
    (tmp_path / "n.csv").write_text("a,b,c\n" + "\n".join(lines) + "\n")
    plain = flatmin("impute", "n.csv", *FAST)
    assert "known cells are whole numbers in 'a', 'b' and 'c'; --round" in plain.err
    run = flatmin("impute", "n.csv", "--round", "--clip", "2,6", *FAST)
    assert "--round" not in run.err
    found = [[float(x) for x in row[2:]] for row in rows(tmp_path / "n-imputed" / "intervals.csv")[1:]]
    assert all(value.is_integer() and 2 <= low <= value <= high <= 6 for value, low, high in found)
    assert flatmin("impute", "n.csv", "--clip", "observed", *FAST).code == 0
    known = [
        [float(cell) for cell in column if cell] for column in zip(*(line.split(",") for line in lines), strict=True)
    ]
    for _, name, *bounds in rows(tmp_path / "n-imputed" / "intervals.csv")[1:]:
        column = known["abc".index(name)]
        assert all(min(column) <= float(x) <= max(column) for x in bounds)


@pytest.mark.parametrize(
    ("text", "filled", "said"),
    [
        ("a,b\n1,2\n3,4\n5,6\n7,8\n", "a,b\n1,2\n3,4\n5,6\n7,8\n", "no cell is missing"),
        ("a\n1\n\n3\n", "a\n1\n2\n3\n", "1 row has no number and gets the typical value"),
        ("a,b\n1,5\n2,5\n3,\n", "a,b\n1,5\n2,5\n3,5\n", ""),
        ("a,b,\n1,2,\n3,4,\n5,,\n6,5,\n", None, ""),
    ],
)
def test_small_tables(flatmin, tmp_path, without_pictures, text, filled, said):
    (tmp_path / "t.csv").write_text(text)
    run = flatmin("impute", "t.csv")
    assert run.code == 0
    found = (tmp_path / "t-imputed" / "completed.csv").read_text()
    assert found == filled or (filled is None and all(line.endswith(",") for line in found.splitlines()))
    assert said in run.err


def test_one_row_is_refused_without_a_model(flatmin, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    run = flatmin("impute", "t.csv")
    assert (run.code, "has 1 row, expected at least 2" in run.err) == (2, True)


def test_tables_that_do_not_fit_in_memory_are_refused(flatmin, data, monkeypatch):
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 30_000.0)
    run = flatmin("impute", data)
    assert (run.code, "of memory" in run.err) == (2, True)


def test_a_fit_that_does_not_converge_is_written_with_status_1(flatmin, data, monkeypatch, without_pictures):
    fit = MatrixCompletion.fit

    def slow(self, *args, **kwargs):
        warnings.warn("iteration_limit", ConvergenceWarning, stacklevel=1)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(MatrixCompletion, "fit", slow)
    run = flatmin("impute", data, "--json", *FAST)
    assert (run.code, json.loads(run.out)["converged"]) == (1, False)


def test_independent_columns_are_said_to_be_as_well_filled_by_means(flatmin, tmp_path, without_pictures):
    rng = np.random.default_rng(0)
    np.savetxt(tmp_path / "t.csv", rng.standard_normal((60, 4)), delimiter=",", header="a,b,c,d", comments="")
    assert "column means predict as well" in " ".join(flatmin("impute", "t.csv").out.split())


@pytest.mark.parametrize("name", ["wine.csv.gz", "wine.parquet", "wine.xlsx"])
def test_files_of_other_programs(flatmin, tmp_path, name, without_pictures):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(load_wine().data[:60, :6]).rename(columns=str)
    holes = np.random.default_rng(0).random(frame.shape) < 0.1
    frame = frame.mask(holes)
    frame["kind"], frame["day"] = "red", pd.date_range("2020-01-01", periods=60)
    write = {"gz": lambda p: frame.to_csv(p, index=False), "parquet": frame.to_parquet}
    write.get(name.rpartition(".")[2], lambda p: frame.to_excel(p, index=False))(tmp_path / name)
    run = flatmin("impute", name, "-o", "out", *FAST)
    assert run.code == 0
    out = next((tmp_path / "out").glob("completed.*"))
    assert out.name == f"completed.{name.partition('.')[2]}"
    before, after = (read_typed_table(path, Reading()) for path in (tmp_path / name, out))
    assert not np.isnan(after.matrix).any()
    np.testing.assert_equal(after.matrix[~holes], before.matrix[~holes])
    assert [column.role for column in after.columns] == [column.role for column in before.columns]


def test_an_interruption_leaves_nothing(flatmin, data, tmp_path, monkeypatch):
    def interrupted(self, X):
        raise KeyboardInterrupt

    monkeypatch.setattr(MatrixCompletion, "fit", interrupted)
    run = flatmin("impute", data, "-o", "deep/out")
    assert (run.code, run.out, run.err) == (130, "", "")
    assert list(tmp_path.iterdir()) == [data]


def test_the_default_strength_and_the_report(flatmin, data, tmp_path):
    assert flatmin("impute", data, "-o", "out").code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    parts = ["Error on held-out cells", "Outlined cells were missing", "The certificate is a statement about"]
    assert [page.index(part) for part in parts] == sorted(page.index(part) for part in parts)


def test_the_reason_that_one_column_has_no_error_is_named(flatmin, tmp_path, without_pictures):
    (tmp_path / "one.csv").write_text("x\n" + "".join(f"{i % 7}\n" for i in range(40)) + "NA\n")
    run = flatmin("impute", tmp_path / "one.csv", *FAST)
    assert " ".join(run.out.split()).count("not measured: there is only one numeric column") == 1
    assert "filled cells have no intervals, since there is only one numeric column" in run.err

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import SignedGram, Solution, families
from tests.families.sizes import shape_of, size_options

FIELDS = {
    "family",
    "shape",
    "n_measurements",
    "rank",
    "signature",
    "status",
    "seconds",
    "iterations",
    "relative_residual",
    "scaled_trace",
    "hessian_trace",
    "fibre_minimum",
    "certificate",
    "balance",
    "norm_excess",
    "condition",
    "undetermined_rows",
    "undetermined_cols",
    "proof",
    "reweighted",
    "sigma",
    "noise",
    "seed",
    "version",
    "format_version",
}
SCALARS = {
    "holds",
    "objective",
    "value",
    "lower_bound",
    "relative_gap",
    "relative_residual",
    "whitened_residual",
    "dual_norm",
    "bound_kind",
    "failure_probability",
    "unique",
    "q",
    "injectivity",
    "margin",
    "radius",
}


def refuse(constant):
    raise AssertionError(f"{constant} in the summary")


@pytest.mark.parametrize("family", families.names())
def test_from_generated_problem_to_results(flatmin, tmp_path, family):
    model = families.find(family)
    assert flatmin("generate", family, "p.npz", *size_options(model, 12, 10), "--seed", "4").code == 0
    instance = model.sample(shape_of(model, 12, 10), 1, 100)
    shape, signed = model.unknown_shape(instance.problem), isinstance(instance.problem.parametrization, SignedGram)
    run = flatmin("recover", family, "p.npz", "--json", "--seed", "5")
    assert run.code == 0
    summary = json.loads(run.out, parse_constant=refuse)
    assert set(summary) == FIELDS | {"relative_error"}
    assert set(summary["certificate"]) >= SCALARS
    assert summary["family"] == family
    assert summary["shape"] == list(shape)
    assert summary["signature"] == ([1, 0] if signed else None)
    assert summary["seed"] == 5
    assert summary["rank"] == 1
    assert summary["relative_error"] < 1e-7
    assert summary["status"] == "unique_flat_minimum"
    results = tmp_path / "p-flat"
    assert sorted(p.name for p in results.iterdir()) == ["report.html", "solution.npz", "summary.json"]
    assert json.loads((results / "summary.json").read_text()) == summary
    assert Solution.load(results / "solution.npz").rank == 1


def test_summary_in_words(flatmin):
    flatmin("generate", "matrix-sensing", "p.npz", "--shape", "6,5", "--rank", "1")
    run = flatmin("recover", "matrix-sensing", "p.npz", "--output", "results")
    assert run.code == 0
    assert run.err == ""
    for part in ("unique_flat_minimum", "Certified", "rank", "relative gap", "relative error", "report.html"):
        assert part in run.out
    assert flatmin("recover", "matrix-sensing", "p.npz", "--quiet").out == ""


@pytest.mark.usefixtures("without_report")
def test_without_truth_no_error_is_named(flatmin, tmp_path):
    np.savez(tmp_path / "p.npz", rows=[0, 0, 1], cols=[0, 1, 0], values=[1, 2, 3], shape=[2, 2])
    summary = json.loads(flatmin("recover", "matrix-completion", "p.npz", "--json").out)
    assert "relative_error" not in summary
    assert summary["n_measurements"] == 3


@pytest.mark.usefixtures("without_report")
def test_unobserved_rows_and_columns_are_listed_and_zero(flatmin, tmp_path):
    (tmp_path / "t.csv").write_text("name,a,b,c\nx,1,,2\ny,,,\nz,3,,6\n")
    run = flatmin("recover", "matrix-completion", "t.csv", "--json")
    summary = json.loads(run.out)
    assert (summary["undetermined_rows"], summary["undetermined_cols"]) == ([1], [1])
    assert (tmp_path / "t-flat" / "completed.csv").read_text() == "name,a,b,c\nx,1,0,2\ny,0,0,0\nz,3,0,6\n"


@pytest.mark.usefixtures("without_report")
def test_a_single_known_cell(flatmin, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n,\n,5\n")
    run = flatmin("recover", "matrix-completion", "t.csv", "--json")
    assert run.code == 0
    assert json.loads(run.out)["undetermined_rows"] == [0]
    assert (tmp_path / "t-flat" / "completed.csv").read_text() == "a,b\n0,0\n0,5\n"


@pytest.mark.usefixtures("without_report")
def test_contradicting_data_are_written_with_exit_status_one(flatmin, tmp_path):
    np.savez(tmp_path / "p.npz", rows=[0, 0, 1], cols=[0, 0, 1], values=[1, 2, 3], shape=[2, 2])
    run = flatmin("recover", "matrix-completion", "p.npz", "--json")
    assert run.code == 1
    assert json.loads(run.out)["status"] == "inconsistent_data"
    assert (tmp_path / "p-flat" / "summary.json").exists()


@pytest.mark.usefixtures("without_report")
def test_limits_end_with_exit_status_one(flatmin):
    flatmin("generate", "matrix-completion", "p.npz", "--measurements", "250")
    run = flatmin("recover", "matrix-completion", "p.npz", "--json", "--max-iter", "1")
    assert run.code == 1
    assert json.loads(run.out)["status"] == "iteration_limit"


def test_noise_is_met_with_advice(flatmin, tmp_path):
    flatmin("generate", "matrix-completion", "p.npz", "--noise", "0.1", "--shape", "12,10", "--measurements", "90")
    run = flatmin("recover", "matrix-completion", "p.npz", "--json")
    assert "--alpha" in run.err
    assert run.err.count("\n") == 1
    assert "--alpha" in (tmp_path / "p-flat" / "report.html").read_text(encoding="utf-8")
    assert flatmin("recover", "matrix-completion", "p.npz", "--quiet").err == ""


def test_a_single_pattern_is_told_before_the_solve_and_in_the_report(flatmin, tmp_path):
    signal, mask = np.arange(4.0), np.ones((1, 4))
    np.savez("pattern.npz", masks=mask, b=np.abs(np.fft.fft(signal)) ** 2)
    done = flatmin("recover", "phase-retrieval", "pattern.npz", "--max-iter", "5")
    assert done.err.splitlines()[0].startswith("flatmin: One diffraction pattern does not determine a signal")
    assert done.err.count("One diffraction pattern") == 1
    assert "One diffraction pattern" in (tmp_path / "pattern-flat" / "report.html").read_text(encoding="utf-8")


def test_directions_that_no_measurement_sees_are_named(flatmin, tmp_path):
    np.savez(tmp_path / "p.npz", A=np.ones((1, 1, 3)), b=[2.0])
    run = flatmin("recover", "matrix-sensing", "p.npz", "--json")
    assert run.code == 0
    assert "2 directions of the columns are not measured" in run.err
    assert "2 directions of the columns" in (tmp_path / "p-flat" / "report.html").read_text(encoding="utf-8")
    assert flatmin("recover", "matrix-sensing", "p.npz", "--quiet").err == ""


def test_noise_of_unknown_level(flatmin, tmp_path):
    flatmin("generate", "matrix-sensing", "p.npz", "--noise", "0.1", "--shape", "12,10", "--rank", "1")
    run = flatmin("recover", "matrix-sensing", "p.npz", "--alpha", "auto", "--json")
    assert run.code == 0
    found = json.loads(run.out)
    assert found["status"] == "regularized_minimum"
    assert found["noise"]["rank"] == found["noise"]["penalised_rank"] == 1
    assert found["sigma"] == found["noise"]["sigma"]
    assert found["noise"]["relative_error"] < found["relative_error"]
    with np.load(tmp_path / "p.npz") as data, np.load(tmp_path / "p-flat" / "solution.npz") as solution:
        left = data["b"] - np.tensordot(data["A"], solution["refit_L"] @ solution["refit_R"].T)
    assert np.linalg.norm(left) / np.sqrt(len(left) - 21) == pytest.approx(found["sigma"], rel=1e-6)
    assert "Standard deviation of the noise" in (tmp_path / "p-flat" / "report.html").read_text(encoding="utf-8")
    table = flatmin("recover", "matrix-sensing", "p.npz", "--alpha", "auto").out
    assert "refit, not certified" in table
    # The strength that was found is a number like any other.
    strength = str(json.loads(run.out)["noise"]["alpha"])
    for options in (("--alpha", strength), ("--as-claimed",)):
        again = flatmin("certify", "matrix-sensing", "p.npz", "p-flat/solution.npz", "--json", *options)
        assert again.code == 0
        assert json.loads(again.out)["objective"] == "penalised"


def test_ranks_that_disagree_are_told(flatmin):
    table = Path(__file__).parents[3] / "examples" / "data" / "pressure.csv"
    run = flatmin("recover", "matrix-completion", table, "--alpha", "auto", "--json")
    found = json.loads(run.out)["noise"]
    assert (found["rank"] != found["penalised_rank"]) == ("Do not rely on the rank" in run.err)


@pytest.mark.usefixtures("without_report")
def test_regularized_minimum(flatmin):
    flatmin("generate", "matrix-sensing", "p.npz", "--noise", "0.1", "--shape", "8,6", "--rank", "1")
    run = flatmin("recover", "matrix-sensing", "p.npz", "--alpha", "0.1", "--json")
    assert run.code == 0
    assert json.loads(run.out)["status"] == "regularized_minimum"
    again = flatmin("certify", "matrix-sensing", "p.npz", "p-flat/solution.npz", "--alpha", "0.1", "--json")
    assert again.code == 0
    assert json.loads(again.out)["objective"] == "penalised"


@pytest.mark.usefixtures("without_report")
def test_results_are_replaced_whole(flatmin, tmp_path):
    flatmin("generate", "matrix-sensing", "p.npz", "--shape", "6,5", "--rank", "1")
    flatmin("recover", "matrix-sensing", "p.npz")
    (tmp_path / "p-flat" / "reweighted.npz").touch()
    assert flatmin("recover", "matrix-sensing", "p.npz").code == 0
    assert not (tmp_path / "p-flat" / "reweighted.npz").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p-flat", "p.npz"]


def test_interrupt_leaves_nothing_behind(flatmin, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    flatmin("generate", "matrix-sensing", "p.npz", "--shape", "6,5", "--rank", "1")
    monkeypatch.setattr("flatmin.cli.commands.recover.flat_minimum", interrupted)
    assert flatmin("recover", "matrix-sensing", "p.npz", "--output", "new/results").code == 130
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_a_computation_that_breaks_down_is_one_line(flatmin, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    flatmin("generate", "matrix-sensing", "p.npz", "--shape", "6,5", "--rank", "1")
    monkeypatch.setattr("flatmin.cli.commands.recover.flat_minimum", broken)
    run = flatmin("recover", "matrix-sensing", "p.npz")
    assert run.code == 2
    assert "Eigenvalues did not converge" in run.err
    assert run.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_failure_while_writing_keeps_the_former_results(flatmin, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    flatmin("generate", "matrix-sensing", "p.npz", "--shape", "6,5", "--rank", "1")
    flatmin("recover", "matrix-sensing", "p.npz")
    before = (tmp_path / "p-flat" / "summary.json").read_bytes()
    monkeypatch.setattr("flatmin.cli.commands.recover.write_report", full)
    run = flatmin("recover", "matrix-sensing", "p.npz")
    assert run.code == 2
    assert "No space left" in run.err
    assert (tmp_path / "p-flat" / "summary.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p-flat", "p.npz"]


def test_a_large_sparse_answer_is_left_to_the_factors(flatmin, tmp_path, monkeypatch):
    (tmp_path / "x.mtx").write_text("%%MatrixMarket matrix coordinate real general\n2 2 3\n1 1 1\n1 2 2\n2 1 3\n")
    assert flatmin("recover", "matrix-completion", "x.mtx").code == 0
    assert (tmp_path / "x-flat" / "completed.mtx").exists()
    monkeypatch.setattr("flatmin.cli.answer_files.LARGEST_SAVED_MATRIX", 3)
    assert flatmin("recover", "matrix-completion", "x.mtx").code == 0
    assert not (tmp_path / "x-flat" / "completed.mtx").exists()
    assert "was not written" in (tmp_path / "x-flat" / "report.html").read_text(encoding="utf-8")


def test_a_lower_rank_is_a_result_of_its_own(flatmin, tmp_path):
    flatmin("generate", "matrix-sensing", "p.npz", "--shape", "12,10", "--rank", "1", "--measurements", "35")
    run = flatmin("recover", "matrix-sensing", "p.npz", "--json", "--reweight")
    summary = json.loads(run.out, parse_constant=refuse)
    lowest = summary["reweighted"]
    assert set(lowest) == {"rank", "status", "relative_residual", "seconds", "relative_error"}
    assert (lowest["rank"], lowest["status"]) == (1, "low_rank_interpolant")
    assert lowest["relative_error"] < 1e-7 < summary["relative_error"]
    assert summary["certificate"]["holds"] is True
    assert summary["rank"] > 1
    assert Solution.load(tmp_path / "p-flat" / "reweighted.npz").rank == 1
    assert Solution.load(tmp_path / "p-flat" / "solution.npz").rank == summary["rank"]
    out = flatmin("recover", "matrix-sensing", "p.npz", "--reweight").out
    assert "lowest rank found, not flat" in out.replace("\n", " ")
    flatmin("recover", "matrix-sensing", "p.npz", "--quiet")
    assert not (tmp_path / "p-flat" / "reweighted.npz").exists()


def test_interrupting_while_modules_load_ends_cleanly(flatmin, monkeypatch):
    class Loading(types.ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "flatmin.cli.application", Loading("flatmin.cli.application"))
    run = flatmin("--version")
    assert (run.code, run.err) == (130, "")


def test_rows_of_numbers_are_matrices_of_the_shape_that_is_given(flatmin, tmp_path):
    rng = np.random.default_rng(0)
    A, X = rng.standard_normal((40, 6, 5)), np.outer(np.arange(1.0, 7), np.arange(1.0, 6))
    np.savez(tmp_path / "p.npz", A=A.reshape(40, 30), b=np.einsum("mij,ij->m", A, X), truth=X)
    run = flatmin("recover", "matrix-sensing", "p.npz", "--shape", "6,5", "--json")
    summary = json.loads(run.out)
    assert (run.code, summary["shape"], summary["rank"]) == (0, [6, 5], 1)
    assert summary["relative_error"] < 1e-7
    judged = flatmin("certify", "matrix-sensing", "p.npz", "p-flat/solution.npz", "--shape", "6,5")
    assert judged.code == 0
    assert flatmin("flatness", "matrix-sensing", "p.npz", "p-flat/solution.npz", "--shape", "6,5").code == 0


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ((), ["'A' has shape (40, 30), expected (m, d1, d2)", "--shape D1,D2"]),
        (("--shape", "5,5"), ["'A' has shape (40, 30), expected (m, 25) or (m, 5, 5)"]),
        (("--shape", "30"), ["--shape is '30', expected two positive whole numbers"]),
        (("--shape", "0,30"), ["shape is (0, 30), expected two positive"]),
    ],
)
def test_rows_of_numbers_without_their_shape_are_refused(flatmin, tmp_path, typed, parts):
    np.savez(tmp_path / "p.npz", A=np.ones((40, 30)), b=np.ones(40))
    run = flatmin("recover", "matrix-sensing", "p.npz", *typed)
    assert run.code == 2
    assert all(part in run.err for part in parts), run.err


def test_a_shape_needs_a_family_whose_file_has_one(flatmin):
    flatmin("generate", "covariance", "p.npz")
    run = flatmin("recover", "covariance", "p.npz", "--shape", "20,20")
    assert (run.code, run.err.count("\n")) == (2, 1)
    assert "--shape needs" in run.err


def test_a_table_is_told_of_impute(flatmin, tmp_path, without_report):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n2,\n3,6\n")
    run = flatmin("recover", "matrix-completion", "t.csv")
    assert "recover is for exact measurements; for a noisy table use flatmin impute t.csv" in run.err
    assert "impute" not in flatmin("recover", "matrix-completion", "t.csv", "--quiet").err


def test_tables_and_frames_of_robust_pca_are_told_of_separate(flatmin, tmp_path, without_report):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n2,4\n3,6\n")
    (tmp_path / "frames").mkdir()
    for k in range(3):
        pillow.fromarray(np.full((2, 3), 100, np.uint8)).save(tmp_path / "frames" / f"{k}.png")
    for name, noun in (("t.csv", "a noisy table"), ("frames", "noisy frames")):
        run = flatmin("recover", "robust-pca", name)
        assert f"for {noun} use flatmin separate {name}" in run.err

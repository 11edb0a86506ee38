"""Dense noise beside gross errors on the command line: a number, and ``--alpha auto``."""

import json

import numpy as np
import pytest

import flatmin as fm
from flatmin.cli import main


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Return a file with noise, errors, holes and the truth."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((50, 2)) @ rng.standard_normal((2, 40))
    Y = truth + 0.1 * rng.standard_normal(truth.shape)
    Y[rng.random(Y.shape) < 0.05] += 10
    Y[rng.random(Y.shape) < 0.1] = np.nan
    file = tmp_path_factory.mktemp("robust") / "in.npz"
    np.savez(file, Y=Y, truth=truth)
    return file


def recovered(file, alpha, directory):
    """Return the exit status, the summary, the report and the solution."""
    status = main(["recover", "robust-pca", str(file), "--alpha", alpha, "--output", str(directory), "--quiet"])
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    report = (directory / "report.html").read_text(encoding="utf-8")
    return status, summary, report, fm.Solution.load(directory / "solution.npz")


def test_a_number(noisy, tmp_path, capsys):
    status, summary, report, solution = recovered(noisy, "0.001", tmp_path / "out")
    assert (status, summary["status"], summary["certificate"]["objective"]) == (0, "regularized_minimum", "penalised")
    assert (summary["sigma"], summary["noise"]) == (None, None)
    assert "are noise" in report
    assert solution.settings["alpha"] == 0.001
    out = str(tmp_path / "out" / "solution.npz")
    assert main(["certify", "robust-pca", str(noisy), out, "--alpha", "0.001"]) == 0
    assert "loss + 4 alpha" in capsys.readouterr().out


def test_auto(noisy, tmp_path):
    status, summary, report, solution = recovered(noisy, "auto", tmp_path / "out")
    assert (status, summary["status"], summary["noise"]["rank"]) == (0, "regularized_minimum", 2)
    assert summary["sigma"] == pytest.approx(0.1, rel=0.05)
    assert summary["noise"]["relative_error"] < 0.5 * summary["relative_error"]
    wrong = int(np.count_nonzero(solution.parts["outliers"]))
    assert f"calls {wrong} cells wrong" in report
    assert "Do not rely" not in report
    assert "do not rely" not in report

"""``flatmin race``: what it writes and prints, for every family and format, bad input, and going on after Ctrl-C."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module

import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import families
from flatmin.lab.race.competitor import Competitor
from flatmin.lab.race.referee import CompetitorError
from tests.families.sizes import size_options
from tests.imports import WITHOUT_TORCH
from tests.lab.race.small_tasks import finished

PAGE, EXPERIMENT = import_module("flatmin.lab.race.page"), import_module("flatmin.lab.race.race_experiment")

TABLE = (
    "competitor,seed,diverged,loss,scaled_trace,flatness_gap,relative_error,rank,balance,gradients,seconds,"
    "step_size,strength"
)
EXPERIMENTS = {
    "family",
    "shape",
    "n_measurements",
    "flattest",
    "certificate_holds",
    "correlation",
    "competitors",
    "left_out",
    "protocol",
    "seed",
    "version",
    "format_version",
}
SHORT = ("--competitors", "gradient-descent-small,adam", "--budget", 20, "--seeds", 2, "--trials", 2, "--jobs", 1)


@pytest.fixture
def without_page(monkeypatch):
    """Leave the page out, whose pictures take most of the time, where it is not looked at."""
    monkeypatch.setattr(PAGE, "write_race", lambda path, *args, **more: path.write_text("left out"))
    monkeypatch.setattr(PAGE, "write_pictures", lambda folder, result: None)


@pytest.fixture
def problem(flatmin):
    assert flatmin("generate", "matrix-sensing", "p.npz", "--shape", "5,4", "--rank", 1).code == 0
    return "matrix-sensing", "p.npz"


def refuse(constant):
    raise AssertionError(f"{constant} in the summary")


def rows(place):
    with (place / "race.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_what_it_writes_and_prints(flatmin, problem, tmp_path):
    run = flatmin("race", *problem, *SHORT)
    assert run.code == 0
    assert run.err == ""
    place = tmp_path / "p-race"
    pictures = [f"{name}.{ending}" for name in ("courses", "slices") for ending in ("png", "svg")]
    assert sorted(p.name for p in place.iterdir()) == sorted(
        [*pictures, "race.csv", "report.html", "runs.db", "summary.json"]
    )
    assert (place / "race.csv").read_text(encoding="utf-8").splitlines()[0] == TABLE
    table = rows(place)
    assert [(row["competitor"], row["seed"]) for row in table] == [
        (name, seed) for name in ("gradient-descent-small", "adam") for seed in "01"
    ]
    for row in table:
        assert row["diverged"] == "False"
        assert float(row["flatness_gap"]) >= 0
        assert row["gradients"] == "20"
        assert all(np.isfinite(float(row[name])) for name in ("loss", "scaled_trace", "relative_error", "seconds"))
    html = (place / "report.html").read_text(encoding="utf-8")
    for part in ("p.npz", "gradient-descent-small", "Matrix sensing: 5 × 4 unknowns", "flatmin race matrix-sensing"):
        assert part in html
    for part in ("gradient-descent-small", "adam", "0 of 2", "report.html"):
        assert part in run.out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p-race", "p.npz"]


@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize("family", families.names())
def test_every_family(flatmin, tmp_path, family):
    flatmin("generate", family, "p.npz", *size_options(families.find(family), 9, 8))
    run = flatmin("race", family, "p.npz", *SHORT, "--json", "--seed", 3)
    assert run.code == 0
    assert run.err == ""
    summary = json.loads(run.out, parse_constant=refuse)
    assert json.loads((tmp_path / "p-race" / "summary.json").read_text()) == summary
    assert set(summary) == EXPERIMENTS
    assert summary["family"] == family
    assert summary["certificate_holds"] is True
    assert summary["flattest"] > 0
    assert summary["seed"] == 3
    assert summary["protocol"]["seeds"] == [3, 4]
    assert summary["protocol"]["budget"] == 20
    for row in summary["competitors"]:
        assert (row["runs"], row["gradients"]) == (2, 20)
        assert row["flatness_gap"] >= 0
        assert row["relative_error"] >= 0
    assert all(row["relative_error"] for row in rows(tmp_path / "p-race"))


def _cells():
    rng = np.random.default_rng(0)
    X = np.outer(rng.uniform(0.3, 0.9, 8), rng.uniform(0.3, 0.9, 7))
    return np.where(rng.random(X.shape) < 0.2, np.nan, X)


def _write_table(place):
    lines = [",".join("" if np.isnan(v) else f"{v:.6f}" for v in row) for row in _cells()]
    (place / "t.csv").write_text("\n".join(lines) + "\n")
    return ("t.csv",)


def _write_array(place):
    np.save(place / "t.npy", _cells())
    return ("t.npy",)


def _write_market(place):
    rows, cols = np.nonzero(~np.isnan(_cells()))
    entries = "\n".join(f"{i + 1} {j + 1} {_cells()[i, j]}" for i, j in zip(rows, cols, strict=True))
    (place / "t.mtx").write_text(f"%%MatrixMarket matrix coordinate real general\n8 7 {len(rows)}\n{entries}\n")
    return ("t.mtx",)


def _write_image(place):
    cells = _cells()
    layers = np.stack([255 * np.nan_to_num(cells), np.where(np.isnan(cells), 0, 255)], axis=-1).astype(np.uint8)
    pillow.fromarray(layers, "LA").save(place / "t.png")
    return ("t.png",)


def _write_masked(place):
    cells = _cells()
    pillow.fromarray((255 * np.nan_to_num(cells)).astype(np.uint8)).save(place / "t.png")
    pillow.fromarray(np.where(np.isnan(cells), 0, 255).astype(np.uint8)).save(place / "m.png")
    return "t.png", "--mask", "m.png"


def _write_frames(place):
    (place / "t").mkdir()
    for k in range(6):
        pillow.fromarray((200 * np.nan_to_num(_cells()) + k).astype(np.uint8)).save(place / "t" / f"{k}.png")
    return ("t",)


@pytest.mark.sampled(5)
@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize("family", ["matrix-completion", "robust-pca"])
@pytest.mark.parametrize(
    "write", [_write_table, _write_array, _write_market, _write_image, _write_masked, _write_frames]
)
def test_every_format(flatmin, tmp_path, write, family):
    run = flatmin("race", family, *write(tmp_path), *SHORT, "--json")
    assert run.code == 0, run
    assert run.err == ""
    summary = json.loads(run.out)
    assert summary["shape"] == ([56, 6] if write is _write_frames else [8, 7])
    assert all(row["relative_error"] is None for row in summary["competitors"])
    assert {row["relative_error"] for row in rows(tmp_path / "t-race")} == {""}


@pytest.mark.usefixtures("without_page")
def test_patterns_behind_masks(flatmin, tmp_path):
    pillow.fromarray(np.arange(60, 252, 16, dtype=np.uint8).reshape(4, 3)).save(tmp_path / "a.png")
    flatmin("generate", "phase-retrieval", "p.npz", "--image", "a.png", "--masks", 8)
    summary = json.loads(flatmin("race", "phase-retrieval", "p.npz", *SHORT, "--json").out)
    assert summary["shape"] == [4, 3]
    assert summary["competitors"][0]["relative_error"] > 0


@pytest.mark.usefixtures("without_page")
def test_the_loss_of_robust_pca_can_be_chosen(flatmin, tmp_path):
    flatmin("generate", "robust-pca", "p.npz", "--shape", "9,8", "--rank", 1)
    values = [
        json.loads(flatmin("race", "robust-pca", "p.npz", *SHORT, *typed, "--json").out)["flattest"]
        for typed in ((), ("--tau", 1), ("--weight", 0.1))
    ]
    assert len({round(value, 3) for value in values}) == 3
    assert flatmin("race", "matrix-completion", "p.npz", "--tau", 1).code == 2


@pytest.mark.usefixtures("without_page")
def test_without_a_certificate_the_exit_status_is_one(flatmin, tmp_path):
    np.savez(tmp_path / "p.npz", rows=[0, 0, 1, 1], cols=[0, 0, 1, 0], values=[1, 2, 3, 4], shape=[2, 2])
    run = flatmin("race", "matrix-completion", "p.npz", *SHORT, "--json")
    assert run.code == 1
    assert json.loads(run.out)["certificate_holds"] is False
    assert len(rows(tmp_path / "p-race")) == 4


@pytest.mark.usefixtures("without_page")
def test_runs_that_diverge_are_results(flatmin, problem, tmp_path, monkeypatch):
    """Infinite in the table, null in the summary, counted in what is printed."""
    monkeypatch.setattr(Competitor, "tuning_grid", lambda *args: [(1e4, None)])
    short = ("--competitors", "gradient-descent-large,adam", *SHORT[2:])
    run = flatmin("race", *problem, *short)
    assert run.code == 0
    assert "2 of 2" in run.out
    table = rows(tmp_path / "p-race")
    lost = [row for row in table if row["competitor"] == "gradient-descent-large"]
    assert [row["diverged"] for row in lost] == ["True", "True"]
    assert all(0 < float(row["gradients"]) < 20 for row in lost)
    summary = json.loads((tmp_path / "p-race" / "summary.json").read_text(), parse_constant=refuse)
    assert {row["competitor"]: row["diverged"] for row in summary["competitors"]}["gradient-descent-large"] == 2


def test_everyone_who_can_be_named_is_listed(flatmin, tmp_path):
    run = flatmin("race", "--list")
    assert run.code == 0
    for name in ("adam", "gradient-descent-small", "trace-penalty", "sam", "label-noise", "weight-decay", "two-point"):
        assert name in run.out.split()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("matrix-sensing", "none.npz"), ["none.npz", "does not exist"]),
        (("matrix-sensing", "p.npz", "--competitors", "adm"), ["--competitors", "'adm'", "adam"]),
        (("matrix-sensing", "p.npz", "--competitors", ","), ["--competitors", "none"]),
        (("matrix-sensing", "p.npz", "--budget", 0), ["--budget is 0", "at least 1"]),
        (("matrix-sensing", "p.npz", "--budget", "x"), ["--budget", "'x'", "whole number"]),
        (("matrix-sensing", "p.npz", "--seeds", 0), ["--seeds is 0"]),
        (("matrix-sensing", "p.npz", "--trials", 0), ["--trials is 0"]),
        (("matrix-sensing", "p.npz", "--jobs", 0), ["--jobs is 0"]),
        (("matrix-sensing", "p.npz", "--seed", -1), ["--seed is -1"]),
        (("matrix-sensing", "p.npz", "--seed", 1_000_000), ["1000000", "tuning"]),
        (("matrix-sensing", "p.npz", "--weight", 1), ["--weight", "robust-pca"]),
        (("matrix-sensing", "p.npz", "--mask", "p.npz"), ["--mask"]),
        (("matrix-sensing", "p.npz", "--output", "p.npz"), ["--output", "file"]),
        (("matrix-sensing", "p.npz", "--output", "."), ["--output", "contains"]),
        (("matrix-sensing", "zero.npz"), ["all zero"]),
        (("matrix-sensing", "wrong.npz"), ["data b", "(19,)"]),
        (("covariance", "p.npz"), ["'vectors'"]),
        (("sparse-regression", "p.npz"), ["sparse-regression", "matrix-sensing"]),
        (("robust-pca", "t.csv"), ["t.csv", "x"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(flatmin, problem, tmp_path, typed, words):
    A = np.random.default_rng(0).standard_normal((20, 4, 3))
    np.savez(tmp_path / "zero.npz", A=A, b=np.zeros(20))
    np.savez(tmp_path / "wrong.npz", A=A, b=np.zeros(19))
    (tmp_path / "t.csv").write_text("1,2\n3,x\n")
    before = sorted(p.name for p in tmp_path.rglob("*"))
    run = flatmin("race", *typed)
    assert run.code == 2
    assert run.out == ""
    assert run.err.startswith("flatmin: ")
    assert run.err.count("\n") == 1
    for word in words:
        assert word in run.err
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("without_page")
def test_a_second_race_adds_only_what_is_missing(flatmin, problem, tmp_path, monkeypatch):
    flatmin("race", *problem, *SHORT)
    place = tmp_path / "p-race"
    first, table = finished(place / "runs.db"), rows(place)
    assert len(first) == 8
    (place / "runs.db-wal-old").touch()
    more = [*SHORT[:1], "gradient-descent-small,adam,sgd", *SHORT[2:5], 3, *SHORT[6:]]
    assert flatmin("race", *problem, *more).code == 0
    second = finished(place / "runs.db")
    assert first.items() <= second.items()
    assert len(second) == 15
    assert not (place / "runs.db-wal-old").exists()
    kept = [row for row in rows(place) if row["competitor"] != "sgd" and row["seed"] != "2"]
    assert kept == table
    flatmin("generate", "matrix-sensing", "p.npz", "--shape", "5,4", "--rank", 1, "--seed", 9)
    flatmin("race", *problem, *SHORT)
    assert len(finished(place / "runs.db")) == 8, "runs of another problem are not kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p-race", "p.npz"]


@pytest.mark.usefixtures("without_page", "problem")
def test_other_directories_are_left_alone(flatmin, tmp_path):
    """Someone's folder, and results of `recover`."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    flatmin("recover", "matrix-sensing", "p.npz", "--quiet")
    for place in ("mine", "p-flat"):
        run = flatmin("race", "matrix-sensing", "p.npz", *SHORT, "--output", place)
        assert run.code == 2
        assert "choose another directory" in run.err
    assert (tmp_path / "mine" / "thesis.txt").exists()
    (tmp_path / "p-race.partial").mkdir()
    (tmp_path / "p-race.partial" / "thesis.txt").touch()
    run = flatmin("race", "matrix-sensing", "p.npz", *SHORT)
    assert run.code == 2
    assert "p-race.partial" in run.err
    assert (tmp_path / "p-race.partial" / "thesis.txt").exists()
    assert flatmin("race", "matrix-sensing", "p.npz", *SHORT, "--output", "new/folder", "--quiet").out == ""
    assert (tmp_path / "new" / "folder" / "race.csv").exists()


def _interrupted(after):
    """Return a stand-in for a run that is interrupted after a while."""
    made, run = [], EXPERIMENT.judged_run

    def running(*args):
        if len(made) == after:
            raise KeyboardInterrupt
        made.append(args)
        return run(*args)

    return running


@pytest.mark.usefixtures("without_page")
def test_runs_in_the_former_format_are_refused_in_one_sentence(flatmin, problem, tmp_path):
    flatmin("race", *problem, *SHORT)
    (tmp_path / "p-race" / "runs.db").rename(tmp_path / "moved.db")
    (tmp_path / "p-race" / "runs").mkdir()
    run = flatmin("race", *problem, *SHORT)
    assert run.code == 2
    assert "former format" in run.err
    assert run.err.count("\n") == 1
    assert not (tmp_path / "p-race.partial").exists()


@pytest.mark.usefixtures("without_page")
@pytest.mark.parametrize("quiet", [False, True])
def test_what_an_interrupted_race_finished_is_used_again(flatmin, problem, tmp_path, monkeypatch, quiet):
    more = ("--quiet",) if quiet else ()
    with monkeypatch.context() as patch:
        patch.setattr(EXPERIMENT, "judged_run", _interrupted(after=5))
        run = flatmin("race", *problem, *SHORT, *more)
    assert run.code == 130
    kept = finished(tmp_path / "p-race.partial" / "runs.db")
    assert len(kept) == 5
    assert run.err == "" if quiet else "5 runs are kept" in run.err
    assert not (tmp_path / "p-race").exists()
    assert flatmin("race", *problem, *SHORT).code == 0
    assert kept.items() <= finished(tmp_path / "p-race" / "runs.db").items()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p-race", "p.npz"]


@pytest.mark.usefixtures("without_page")
def test_an_interruption_before_the_first_run_leaves_nothing(flatmin, problem, tmp_path, monkeypatch):
    monkeypatch.setattr(EXPERIMENT, "judged_run", _interrupted(after=0))
    run = flatmin("race", *problem, *SHORT, "--output", "new/folder")
    assert (run.code, run.out, run.err) == (130, "", "")
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_a_page_that_cannot_be_written_loses_no_runs(flatmin, problem, tmp_path, monkeypatch):
    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PAGE, "write_race", full)
    run = flatmin("race", *problem, *SHORT)
    assert run.code == 2
    assert "No space left" in run.err
    assert len(finished(tmp_path / "p-race.partial" / "runs.db")) == 8
    assert not (tmp_path / "p-race").exists()


@pytest.mark.usefixtures("without_page")
def test_a_competitor_that_fails_by_itself_is_one_line_and_loses_no_runs(flatmin, problem, tmp_path, monkeypatch):
    run = EXPERIMENT.judged_run

    def running(competitor, *args):
        if competitor.name == "adam":
            raise CompetitorError("adam failed with seed 0 and step size 0.1: no such method")
        return run(competitor, *args)

    with monkeypatch.context() as patch:
        patch.setattr(EXPERIMENT, "judged_run", running)
        failed = flatmin("race", *problem, *SHORT)
    assert failed.code == 2
    assert failed.err.count("\n") == 1
    assert "adam failed" in failed.err
    assert "p-race.partial" in failed.err
    assert len(finished(tmp_path / "p-race.partial" / "runs.db")) == 2
    assert not (tmp_path / "p-race").exists()
    assert flatmin("race", *problem, *SHORT).code == 0
    assert not (tmp_path / "p-race.partial").exists()


LINE = "import sys; from flatmin.cli import main; sys.exit(main())"


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_keeps_their_runs(flatmin, problem, tmp_path):
    """As a terminal does it: the signal reaches the command and its helpers, all of which hold its stderr."""
    long = ("--competitors", "gradient-descent-small,adam,sgd", "--budget", "1000", "--jobs", "2")
    command = [sys.executable, "-c", LINE, "race", *problem, *long]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    partial, deadline = tmp_path / "p-race.partial", time.monotonic() + 120
    while time.monotonic() < deadline and len(finished(partial / "runs.db")) < 2:
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130
    assert said.count("\n") == 1
    assert "kept in" in said
    assert "goes on from there" in said
    assert 2 <= len(finished(partial / "runs.db")) < 30
    assert not (tmp_path / "p-race").exists()


def test_without_torch_one_sentence_says_what_to_install(flatmin, problem, tmp_path):
    line = f"{WITHOUT_TORCH}\n{LINE}"
    done = subprocess.run([sys.executable, "-c", line, "race", *problem], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == ("flatmin: flatmin.nn needs PyTorch, which is not installed: pip install 'flatmin[torch]'\n")
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


@pytest.mark.usefixtures("without_page")
def test_progress_is_shown_on_a_terminal_only(flatmin, problem, monkeypatch):
    assert flatmin("race", *problem, *SHORT).err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = flatmin("race", *problem, *SHORT, "--output", "again").err
    assert "1 of 8 runs  tuned gradient-descent-small" in shown
    assert "8 of 8 runs  ran adam" in shown
    assert shown.endswith("\r\x1b[K")
    assert "\n" not in shown
    assert flatmin("race", *problem, *SHORT, "--output", "third", "--quiet").err == ""

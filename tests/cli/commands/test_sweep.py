"""``flatmin sweep``."""

import csv
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from flatmin.cli import main
from flatmin.cli.commands.sweep import Alarm, SweepPace
from flatmin.lab import Processes, Store, recipes

CLI = "import sys; from flatmin.cli import main; sys.exit(main())"
SMALL = 'recipe = "figure-3"\nrepetitions = 2\n[only]\npanel = ["sensing"]\n[grid]\nd = [6]\n'


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe of a moment, in a directory that is the working one."""
    (tmp_path / "small.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    return "small.toml"


def entries(place):
    return sorted(path.name for path in place.iterdir())


def test_a_sweep_writes_its_store_and_its_table_and_goes_on_where_it_stopped(recipe, tmp_path, capsys):
    command = ["sweep", recipe, "--store", "trials.db", "--jobs", "1", "--export", "out.csv"]
    assert main(command) == 0
    first = capsys.readouterr()
    count = int(re.match(r"figure-3: (\d+) trials, all done\n", first.out)[1])
    assert first.err == ""
    assert entries(tmp_path) == ["out.csv", "small.toml", "trials.db"]
    with open("out.csv", newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == count
    assert list(table[0])[:9] == ["recipe", "panel", "method", "d", "rank", "m", "repetition", "seed", "status"]
    assert list(table[0])[-1] == "seconds"
    assert {row["method"] for row in table} == {"flat", "nuclear"}
    with Store("trials.db") as store:
        before = store.results(recipes.find("figure-3"))
    assert main(command) == 0
    with Store("trials.db") as store:
        assert store.results(recipes.find("figure-3")) == before


def test_a_quick_sweep_starts_other_processes_only_if_jobs_are_given(recipe, monkeypatch):
    started = []

    class Counted(Processes):
        def __init__(self, count):
            started.append(count)
            super().__init__(count)

    monkeypatch.setattr("flatmin.lab.Processes", Counted)
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    for options in (["--quick"], ["--quick", "--jobs", "2"], ["--jobs", "1"], []):
        assert main(["sweep", recipe, "--store", "trials.db", "--quiet", *options]) == 0
    assert started == [2, 3]


def test_several_processes_and_parquet(recipe, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main(["sweep", recipe, "--store", "trials.db", "--jobs", "2", "--export", "out.parquet", "--quiet"]) == 0
    table = parquet.read_table("out.parquet").to_pylist()
    assert table
    assert all(row["status"] == "done" and (row["error"] < 1e-6) == row["success"] for row in table)


def test_an_adaptive_sweep_makes_fewer(recipe, capsys):
    assert main(["sweep", recipe, "--store", "full.db", "--jobs", "1"]) == 0
    assert main(["sweep", recipe, "--store", "few.db", "--jobs", "1", "--adaptive"]) == 0
    full, few = (int(n) for n in re.findall(r"(\d+) trials", capsys.readouterr().out))
    assert 0 < few <= full / 3


def test_failures_are_shown_and_are_the_exit_status(recipe, capsys, monkeypatch):
    monkeypatch.setattr("flatmin.lab.recipes._recovery.flat_minimum", out_of_luck)
    assert main(["sweep", recipe, "--store", "trials.db", "--jobs", "1", "--export", "out.csv"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"figure-3: \d+ trials, \d+ failed\n  \d+ × RuntimeError: out of luck \(test_sweep", out)
    assert "first: panel sensing, method " in out
    with open("out.csv", newline="") as stream:
        assert {row["status"] for row in csv.DictReader(stream)} == {"failed"}


def out_of_luck(*_, **__):
    raise RuntimeError("out of luck")


def test_failed_trials_are_made_again_when_asked(recipe, capsys, monkeypatch):
    with monkeypatch.context() as unlucky:
        unlucky.setattr("flatmin.lab.recipes._recovery.flat_minimum", out_of_luck)
        assert main(["sweep", recipe, "--store", "trials.db", "--jobs", "1"]) == 1
    assert main(["sweep", recipe, "--store", "trials.db", "--jobs", "1"]) == 1
    assert main(["sweep", recipe, "--store", "trials.db", "--jobs", "1", "--retry"]) == 0


def test_other_versions_and_other_sources_are_mentioned(recipe, capsys):
    command = ["sweep", recipe, "--store", "trials.db", "--jobs", "1"]
    assert main(command) == 0
    with Store("trials.db") as store, store.transaction() as database:
        database.execute("UPDATE trials SET version = 'other' WHERE repetition = 0")
        database.execute("""UPDATE sessions SET facts = '{"library": "another"}'""")
    capsys.readouterr()
    assert main(command) == 0
    said = capsys.readouterr().err
    assert re.search(r"\d+ trials of another version of figure-3 in trials.db stay there and are not mixed in", said)
    assert re.search(r"\d+ trials in trials.db were made with another state of flatmin's source", said)


def test_the_list_has_every_recipe_with_its_size(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["sweep", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    begun = [line.split()[0] for line in lines if line[:1].strip()]
    assert begun == ["name", *recipes.names(), "What"]
    assert len(lines) < 4 * len(recipes.names())
    full, quick = (len(list(r.trials())) for r in (recipes.find("figure-4"), recipes.find("figure-4").quickly()))
    (line,) = (line for line in lines if line.startswith("figure-4 "))
    assert line.split()[-2:] == [str(full), str(quick)]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("arguments", [["--list", "figure-3"], ["figure-3", "--list"]])
def test_the_list_of_one_recipe_has_its_claim_and_what_refutes_it(capsys, arguments):
    assert main(["sweep", *arguments]) == 0
    out, recipe = " ".join(capsys.readouterr().out.split()), recipes.find("figure-3")
    for words in (recipe.title, f"Claim: {recipe.claim}", f"Refuted by: {recipe.refuted_by}"):
        assert words in out
    assert f"{len(list(recipe.trials()))} trials, {len(list(recipe.quickly().trials()))} with --quick" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "--store", "x.db"], "there is no recipe 'none', expected one of adapter-decay, "),
        (["none", "--list"], "there is no recipe 'none', expected one of adapter-decay, "),
        (["none.toml", "--store", "x.db"], "the recipe none.toml does not exist"),
        (["figure-3"], "Missing option '--store'"),
        ([], "Missing argument 'RECIPE'"),
        (["figure-3", "--store", "none/x.db"], "would stand in none, which is no directory; make it first"),
        (["figure-3", "--store", "."], "is a directory, expected a file"),
        (["figure-3", "--store", "small.toml"], "is no store of sweeps, expected one or a new name"),
        (["figure-3", "--store", "x.db", "--jobs", "0"], "--jobs is 0, expected a whole number of at least 1"),
        (["figure-3", "--store", "x.db", "--jobs", "two"], "found 'two', expected a whole number"),
        (["figure-3", "--store", "x.db", "--jobs", "2", "--dask", "y"], "--jobs and --dask exclude each other"),
        (["figure-3", "--store", "x.db", "--export", "out.txt"], "has the ending '.txt', expected .csv or .parquet"),
        (["figure-3", "--store", "x.db", "--export", "none/out.csv"], "is no directory; make it first"),
        (["figure-3", "--store", "x.csv", "--export", "x.csv"], "--export x.csv is the --store"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(recipe, tmp_path, capsys, arguments, message):
    assert main(["sweep", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert message in said.err
    assert entries(tmp_path) == ["small.toml"]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:notaport"])
def test_a_scheduler_that_cannot_be_is_one_line_and_nothing_is_written(recipe, tmp_path, address):
    pytest.importorskip("distributed")
    command = [sys.executable, "-c", CLI, "sweep", recipe, "--store", "x.db", "--dask", address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"flatmin: no Dask scheduler answers at --dask {address}: ")
    assert done.stderr.count("\n") == 1
    assert entries(tmp_path) == ["small.toml"]


@pytest.mark.slow
def test_a_cluster_computes(recipe):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        command = ["sweep", recipe, "--store", "x.db", "--dask", cluster.scheduler_address, "--export", "there.csv"]
        done = subprocess.run([sys.executable, "-c", CLI, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert main(["sweep", recipe, "--store", "y.db", "--jobs", "1", "--export", "here.csv", "--quiet"]) == 0
    with open("there.csv", newline="") as there, open("here.csv", newline="") as here:
        for one, other in zip(csv.DictReader(there), csv.DictReader(here), strict=True):
            assert (one["seed"], one["m"], one["success"]) == (other["seed"], other["m"], other["success"])


# Interruption


def interrupted(jobs, times, tmp_path):
    """Start a long sweep, press Ctrl-C when something is stored, and return what it said."""
    command = [sys.executable, "-c", CLI, "sweep", "figure-3", "--store", "trials.db", "--jobs", str(jobs)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for_trials(tmp_path / "trials.db", 3)
    begun = time.monotonic()
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err, time.monotonic() - begun


def wait_for_trials(file, count):
    for _ in range(600):
        time.sleep(0.05)
        if file.exists() and file.stat().st_size:
            with Store(file) as store:
                if len(store.results(recipes.find("figure-3"))) >= count:
                    return
    pytest.fail("no trial was stored")


@pytest.mark.sampled(1)
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize(("jobs", "times"), [(1, 1), (2, 1), pytest.param(2, 2, marks=pytest.mark.slow)])
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path, jobs, times):
    status, out, err, _ = interrupted(jobs, times, tmp_path)
    assert (status, out) == (130, "")
    with Store(tmp_path / "trials.db") as store:
        there = len(store.results(recipes.find("figure-3")))
        assert store.select("SELECT count(*) FROM claims") == [(0,)]
    total = len(recipes.find("figure-3").cells) * 10
    said = f"flatmin: stopped; {there} of {total} trials are in trials.db, the same command goes on from there\n"
    assert err == said
    assert there >= 3
    assert entries(tmp_path) == ["trials.db"]


def test_a_place_that_cannot_compute_is_told_once_it_has_lasted(capsys):
    now = iter([0.0, 0.0, 4.0, 5.0, 9.0, 10.0, 11.0, 12.0, 20.0])
    alarm = Alarm(lambda: next(now))
    well, trouble = {"done": 1}, {"done": 1, "trouble": "no worker"}
    for state, said in [
        (well, ""),
        (trouble, ""),
        (trouble, ""),
        (trouble, "flatmin: no worker; the sweep waits, and Ctrl-C stops it\n"),
        (trouble, ""),
        (well, "flatmin: the sweep goes on\n"),
        (well, ""),
        (trouble, ""),
        (trouble, "flatmin: no worker; the sweep waits, and Ctrl-C stops it\n"),
    ]:
        alarm(state)
        assert capsys.readouterr().err == said


def test_the_pace_tells_the_time_left():
    now = iter([100.0, 110.0, 110.0])  # processes took long to start
    pace = SweepPace(lambda: next(now))
    assert list(pace({"done": 50, "total": 100, "computed": 1, "failed": 0})) == ["50 of 100 trials"]
    state = {"done": 55, "total": 100, "computed": 6, "failed": 0}
    assert list(pace(state)) == ["55 of 100 trials", "about 90 s left"]
    assert list(pace(state | {"failed": 2}))[1:] == ["2 failed", "about 90 s left"]
    waiting = list(pace(state | {"waiting": 1}))
    assert waiting == ["55 of 100 trials", "waiting for 1 trial of another process"]
    assert list(pace(state | {"trouble": "no worker"})) == ["55 of 100 trials", "no worker"]
    assert list(pace(state | {"done": 100})) == ["100 of 100 trials"]

"""``flatmin report``, and pages and figures from ``flatmin sweep``."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, redirect_stderr
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from flatmin.cli import main
from flatmin.errors import InputError
from flatmin.lab import Result, Store, read_stores, recipes
from flatmin.lab.pages.findings import Finding
from flatmin.lab.recipe import RECIPES
from tests.cli.commands.test_sweep import CLI, SMALL, entries
from tests.lab.experiments import recipe_of
from tests.lab.findings import check

#: Two cells of Figure 3.
SMALLEST = [{"panel": ["sensing"], "method": ["flat"], "d": [6], "rank": [2], "m": [30, 40]}]
#: A reason that would be markup if it were not escaped.
EVIL = "ValueError: <script>alert(1)</script> (figure_3.py, line 9)"


def of_sensing(count=None):
    """Return made-up results of a part of Figure 3, as they are after a moment of a sweep."""
    recipe = recipes.find("figure-3").quickly()
    trials = [trial for trial in recipe.trials() if trial.parameters["panel"] == "sensing"]
    return [result_of(trial) for trial in trials[:count]]


def result_of(trial, reason=None):
    """Return what a cell of Figure 3 would return, or that it failed."""
    success = bool(trial.parameters["m"] > 7 * trial.parameters["d"])
    found = {"error": 1e-9 if success else 0.3, "success": success, "rank_found": 2, "iterations": 9}
    found |= {"solved": "unique_flat_minimum", "gap": 1e-12, "unique": success}
    return Result(trial, {} if reason else found, 0.5, reason)


def store_of(file, results, recipe=None):
    """Write a store."""
    with Store(file) as store:
        for result in results:
            store.record(recipe or recipes.find("figure-3"), result)
    return file


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe_table():
    """Return the recipes by name, for tests that replace one."""
    RECIPES.own()
    return RECIPES._own


@pytest.fixture
def plain(monkeypatch):
    """Figure 3 without claims and figures, where a test is about neither."""
    recipe = replace(recipes.find("figure-3"), judge=lambda evidence: [], show=lambda evidence: [])
    monkeypatch.setitem(recipe_table(), "figure-3", recipe)


def test_a_store_becomes_a_page_and_stays_as_it_is(place, plain, capsys):
    store_of("trials.db", of_sensing())
    before = (place / "trials.db").read_bytes()
    assert main(["report", "trials.db"]) == 0
    said = capsys.readouterr()
    assert re.match(rf"figure-3: .*; {len(of_sensing())} trials, \d+ of the grid's \d+\n", said.out)
    assert said.out.endswith("report  trials-report.html\n")
    assert said.err == ""
    assert entries(place) == ["trials-report.html", "trials.db"]
    assert (place / "trials.db").read_bytes() == before
    text = check((place / "trials-report.html").read_text())
    assert "Experiments in trials" in text
    assert "flatmin report trials.db" in text
    assert main(["report", "trials.db", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_verdicts_are_no_matter_of_the_exit_status_and_are_printed(place, capsys, monkeypatch):
    from flatmin.lab.claims import Claim

    claims = [Claim.exact("one", 1.0, below=2), Claim.exact("three", 3.0, below=2), Claim("four", 2.1, 1, 3, below=2)]
    claims.append(Claim.open("five", below=2))
    monkeypatch.setitem(
        recipe_table(),
        "figure-3",
        replace(recipes.find("figure-3"), judge=lambda evidence: claims, show=lambda evidence: []),
    )
    trials = list(recipes.find("figure-3").trials())
    store_of("trials.db", [result_of(trial) for trial in trials[:10]])
    assert main(["report", "trials.db"]) == 0
    part = f"10 of {len(trials)} trials"
    assert capsys.readouterr().out.splitlines() == [
        f"figure-3: 1 claim holds, 1 fails, 1 is undecided and 1 is not tested here; {part}",
        "  fails      three: 3; expected at most 2.",
        "  undecided  four: 2.1, interval 1 to 3; expected at most 2.",
        f"Only a part of the grid has been computed: figure-3 ({part}). Verdicts may change with the others.",
        "report  trials-report.html",
    ]


def test_a_refusal_to_judge_is_printed_and_a_complete_grid_is_not_called_a_part(place, capsys, monkeypatch):
    def refuse(evidence):
        raise InputError("there is no torch")

    recipe = replace(recipes.find("figure-3"), judge=refuse, show=lambda evidence: [], grid=SMALLEST, repetitions=2)
    monkeypatch.setitem(recipe_table(), "figure-3", recipe)
    store_of("trials.db", [result_of(trial) for trial in recipe.trials()])
    assert main(["report", "trials.db"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "figure-3: there is no claim; 2 trials",
        "  The claims could not be judged: there is no torch.",
        "report  trials-report.html",
    ]


def test_an_interrupted_sweep_can_be_reported_whatever_is_there(place):
    """Nothing, a single trial and most of them are all evidence, also where all that there is has failed."""
    for count in (1, 30):
        store_of(f"{count}.db", of_sensing(count))
        assert main(["report", f"{count}.db"]) == 0
        assert f"over {count} trial" in check((place / f"{count}-report.html").read_text())
    store_of("lost.db", [result_of(result.trial, EVIL) for result in of_sensing(3)])
    assert main(["report", "lost.db"]) == 0
    html = (place / "lost-report.html").read_text()
    assert "3 trials of 3 failed, for 1 reason." in check(html)
    assert "<script>alert" not in html


def test_stores_of_a_directory_are_put_together(place, plain, capsys):
    results = of_sensing(20)
    (place / "evidence").mkdir()
    store_of("evidence/a.db", [*results[:12], *(result_of(r.trial, "OSError: x") for r in results[12:14])])
    store_of("evidence/b.sqlite", results[8:])
    recipe = recipes.find("depth")
    store_of("evidence/c.db", [Result(next(recipe.trials()), reason="OSError: y")], recipe)
    (place / "evidence" / "notes.db").write_text("no store")
    (place / "evidence" / "empty.db").write_text("")
    stranger(place / "evidence" / "other.db")
    (place / "evidence" / "folder.db").mkdir()
    listed = entries(place / "evidence")
    reading = read_stores("evidence")
    assert [(e.name, len(e), len(e.failed)) for e in reading.evidence] == [
        ("depth", 0, 1),
        ("figure-3", 20, 0),
    ]
    assert reading.provenance["figure-3"].repeated == 6
    assert reading.provenance["figure-3"].files == ("a.db", "b.sqlite")
    assert sorted(r.trial.key for r in reading.evidence[1].results) == sorted(r.trial.key for r in results)
    assert main(["report", "evidence", "--output", "page.html"]) == 0
    assert entries(place) == ["evidence", "page.html"]
    assert entries(place / "evidence") == listed
    assert "over 21 trials of 2 experiments" in check((place / "page.html").read_text())
    assert main(["report", str(place / "evidence"), "--quiet"]) == 0
    os.chdir("evidence")
    assert main(["report", ".", "--quiet"]) == 0
    assert (place / "evidence-report.html").exists()
    assert (place / "evidence" / "evidence-report.html").exists()


def test_other_versions_and_strangers_are_left_out_and_said(place, plain, capsys):
    store_of("trials.db", of_sensing(9))
    with Store("trials.db") as store, store.transaction() as database:
        database.execute("UPDATE trials SET version = 'other' WHERE rowid <= 4")
    own = recipe_of()
    store_of("trials.db", [Result(next(own.trials()), {"value": 1})], own)
    assert main(["report", "trials.db"]) == 0
    out = capsys.readouterr().out
    assert re.match(r"figure-3: .*; 5 trials, \d of the grid's \d+\n", out)
    text = check((place / "trials-report.html").read_text())
    for said in (
        "4 trials of figure-3 are left out: made by another version of the recipe",
        "1 trial of made is left out: no recipe of this name is known here.",
    ):
        assert said in out
        assert said in text


def test_a_store_in_use_is_read_at_one_moment(place):
    """A sweep goes on meanwhile; what it has finished is there, and it is not held up."""
    command = [sys.executable, "-m", "tests.lab.experiments", "trials.db", "1"]
    paths = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as sweep:
        assert sweep.stdout.readline() == b"1\n", sweep.communicate()
        notes, deadline = [], time.monotonic() + 60
        while len(notes) < 5 or notes[0] == notes[-1]:
            assert time.monotonic() < deadline, notes
            with pytest.raises(InputError, match="no recipe of this name is known here") as error:
                read_stores("trials.db")
            notes.append(int(re.search(r"(\d+) trials? of made", str(error.value))[1]))
            time.sleep(0.05)
        sweep.kill()
    assert notes == sorted(notes)
    log = (place / "trials.db-wal").read_bytes()
    with pytest.raises(InputError, match=r"\d+ trials of made are left out"):
        read_stores("trials.db")
    assert (place / "trials.db-wal").read_bytes() == log


def killed_in_the_middle(file, results):
    """Write a store and leave it as after a kill: the last trials are in the log beside it only."""
    with Store(file) as store:
        for result in results:
            store.record(recipes.find("figure-3"), result)
        copies = {name: name.read_bytes() for name in (file, file.with_name(f"{file.name}-wal"))}
    for name, content in copies.items():
        name.write_bytes(content)


def test_a_store_of_a_killed_sweep_is_read_with_its_log_also_where_nothing_may_be_written(place):
    folder = place / "kept"
    folder.mkdir()
    killed_in_the_middle(folder / "a.db", of_sensing(6))
    assert (folder / "a.db-wal").stat().st_size > 0
    store_of(folder / "b.db", of_sensing(4))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"a.db", "a.db-wal", "b.db"}
    assert len(read_stores(folder / "b.db").evidence[0]) == 4
    assert read_stores(folder).provenance["figure-3"].repeated == 4
    (place / "link.db").symlink_to(folder / "a.db")
    assert len(read_stores("link.db").evidence[0]) == 6
    (folder / "a.db-shm").unlink()
    folder.chmod(0o555)
    place.chmod(0o755)
    counts = said_by_nobody(place, lambda: [len(read_stores(folder / name).evidence[0]) for name in ("a.db", "b.db")])
    folder.chmod(0o755)
    assert counts == [6, 4]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_that_may_not_be_read_is_named_and_the_others_are_read(place):
    folder = place / "kept"
    folder.mkdir()
    place.chmod(0o755)
    store_of(folder / "secret.db", of_sensing(6))
    (folder / "secret.db").chmod(0)

    def refusal():
        with pytest.raises(InputError) as caught:
            read_stores(folder)
        return str(caught.value)

    said = f"{folder}/secret.db is left out: it cannot be read (Permission denied)"
    assert said_by_nobody(place, refusal).endswith(f"flatmin sweep makes them; {said}")
    store_of(folder / "a.db", of_sensing(4))

    def found():
        reading = read_stores(folder)
        return [len(evidence) for evidence in reading.evidence], reading.notes

    assert said_by_nobody(place, found) == ([4], [f"{said}."])


def test_a_log_that_may_not_be_read_is_one_sentence(place):
    killed_in_the_middle(place / "a.db", of_sensing(6))
    (place / "a.db-wal").chmod(0)
    place.chmod(0o555)

    def refusal():
        with pytest.raises(InputError) as caught:
            read_stores(place / "a.db")
        return str(caught.value)

    said = said_by_nobody(place, refusal)
    place.chmod(0o755)
    assert said.startswith(f"the store {place}/a.db cannot be read: ")


def said_by_nobody(place, function):
    """Return what a function returns where permissions count: to root they do not."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has other permissions")
    if os.geteuid() != 0:
        return function()
    for parent in place.parents[:3]:  # those of pytest, of its run, and of its process
        parent.chmod(parent.stat().st_mode | 0o055)
    return as_nobody(function)


def as_nobody(function):
    """Return what a function returns where the process may write nothing of root's."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgid(65534)
            os.setuid(65534)
            os.write(write, repr(function()).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as stream:
        return eval(stream.read(), {"InputError": InputError, "PermissionError": PermissionError})


def stranger(file):
    """Make a database of something else."""
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE trials (recipe TEXT, version TEXT)")


def former(file):
    """Make a store whose trials are all of another version."""
    store_of(file, of_sensing(2))
    with Store(file) as store, store.transaction() as database:
        database.execute("UPDATE trials SET version = 'other'")


def of_another_format(file):
    """Make a store of a flatmin to come."""
    store_of(file, of_sensing(2))
    with Store(file) as store:
        store.select("PRAGMA user_version = 9")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'DIR_OR_STORE'"),
        (["none.db"], "there is no none.db, expected a store of sweeps or a directory of them"),
        (["words.txt"], "words.txt is no store of sweeps, expected one\n"),
        (["other.db"], "other.db is no store of sweeps, expected one\n"),
        (["bare"], "the directory bare has no store of sweeps, expected at least one; flatmin sweep makes them"),
        (["empty.db"], "empty.db has no trials to report: no trial is finished yet; flatmin sweep makes some"),
        (["new.db"], "new.db has no trials to report: no trial is finished yet"),
        (["former.db"], "2 trials of figure-3 are left out: made by another version of the recipe"),
        (["future.db"], "the store future.db has format version 9, newer than 1"),
        (["torn.db"], "the store torn.db cannot be read: "),
        (["good.db", "--output", "bare"], "the page bare is a directory, expected a file"),
        (["good.db", "--output", "none/x.html"], "would stand in none, which is no directory; make it first"),
        (["good.db", "--output", "words.txt"], "exists and is no former report of flatmin; choose another name"),
        (["good.db", "--output", "good.db"], "exists and is no former report of flatmin; choose another name"),
        (["good.db", "--output", "/dev/null"], "the page /dev/null is no regular file, expected one or a new name"),
        (["good.db", "--output", "/proc/x.html"], "the page /proc/x.html cannot be written: "),
        (["good.db", "--figures", "words.txt"], "words.txt is a file, expected a directory or a new name"),
        (["good.db", "--figures", "words.txt/a"], "words.txt is a file, expected a directory or a new name"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(place, plain, capsys, arguments, message):
    store_of("good.db", of_sensing(3))
    store_of("new.db", [])
    former("former.db")
    stranger("other.db")
    of_another_format("future.db")
    (place / "torn.db").write_bytes((place / "good.db").read_bytes()[:5000])
    (place / "bare").mkdir()
    (place / "empty.db").write_text("")
    (place / "words.txt").write_text("my own words")
    before = {path.name: path.is_file() and path.read_bytes() for path in place.iterdir()}
    assert main(["report", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert message in said.err
    assert {path.name: path.is_file() and path.read_bytes() for path in place.iterdir()} == before


def test_a_damaged_former_page_is_replaced_and_a_stranger_is_not(place, plain):
    store_of("a.db", of_sensing(3))
    (place / "a-report.html").write_text("")
    assert main(["report", "a.db", "--quiet"]) == 0
    whole = (place / "a-report.html").read_text()
    (place / "a-report.html").write_text(whole[: len(whole) // 2])
    assert main(["report", "a.db", "--quiet"]) == 0
    assert (place / "a-report.html").read_text() == whole
    (place / "a-report.html").write_text("<!doctype html><title>Mine</title>")
    assert main(["report", "a.db", "--quiet"]) == 2


INTERRUPTED = """
import sys, time
from dataclasses import replace
from flatmin.cli import main
from flatmin.lab import recipes
from flatmin.lab.recipes import figure_3

def judge(evidence):
    print("ready", flush=True)
    for _ in range(6000):  # a signal just before a long sleep would be seen after it
        time.sleep(0.01)

figure_3.RECIPE = replace(figure_3.RECIPE, judge=judge)
sys.exit(main())
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interruption_leaves_the_former_page_and_nothing_else(place, plain, stop):
    store_of("a.db", of_sensing(3))
    assert main(["report", "a.db", "--quiet"]) == 0
    whole = (place / "a-report.html").read_text()
    command = [sys.executable, "-c", INTERRUPTED, "report", "a.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130 if stop == signal.SIGINT else 143, "", "")
    assert entries(place) == ["a-report.html", "a.db"]
    assert (place / "a-report.html").read_text() == whole


def test_a_sweep_gives_page_figures_and_table_in_one_command(place, capsys, monkeypatch):
    recipe = recipes.find("figure-3")
    monkeypatch.setitem(recipe_table(), "figure-3", replace(recipe, show=lambda evidence: recipe.show(evidence)[:1]))
    (place / "small.toml").write_text(SMALL)
    command = ["sweep", "small.toml", "--store", "trials.db", "--jobs", "1", "--export", "out.csv"]
    assert main([*command, "--report", "page.html", "--figures", "pictures"]) == 0
    out = capsys.readouterr().out
    count = int(re.match(r"figure-3: (\d+) trials, all done\n", out)[1])
    assert re.search(rf"figure-3: .*; {count} trials\n", out)
    assert "report  page.html\nfigures pictures: " in out
    assert entries(place) == ["out.csv", "page.html", "pictures", "small.toml", "trials.db"]
    text = check((place / "page.html").read_text())
    assert f"over {count} trials of 1 experiment." in text
    assert "flatmin sweep small.toml --store trials.db" in text
    made = entries(place / "pictures")
    (figure,) = Finding.from_evidence(read_stores("trials.db").evidence[0]).displays
    assert made == [f"figure-3-{figure.name}.png", f"figure-3-{figure.name}.svg"]
    assert figure.title in text
    assert main(["report", "trials.db", "--figures", "again", "--quiet"]) == 0
    assert entries(place / "again") == made


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--report", "none/page.html"], "would stand in none, which is no directory; make it first"),
        (["--report", "small.toml"], "exists and is no former report of flatmin; choose another name"),
        (["--report", "x.db"], "the page x.db is the store or the table, expected another file"),
        (["--report", "o.csv", "--export", "o.csv"], "the page o.csv is the store or the table"),
        (["--figures", "small.toml"], "small.toml is a file, expected a directory or a new name"),
        (["--figures", "p", "--report", "p"], "the --figures p would stand where p is to be, expected another name"),
        (["--figures", "p/q", "--report", "p"], "the --figures p/q would stand where p is to be"),
        (["--figures", "x.db"], "the --figures x.db would stand where x.db is to be, expected another name"),
        (["--figures", "o.csv", "--export", "o.csv"], "the --figures o.csv would stand where o.csv is to be"),
    ],
)
def test_a_sweep_refuses_bad_places_before_it_begins(place, capsys, arguments, message):
    (place / "small.toml").write_text(SMALL)
    assert main(["sweep", "small.toml", "--store", "x.db", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert entries(place) == ["small.toml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["sweep", "small.toml", "--store", "x.db", "--report", "shut/p.html"],
            "the page shut/p.html cannot be written",
        ),
        (
            ["sweep", "small.toml", "--store", "x.db", "--export", "shut/o.csv"],
            "the --export shut/o.csv cannot be written",
        ),
        (["sweep", "small.toml", "--store", "x.db", "--figures", "shut"], "the --figures shut cannot be written"),
        (["report", "a.db", "--output", "p.html", "--figures", "shut/new"], "the --figures shut/new cannot be written"),
    ],
)
def test_a_directory_that_is_shut_is_found_before_anything_is_made(place, plain, arguments, message):
    (place / "small.toml").write_text(SMALL)
    store_of("a.db", of_sensing(3))
    (place / "shut").mkdir(mode=0o555)
    before = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}

    def said():
        with redirect_stderr(StringIO()) as stream:
            return main(arguments), stream.getvalue()

    place.chmod(0o777)
    status, words = said_by_nobody(place, said)
    assert status == 2
    assert message in words
    assert "nothing may be made in " in words
    assert words.count("\n") == 1
    assert {path.name: path.stat().st_mtime_ns for path in place.iterdir()} == before


def test_the_command_runs_from_outside(place):
    store_of("a.db", of_sensing(3))
    done = subprocess.run([sys.executable, "-c", CLI, "report", "a.db"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("report  a-report.html\n")

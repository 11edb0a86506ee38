"""The directory of results: where it goes, and that it is written as a whole."""

import json
import os

import pytest

from flatmin import InputError
from flatmin.cli import main
from flatmin.cli.output import (
    IMPUTATION,
    PROOFS,
    RACE,
    RECOVERY,
    SUMMARY_VERSION,
    destination,
    read_summary,
    results_directory,
)
from tests.systems import needs_posix

FIELDS = dict.fromkeys(IMPUTATION.fields) | {"format_version": SUMMARY_VERSION}


def test_the_default_is_named_after_the_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert destination(None, tmp_path / "p.npz") == tmp_path / "p-flat"
    assert destination(None, tmp_path / "p.npz", kind=RACE) == tmp_path / "p-race"


def test_results_of_another_kind_and_inputs_are_never_replaced(tmp_path):
    former = tmp_path / "former"
    former.mkdir()
    (former / "summary.json").write_text(json.dumps(dict.fromkeys(RECOVERY.fields, 1)))
    assert destination(former, tmp_path / "p.npz") == former
    with pytest.raises(InputError, match="exists and is no earlier race of flatmin"):
        destination(former, tmp_path / "p.npz", kind=RACE)
    with pytest.raises(InputError, match="which it would replace"):
        destination(former, former / "p.npz")


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (IMPUTATION, ["completed.csv.gz"]),
        (RECOVERY, ["completed", "low-rank.mtx", "signal.png", "solution.npz", "proof.json", "instance.npz"]),
        (RACE, ["race.csv", "runs.db", "courses.png", "slices.svg", "report.html"]),
        (PROOFS, ["00001-theorems-5-0.5", "checker.py"]),
    ],
)
def test_a_file_of_the_user_in_an_earlier_result_is_not_lost(tmp_path, kind, own):
    former = tmp_path / "former"
    former.mkdir()
    (former / "summary.json").write_text(json.dumps(dict.fromkeys(kind.fields, 1)))
    for name in [*own, ".DS_Store"]:
        (former / name).touch()
    assert destination(former, tmp_path / "p.csv", kind=kind) == former
    (former / "notes.txt").touch()
    with pytest.raises(InputError, match=r"also has notes.txt; move that file, or choose another directory"):
        destination(former, tmp_path / "p.csv", kind=kind)


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="cannot be written"), results_directory(tmp_path / "new") as folder:
        (folder / "no such folder" / "half").touch(exist_ok=False)
    assert not (tmp_path / "new").exists()
    with results_directory(tmp_path / "new") as folder:
        (folder / "whole").write_text("all of it")
    assert (tmp_path / "new" / "whole").exists()


def test_places_that_cannot_be_used_are_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for output in (tmp_path / "loop", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match=r"^the --output .* cannot be used: "):
            destination(output, tmp_path / "p.npz")
    monkeypatch.setattr("pathlib.Path.cwd", lambda: (_ for _ in ()).throw(FileNotFoundError(2, "No such file")))
    with pytest.raises(InputError, match="the directory for results in this place cannot be used"):
        destination(None, tmp_path / "p.npz")


def test_a_protected_directory_is_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(InputError, match="old is protected against changes; choose another directory"):
        destination(tmp_path / "old", tmp_path / "p.npz")


def test_a_link_stays_and_its_directory_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    target = destination(tmp_path / "link", tmp_path / "p.npz")
    with results_directory(target) as folder:
        (folder / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert os.listdir(tmp_path / "real") == ["new"]


def written(directory, text):
    (directory / "summary.json").write_text(text, encoding="utf-8")
    return directory


def test_the_fields_are_returned(tmp_path):
    assert read_summary(written(tmp_path, json.dumps(FIELDS))) == FIELDS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("{", "it should be JSON written by flatmin"),
        ("[" * 100_000, "it should be JSON written by flatmin"),
        ("[]", "has no format_version"),
        ("{}", "has no format_version"),
        ('{"format_version": "1"}', "expected a whole number from 1"),
        ('{"format_version": 99}', "newer than 1, the newest that is read here; update flatmin"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_summary(written(tmp_path, text))


def test_results_of_a_newer_version_are_neither_used_nor_replaced(tmp_path, capsys):
    table = tmp_path / "t.csv"
    table.write_text("a,b,c\n1,2,3\n2,4,\n3,6,9\n4,8,12\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    written(kept, json.dumps(FIELDS | {"format_version": 99}))
    assert main(["impute", str(table), "--model", str(kept)]) == 2
    message = capsys.readouterr().err
    assert "has format version 99, newer than 1" in message
    assert message.count("\n") == 1
    assert main(["impute", str(table), "--output", str(kept)]) == 2
    assert "is no earlier result of flatmin" in capsys.readouterr().err
    assert [file.name for file in kept.iterdir()] == ["summary.json"]
    written(kept, json.dumps(FIELDS))
    assert destination(kept, table, kind=IMPUTATION) == kept


@needs_posix
def test_a_pipe_is_no_summary(tmp_path):
    os.mkfifo(tmp_path / "summary.json")
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_summary(tmp_path)

"""Files of every version of every format are read, and those of newer versions are refused by one sentence."""

import json
import shutil
import sqlite3

import numpy as np
import pytest

import flatmin as fm
from flatmin.cli import main
from tests.release.kept_files import DATA, EXPECTED, FORMATS, MODELS, ON_SPARK

#: `tests.spark.test_kept_folders` reads those on Spark.
CASES = [(n, version) for n, kind in FORMATS.items() if n != ON_SPARK for version in range(1, kind.version + 1)]


@pytest.mark.parametrize(("name", "version"), CASES, ids=str)
def test_files_of_every_version_are_read(name, version, tmp_path):
    file = FORMATS[name].file(version)
    assert file.exists(), f"run python -m tests.release.kept_files, and keep {file.name}"
    shutil.copytree(DATA, tmp_path / "data")
    found = FORMATS[name].read(tmp_path / "data" / file.name)
    expected = json.loads(EXPECTED.read_text(encoding="utf-8"))[file.name]
    if all(isinstance(x, float) for x in expected):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    else:
        assert found == expected


def test_every_estimator_that_is_saved_has_a_file():
    named = {name for name in fm.estimators.__all__ if hasattr(getattr(fm.estimators, name), "load")}
    assert named - {"FlatEstimator", "MatrixRegressor"} - {f"{name}CV" for name in MODELS} <= MODELS.keys()


def _newer_archive(file):
    with np.load(file) as archive:
        arrays = dict(archive)
    np.savez(file, **arrays | {"format_version": 99})


def _newer_store(file):
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


#: How files of a version that is not there yet are made, and a command that reads them.
NEWER = {
    "problem": (_newer_archive, ("recover", "matrix-completion", "FILE")),
    "solution": (_newer_archive, ("certify", "matrix-completion", str(DATA / "problem-1.npz"), "FILE")),
    "store": (_newer_store, ("report", "FILE")),
    "recipe": (
        lambda file: file.write_text(file.read_text().replace("format_version = 1", "format_version = 99")),
        ("sweep", "FILE", "--store", "trials.db"),
    ),
    "model MatrixCompletion": (_newer_archive, ()),
}


@pytest.mark.parametrize("name", NEWER)
def test_files_of_newer_versions_are_refused_by_one_sentence(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, command = NEWER[name]
    file = tmp_path / FORMATS[name].file(1).name
    shutil.copy(FORMATS[name].file(1), file)
    change(file)
    before = sorted(tmp_path.iterdir())
    if command:
        assert main([str(file) if word == "FILE" else word for word in command]) == 2
        message = capsys.readouterr().err
    else:
        with pytest.raises(fm.InputError) as caught:
            fm.MatrixCompletion.load(file)
        message = f"{caught.value}\n"
    assert "has format version 99, newer than 1, the newest that is read here; update flatmin" in message
    assert message.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_proof_of_a_newer_format_is_refused(tmp_path):
    text = (DATA / "proof-1.json").read_text().replace('"flatmin_proof":1', '"flatmin_proof":2')
    instance = (DATA / "proof-1-instance.npz").read_bytes()
    with pytest.raises(fm.proofs.checker.Refused, match="has an unknown format, expected 1"):
        fm.proofs.checker.check_files(text.encode(), instance)

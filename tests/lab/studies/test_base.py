"""Verdicts, intervals, tables and files of studies."""

import csv
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from flatmin.errors import InputError
from flatmin.lab import studies
from flatmin.lab.claims import interval, share_interval
from flatmin.lab.studies import Claim, Findings, Study, write_findings


def test_the_interval_is_students():
    values = np.random.default_rng(0).standard_normal(9)
    theirs = ttest_1samp(values, 0).confidence_interval(0.9)
    assert interval(values, 0.9) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_of_a_share_keeps_its_tails():
    from scipy.stats import binom

    low, high = share_interval(3, 20)
    assert binom.sf(2, 20, low) == pytest.approx(0.025)
    assert binom.cdf(3, 20, high) == pytest.approx(0.025)
    assert share_interval(0, 5)[0] == 0
    assert share_interval(5, 5)[1] == 1


def test_a_claim_holds_fails_or_waits():
    below = {"below": 1.0}
    assert Claim.of_mean("", [0.1, 0.2, 0.15], **below).verdict == "holds"
    assert Claim.of_mean("", [5.1, 5.2, 5.15], **below).verdict == "fails"
    assert Claim.of_mean("", [-50, 50, 0.1], **below).verdict == "undecided"
    assert Claim.of_mean("", [0.1], **below).verdict == "undecided"
    assert Claim.exact("", 2.0, above=1.0).verdict == "holds"
    assert Claim.exact("", 0.5, above=1.0).verdict == "fails"
    assert Claim.of_share("", [True] * 20, above=0.8).verdict == "holds"
    assert Claim.of_share("", [True] * 5, above=0.8).verdict == "undecided"
    assert Claim.exact("", math.nan, above=1.0).verdict == "undecided"
    with pytest.raises(InputError, match="expected one"):
        Claim.exact("", 1.0)
    with pytest.raises(InputError, match="expected one"):
        Claim.exact("", 1.0, above=0.0, below=2.0)


ROWS = [
    {"depth": 2, "seed": 0, "error": 0.5, "word": "a", "fine": True},
    {"depth": 2, "seed": 1, "error": 1.5, "word": "a", "fine": False, "extra": np.float64("nan")},
    {"depth": 3, "seed": 0, "error": 2.0, "word": "b", "fine": np.bool_(True)},
]
STUDY = Study("sample", "Is it so?", "Yes.", lambda quick=False, seed=0: FINDINGS)
FINDINGS = Findings(ROWS, [Claim.of_mean("errors", [0.5, 1.5], below=3.0)], by=("depth",))


def test_a_summary_has_one_row_a_setting():
    first, second = FINDINGS.summary()
    assert first["n"] == 2
    half = (interval([0.5, 1.5])[1] - interval([0.5, 1.5])[0]) / 2
    assert first["error"] == f"1 ± {half:.1g}"
    assert first["word"] == "a"
    assert second["error"] == 2.0
    assert "seed" not in first
    assert Findings(ROWS, []).summary() == ROWS
    lines = FINDINGS.table().splitlines()
    assert len(lines) == 3
    assert len(set(map(len, lines))) == 1


def test_files_are_whole_strict_and_replaceable(tmp_path):
    target = tmp_path / "out" / "sample"
    for _ in range(2):
        write_findings(STUDY, FINDINGS, target, {"quick": True, "seed": 3})
    assert {p.name for p in target.iterdir()} == {"findings.json", "rows.csv", "figure.png"}
    text = (target / "findings.json").read_text()
    found = json.loads(text)
    assert "NaN" not in text
    assert found["claims"][0]["verdict"] == FINDINGS.claims[0].verdict
    assert found["seed"] == 3
    assert found["rows"][1]["extra"] is None
    with (target / "rows.csv").open() as file:
        assert [row["error"] for row in csv.DictReader(file)] == ["0.5", "1.5", "2.0"]


def test_other_directories_are_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="no former result"):
        write_findings(STUDY, FINDINGS, tmp_path, {})
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_every_study_is_found_and_says_what_it_asks():
    assert "rank-one-families" in studies.names()
    for name in studies.names():
        study = studies.find(name)
        assert study.name == name
        assert study.question.endswith("?")
        assert study.expectation
    assert studies.find("rank_one_families") is studies.find("rank-one-families")
    with pytest.raises(InputError, match="there is no study 'luck'"):
        studies.find("luck")


def _command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "flatmin.lab.studies", *arguments], capture_output=True, text=True, check=False
    )


def test_the_command_line_prints_and_writes(tmp_path):
    done = _command("rank-one-families", "--quick", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "HOLDS" in done.stdout
    assert (tmp_path / "out" / "rank-one-families" / "figure.png").stat().st_size > 1000
    wrong = _command("luck")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: there is no study 'luck'")

"""Commands that are killed, interrupted, or run under other faults, lose nothing and end in one sentence."""

import shutil
import sys

import numpy as np
import pytest

if sys.platform != "linux":
    pytest.skip("commands run in forked processes, and limits are those of Linux", allow_module_level=True)

from benchmarks.faults.__main__ import tried
from benchmarks.faults.conditions import CONDITIONS
from benchmarks.faults.kills import JOBS, Job
from benchmarks.faults.spark_fit import SPARK_FIT

#: Conditions that take a second or less.
QUICK = ("vanished", "protected")


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_a_killed_command_leaves_the_old_output_or_the_new_one_and_loses_no_trial(name):
    if name == SPARK_FIT:
        for package in ("pyspark", "pyarrow"):
            pytest.importorskip(package)
        if shutil.which("java") is None:
            pytest.skip("there is no Java on this machine")
    for seed in range(1 if name == SPARK_FIT else 3):
        assert JOBS[name].killed(np.random.default_rng(seed)) is None
    assert JOBS[name].goes_on() is None


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CONDITIONS])
def test_a_condition_does_no_harm(name):
    assert tried(name) is None


def test_a_lost_output_is_noticed(monkeypatch):
    """Negative controls: an output that is neither the old one nor the new one, and trials that are gone."""
    job = Job("recover", JOBS["recover"].words, JOBS["recover"].earlier, "out", JOBS["recover"].compared)
    seconds, digests = job.complete
    assert len(digests) == 2
    job.__dict__["complete"] = (seconds, {"another"})
    assert "neither the old one nor the new one" in job.killed(np.random.default_rng(0))
    counts = iter((5, 4))
    monkeypatch.setattr(Job, "n_done", lambda *_: next(counts))
    job.__dict__["complete"] = (seconds, digests)
    assert job.killed(np.random.default_rng(0)) == "5 trials were finished before the kill, 4 are stored"

"""Cells and recipes whose outcome is known, for tests; ``python -m tests.lab.experiments STORE JOBS`` runs one."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from flatmin.lab import Processes, Recipe, Serial, Store, Transition, sweep

ABOUT = """A recipe for tests

Claim: it works.

Refuted by: a test that fails.
"""
#: An event of a test, by which cells in threads of the same process wait for each other.
GATE = threading.Event()


def value_of(parameters, seed):
    """Return what `known` returns."""
    return {"value": parameters["a"] * 1000 + seed % 997, "ratio": 1 / 3}


def known(parameters, seed):
    """Take a moment."""
    time.sleep(0.002)
    return value_of(parameters, seed)


def instant(parameters, seed):
    return {"value": parameters["a"]}


def long_words(parameters, seed):
    return {"words": "x" * 1000}


def falls_over(parameters, seed):
    if parameters["a"] == 2:
        raise ArithmeticError("two is\ntoo much")
    return {"value": parameters["a"]}


def kills_itself(parameters, seed):
    if parameters["a"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return {"value": parameters["a"]}


def where(parameters, seed):
    time.sleep(0.05)
    return {"pid": os.getpid()}


def meets(parameters, seed):
    """Wait for another process that computes a cell of the same recipe."""
    folder = Path(parameters["folder"])
    (folder / f"{os.getpid()}.here").touch()
    for _ in range(600):
        if len(list(folder.glob("*.here"))) > 1:
            return {"pid": os.getpid()}
        time.sleep(0.05)
    raise TimeoutError("nobody else came")


def threads(parameters, seed):
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"blas": max(pools), "omp": os.environ.get("OMP_NUM_THREADS")}


def slow(parameters, seed):
    """Take longer than any test waits, for the last cell; a moment for others."""
    time.sleep(60 if parameters["a"] == 0 else 0.05)
    return {"value": parameters["a"]}


def is_shown(parameters, seed):
    """Succeed with a probability that rises along m, at a boundary of 2 d."""
    p = 1 / (1 + np.exp(-(parameters["m"] / parameters["d"] - 2) / 0.08))
    return {"success": bool(np.random.default_rng(seed).random() < p)}


def recipe_of(cell=known, count=20, **changes):
    """Return a recipe with one parameter, a."""
    settings = {"grid": [{"a": list(range(count))}], "repetitions": 1} | changes
    return Recipe("made", ABOUT, cell, **settings)


def mapped(**changes):
    """Return a recipe with a transition."""
    settings = {
        "grid": [{"d": [d], "m": [round(d * x) for x in np.linspace(1, 4, 20)]} for d in (40, 60, 80, 100)],
        "transition": Transition("m", "success", lambda parameters: parameters["d"]),
    }
    return Recipe("mapped", ABOUT, is_shown, **settings | changes)


def main(file, jobs):
    """Run a sweep of many small cells and say of each when it is kept."""
    recipe = recipe_of(count=1500)

    def say(state):
        if "waiting" not in state:
            os.write(1, b"%d\n" % state["computed"])

    with Store(file) as store:
        sweep(recipe, store, executor=Processes(jobs) if jobs > 1 else Serial(), callback=say)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""Results of races that were never run, one for each kind of page."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import numpy as np

import flatmin as fm
from flatmin.families import matrix_sensing, phase_retrieval
from flatmin.lab.race.correlation import correlate
from flatmin.lab.race.result import Description, RaceResult

#: Flatness gap that each competitor ends with, and its loss; infinite: it diverges.
ENDS = {
    "gradient-descent-small": (2e-4, 1e-12),
    "trace-penalty": (3e-3, 1e-8),
    "weight-decay": (7e-3, 1e-7),
    "gradient-descent-medium": (6.0, 1e-14),
    "label-noise": (9.0, 3e-4),
    "sgd": (21.0, 1e-9),
    "sam": (28.0, 1e-8),
    "sam-batch-one": (20.0, 1e-5),
    "gradient-descent-large": (39.0, 1e-14),
    "adam": (43.0, 1e-13),
    "muon": (30.0, 1e-6),
    "scaled-gradient-descent": (5.0, 1e-15),
    "two-point": (1e-3, 0.7),
    "noise-injection": (12.0, 1e-4),
    "gradient-descent-large-step": (np.inf, np.inf),
}
POINTS = np.unique(np.concatenate([[0], np.geomspace(1, 4000, 60).round()])).astype(int)


@cache
def flattest(family=matrix_sensing, size=(6, 5), measurements=25):
    """Return a flattest value as pages see it."""
    shape = (size[0], size[0]) if family is phase_retrieval else size
    problem = family.sample(shape, 1, measurements).problem
    solution = fm.flat_minimum(problem)
    c = solution.certificate
    return SimpleNamespace(value=c.value, holds=c.holds, solution=solution, problem=problem)


def example_race(names=tuple(ENDS), seeds=5, *, of=None, error=True, gap=True, diverged=None, **changes) -> RaceResult:
    """Return the result of a race of these competitors; ``diverged`` says of (name, seed) whether that run diverges."""
    of = flattest() if of is None else of
    rng = np.random.default_rng(0)
    table, trajectories = [], {}
    for name in names:
        for seed in range(seeds):
            end, loss = ENDS[name]
            lost = not np.isfinite(end) or (diverged is not None and diverged(name, seed))
            end *= np.exp(0.3 * rng.standard_normal())
            curves = _curves(end, loss, lost, rng)
            if not error:
                del curves["relative_error"]
            if not gap:
                curves["flatness_gap"] = np.zeros(len(curves["loss"]))
            if of is NETWORK:
                del curves["flatness_gap"]
            trajectories[name, seed] = curves
            row = {key: float(curves[key][-1]) if key in curves else None for key in list(curves)[1:]}
            row = {"flatness_gap": None, "relative_error": None, **row}
            row |= {"competitor": name, "seed": seed, "diverged": lost, "rank": None if lost else 2 + 2 * (end > 1)}
            row |= {"balance": None if lost else 0.01 * end, "gradients": int(curves["gradients"][-1])}
            row |= {"seconds": 0.1 + 0.01 * seed, "step_size": 0.05, "strength": 1e-3 if "penalty" in name else None}
            table.append(row)
    who = {
        name: Description(name, name.replace("-", " "), "the trace", "Somebody 2020, arXiv 2011.00001")
        for name in names
    }
    protocol = {
        "budget": 4000,
        "seeds": seeds,
        "fits": 0.01,
        "rule": "The largest step size of a grid that does not diverge wins.",
    }
    trial = {"step_size": 0.1, "strength": None, "diverged": False, "loss": 1e-3, "relative_error": 0.1}
    tuning = [{"competitor": name, **trial, "gradients": 500, "seconds": 0.1, "chosen": True} for name in names]
    network = of is NETWORK
    result = RaceResult(
        table,
        trajectories,
        None if network else of,
        correlate(table, "scaled_trace" if network else "flatness_gap"),
        protocol,
        tuning,
        who,
    )
    return result if not changes else RaceResult(**{**vars(result), **changes})


#: Stands for a task on a network, which has no flattest value.
NETWORK = object()


def _curves(end, loss, lost, rng):
    steps = POINTS[:25] if lost else POINTS
    fall = np.exp(-steps / 250 * (1 + rng.random()))
    if lost:
        grows = np.exp(np.minimum(steps * 1.0, 600))
        grows[-1] = np.inf
        keys = ("loss", "scaled_trace", "flatness_gap", "relative_error")
        return {"gradients": steps, **dict.fromkeys(keys, grows)}
    return {
        "gradients": steps,
        "loss": loss + 0.8 * fall,
        "scaled_trace": 5.58 * (1 + end + 3 * fall),
        "flatness_gap": end + 3 * fall,
        "relative_error": np.minimum(10.0, 0.01 + 0.3 * end**0.8) * np.exp(0.2 * rng.standard_normal()) + fall,
    }

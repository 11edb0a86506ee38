"""Surprises of the race on the prototype problem, one measurement each: one setting is changed and nothing else.

python -m benchmarks.nn.race_surprises [NAME …] [--quick]     a minute of one core; NAME is a heading below

Every line is one run with seed 0, at the given step size, in the competitor's unit. Columns: scaled trace over the
certified flattest value, relative error, training loss over that of the zero prediction. `--quick`: a twentieth of the
gradients.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.nn.race import CASES
from benchmarks.report import line
from flatmin.lab.race import Competitor, FactoredTask, Protocol, competitors
from flatmin.lab.race.competitor import Entry
from flatmin.lab.race.referee import judged_run

BUDGET = 3000
#: What is varied: the name of a competitor, the budget, the step, and its other settings.
Setting = tuple[str, int, float, dict[str, Any]]


def settings(
    name: str, steps: tuple[float, ...] = (2.0,), times: tuple[int, ...] = (1,), **varied: Any
) -> list[Setting]:
    """Return all combinations of steps, budgets and one varied setting."""
    values: list[dict[str, Any]] = [{key: v} for key, many in varied.items() for v in many] or [{}]
    return [(name, k * BUDGET, step, value) for value in values for step in steps for k in times]


QUESTIONS: dict[str, list[Setting]] = {
    "large initialization stays": [
        *settings("gradient-descent-large", times=(1, 2)),
        *settings("gradient-descent-large", steps=(0.25,)),
    ],
    "small is a matter of degree": settings("gradient-descent-small", size=(1.0, 0.1, 0.01, 1e-3)),
    "a penalty needs time": settings("trace-penalty", times=(1, 2, 4)),
    "label noise drifts slowly": [
        *settings("label-noise", times=(1, 2)),
        *settings("label-noise", strength=(0.0, 1.4)),
    ],
    "SAM with a small radius": [*settings("sam", times=(1, 2)), *settings("sam", strength=(0.08,))],
    "Adam depends on its step": settings("adam", steps=(0.004, 0.03, 0.1, 0.4)),
    "large steps": settings("large-step", steps=(1.0, 2.0, 3.0, 3.5)),
    "scaled gradients forget what small weights do": settings("scaled-gradient", (1.0,), strength=(0.1, 1.0, 10.0)),
    "two values are no gradient": settings("two-point", steps=(1.0,), times=(1, 2)),
}


def main() -> None:
    torch.set_num_threads(1)
    names = [name for name in sys.argv[1:] if name != "--quick"]
    if unknown := [name for name in names if name not in QUESTIONS]:
        sys.exit(f"there is no question {unknown[0]!r}, expected one of {', '.join(QUESTIONS)}")
    instance = CASES["prototype"]()
    task = FactoredTask(instance.problem, instance.truth)
    for name in names or QUESTIONS:
        print(f"### {name}\n")
        line(["competitor", "gradients", "step", "changed", "trace / flattest", "error", "loss"])
        line(["---"] * 7)
        for cells in measured(task, QUESTIONS[name], 20 if "--quick" in sys.argv else 1):
            line(cells)
        print(flush=True)


def measured(task: FactoredTask, asked: list[Setting], less: int) -> Iterator[list[str]]:
    """Give one row a setting."""
    known = {name: competitors.find(name) for name in competitors.names()}
    for name, budget, step, changed in asked:
        who = variant(known[name], task, changed)
        entry = Entry(task, 0, step * who.unit(task), who.strength)
        row = judged_run(who, entry, Protocol(budget // less, (0,), points=10), budget // less).row
        settings = ", ".join(f"{key} {value:g}" for key, value in changed.items())
        lost = " (diverged)" if row["diverged"] else ""
        trace, error, loss = (
            row["scaled_trace"] / task.flattest.value,
            row["relative_error"],
            row["loss"] / task.zero_loss,
        )
        yield [name + lost, str(budget // less), f"{step:g}", settings, f"{trace:.4g}", f"{error:.2g}", f"{loss:.1e}"]


def variant(who: Competitor, task: FactoredTask, changed: dict[str, Any]) -> Competitor:
    """Return a competitor with a changed setting; a changed size is set in the task."""
    if "size" not in changed:
        return who.variant(**changed)
    task.sizes = {**task.sizes, "asked": changed["size"]}
    return who.variant(size="asked")


if __name__ == "__main__":
    main()

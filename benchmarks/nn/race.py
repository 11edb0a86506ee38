"""Races of all training algorithms: the prototype problem, and small ones of every model.

python -m benchmarks.nn.race [CASE …] [--jobs N] [--seeds K] [--store DIR] [--quick]

CASE is `prototype` (the default settings: 18 algorithms, 5 seeds, 6 trials each to tune), or one of the models below;
without any, all are raced. `--store` keeps finished runs. `--quick`: 300 gradients a run, 1 seed, 2 trials.

Columns: medians over seeds of the scaled trace over the certified flattest value (or, for 0, the trace), of the gap, of
the relative error and of the training loss over that of the zero prediction; the rank; the number of runs that fit,
with a relative loss of at most 0.01, and that diverged; the step size that was chosen, in the competitor's unit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import flatmin as fm
from benchmarks.report import line, machine
from flatmin.families import Instance
from flatmin.lab.race import FactoredTask, RaceResult, competitors

#: The flattest value of the prototype of this race, and its results: the trace and the error.
FLATTEST = 5.58
PROTOTYPE = {
    "gradient-descent-small": (5.60, 1e-2),
    "trace-penalty": (5.61, 3e-2),
    "weight-decay": (5.62, 4e-2),
    "gradient-descent-medium": (39, 1.7),
    "label-noise": (55, 2.1),
    "sgd": (127, 4.6),
    "sam": (162, 6.7),
    "gradient-descent-large": (224, 8.6),
    "adam": (244, 9.7),
}
families = fm.families
CASES: dict[str, Callable[[], Instance]] = {
    "prototype": lambda: families.matrix_sensing.sample((20, 16), 2, 170),
    "matrix-sensing, below the threshold": lambda: families.matrix_sensing.sample((12, 10), 2, 60),
    "bilinear-sensing": lambda: families.bilinear_sensing.sample((12, 10), 1, 70),
    "matrix-completion": lambda: families.matrix_completion.sample((14, 12), 1, 110),
    "phase-retrieval": lambda: families.phase_retrieval.sample(8, 1, 48),
    "robust-pca": lambda: families.robust_pca.sample((14, 12), 1),
    "covariance": lambda: families.covariance.sample(10, 2, 70),
    "quadratic-network": lambda: families.quadratic_network.sample(10, (1, 1), 70),
    "sparse-regression": lambda: families.sparse_regression.sample(40, 3, 25),
}
#: Settings of small races that differ from the default.
SMALL = {"budget": 400, "seeds": 2, "trials": 3}
QUICK = {"budget": 300, "seeds": 1, "trials": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--store")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if unknown := [name for name in given.cases if name not in CASES]:
        parser.error(f"there is no case {unknown[0]!r}, expected one of {', '.join(CASES)}")
    print(machine(), "\n")
    for name in given.cases or CASES:
        settings = QUICK if given.quick else {} if name == "prototype" else SMALL
        raced(name, settings if given.seeds is None else {**settings, "seeds": given.seeds}, given.jobs, given.store)


def raced(name: str, settings: dict[str, int], jobs: int, store: str | None) -> None:
    """Race on one case, and print the results."""
    instance = CASES[name]()
    start = time.perf_counter()
    result = fm.nn.race(instance.problem, truth=instance.truth, jobs=jobs, store=store, **settings)
    seconds = time.perf_counter() - start
    rules = result.protocol
    print(f"## {name}: {instance.problem}\n")
    print(
        f"{rules['budget']} gradients a run, {len(rules['seeds'])} seeds, {rules['trials']} trials of "
        f"{rules['tuning_budget']}; flattest value {result.flattest.value:.4g}, certified: {result.flattest.holds}\n"
    )
    print_table(instance, result, name == "prototype")
    print(f"\n{correlated(result)}")
    print(f"Smallest gap on all trajectories: {smallest_gap(result):.1e}.")
    for who, reason in result.left_out.items():
        print(f"Not in this race: {who}, as {reason}.")
    print(f"{seconds:.0f} s with jobs={jobs}; training alone {trained(result):.0f} s of one core.\n", flush=True)


def print_table(instance: Instance, result: RaceResult, has_prototype: bool) -> None:
    """Print one line for each competitor, the flattest first, and one for `flatten`."""
    task = FactoredTask(instance.problem, instance.truth, flattest=result.flattest)
    known = {name: competitors.find(name) for name in competitors.names()}
    least = result.flattest.value
    titles = ["competitor", "trace / flattest", "gap", "error", "loss", "rank", "fit", "diverged", "step"]
    titles += ["prototype: trace / flattest", "error"] if has_prototype else []
    line(titles)
    line(["---"] * len(titles))
    for row in result.summary():
        name = row["competitor"]
        runs = [r for r in result.table if r["competitor"] == name]
        fits = sum(r["loss"] <= result.protocol["fits"] for r in runs)
        cells = [
            name,
            f"{row['scaled_trace'] / (least or 1):.4g}",
            f"{row['flatness_gap']:.2g}",
            "" if row["relative_error"] is None else f"{row['relative_error']:.2g}",
            f"{row['loss'] / task.zero_loss:.1e}",
            "" if row["rank"] is None else f"{row['rank']:g}",
            f"{fits}/{len(runs)}",
            str(row["diverged"]),
            f"{row['step_size'] / known[name].unit(task):.3g}",
        ]
        if has_prototype:
            trace, error = PROTOTYPE.get(name, (None, None))
            cells += ["", ""] if trace is None else [f"{trace / FLATTEST:.4g}", f"{error:g}"]
        line(cells)
    print_reference(instance, task, has_prototype)


def print_reference(instance: Instance, task: FactoredTask, has_prototype: bool) -> None:
    """Print the line of `flatmin.nn.flatten`, which trains for flatness alone and does not race."""
    try:
        found = fm.nn.flatten(instance.problem)
    except fm.errors.InputError:
        return
    factors, rank = found.factors, found.rank
    trace = task.problem.parametrization.scaled_trace(factors, task.problem.measurement, task.problem.metric)
    cells = [
        f"*flatten*, {found.iterations} gradients",
        f"{trace / (task.flattest.value or 1):.4g}",
        f"{task.flattest.gap(factors):.2g}",
        f"{task.error(factors):.2g}",
        f"{task.problem.loss.value(task.problem.residual(factors)) / task.zero_loss:.1e}",
        f"{rank:g}",
        *[""] * (5 if has_prototype else 3),
    ]
    line(cells)


def correlated(result: RaceResult) -> str:
    """Return the rank correlation between gap and error, in a sentence."""
    found = result.correlation
    if found is None or found.value is None:
        return "No rank correlation: too few runs fit, or gap or error hardly varies among them."
    interval = "too few for an interval"
    if found.interval is not None:
        interval = "95 % interval [{:.2f}, {:.2f}]".format(*found.interval)
    return (
        f"Rank correlation of {found.of.replace('_', ' ')} and error over {found.runs} runs that fit, of "
        f"{found.competitors} competitors: {found.value:.2f}, {interval}."
    )


def smallest_gap(result: RaceResult) -> float:
    return min(float(curves["flatness_gap"].min()) for curves in result.trajectories.values())


def trained(result: RaceResult) -> float:
    return sum(row["seconds"] for row in [*result.table, *result.tuning])


if __name__ == "__main__":
    main()

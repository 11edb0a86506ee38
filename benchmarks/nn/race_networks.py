"""Races on scikit-learn's digits: a ReLU and a quadratic network of one hidden layer, 300 images, cross entropy.

python -m benchmarks.nn.race_networks [--jobs N] [--store DIR] [--quick]

Step sizes and strengths are tuned by the error on 300 other images, 6 pairs each. Columns: error rate in per cent on
1197 test images (median over seeds of weights and batches, smallest, largest), Gauss-Newton trace and training loss at
the end, strength and step size that were chosen, the latter in the competitor's unit. The split of the images is the
same for all seeds: differences of a percentage point are within the effect of another split. `--quick`: 100 gradients,
1 seed, 2 trials.
"""

from __future__ import annotations

import argparse

import flatmin as fm
from benchmarks.nn.race import QUICK, correlated
from benchmarks.report import line, machine
from flatmin.lab.race import NetworkTask, RaceResult, competitors

SETTINGS = {"budget": 200, "seeds": 2, "trials": 6}
TITLES = ["competitor", "% wrong", "range", "trace", "loss", "strength", "step", "diverged"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--store")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print(machine(), "\n")
    for activation in ("relu", "quadratic"):
        task = NetworkTask.digits(activation)
        settings = QUICK | {"budget": 100} if given.quick else SETTINGS
        result = fm.nn.race(task, jobs=given.jobs, store=given.store, **settings)
        print(f"## digits, {activation}: {settings['budget']} gradients a run, {settings['seeds']} seeds\n")
        print_table(task, result)
        print(f"\n{correlated(result)}")
        for who, reason in result.left_out.items():
            print(f"Not in this race: {who}, as {reason}.")
        print(flush=True)


def print_table(task: NetworkTask, result: RaceResult) -> None:
    """Print one line for each competitor, the smallest error first."""
    known = {name: competitors.find(name) for name in competitors.names()}
    line(TITLES)
    line(["---"] * len(TITLES))
    for row in sorted(result.summary(), key=lambda row: row["relative_error"]):
        name = row["competitor"]
        wrong = [100 * r["relative_error"] for r in result.table if r["competitor"] == name]
        line(
            [
                name,
                f"{100 * row['relative_error']:.1f}",
                f"{min(wrong):.1f} – {max(wrong):.1f}",
                f"{row['scaled_trace']:.3g}",
                f"{row['loss']:.2g}",
                "" if row["strength"] is None else f"{row['strength']:.2g}",
                f"{row['step_size'] / known[name].unit(task):.3g}",
                str(row["diverged"]),
            ]
        )


if __name__ == "__main__":
    main()

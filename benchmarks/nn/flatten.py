"""Distance of `flatmin.nn.flatten` from the certified flattest value, and its time: the worst of new instances.

python -m benchmarks.nn.flatten          20 seeds on the small race problem, 5 on the other families; half a minute
python -m benchmarks.nn.flatten --quick  3 and 1

Columns: the flatness gap of the answer; that of the trained weights, ``|trace/flattest − 1|``; gap and residual of the
certificate (both relative); error on the truth; gradients; seconds, of the clock and of the processor. For positive
semidefinite matrices measured by vectors the first gap is 0 at every point; there the second one counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

import flatmin as fm
from benchmarks.report import line, machine, mark
from flatmin.families import Instance, names
from flatmin.nn import flatten

#: Requirements on the worst instance, for the cases that have some.
WANTED = {"gap": 1e-8, "trained": 1e-8, "certificate": 1e-6, "seconds": 0.5}
ELSEWHERE = {"gap": 1e-5, "trained": 1e-5}
COLUMNS = ("gap", "trained", "certificate", "residual", "error", "gradients", "seconds", "CPU s")


def prototype(m: int) -> Callable[[int], Instance]:
    return lambda seed: fm.families.matrix_sensing.sample((20, 16), 2, m, seed=seed)


def default(name: str) -> Callable[[int], Instance]:
    """Return the draw of ``flatmin generate NAME``."""
    family = fm.families.find(name)
    usual = family.usual
    count = usual.measurements(usual.shape, usual.rank)
    return lambda seed: family.sample(usual.shape, usual.rank, count, seed=seed)


def diffraction(seed: int) -> Instance:
    """Draw a complex signal measured behind 8 masks."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(16) + 1j * rng.standard_normal(16)
    model = fm.families.phase_retrieval
    return model.diffraction(signal, model.octanary_masks(8, (16,), seed))


def cases() -> Iterator[tuple[str, Callable[[int], Instance], str, dict[str, float]]]:
    """Return title, draw, family and requirements of every case."""
    yield "sensing 20 × 16, m = 170", prototype(170), "matrix-sensing", WANTED
    yield "sensing 20 × 16, m = 110, below the threshold", prototype(110), "matrix-sensing", WANTED
    for name in names():
        yield name, default(name), name, ELSEWHERE
    yield "coded diffraction of 16 numbers, 8 masks", diffraction, "phase-retrieval", ELSEWHERE


def measured(instance: Instance, family: str, seed: int) -> dict[str, float]:
    """Return one row."""
    flattest = fm.Flattest.from_problem(instance.problem)
    clock, processor = time.perf_counter(), time.process_time()
    solution = flatten(instance.problem, seed=seed)
    proof, truth = solution.certificate, instance.truth
    return {
        "seconds": time.perf_counter() - clock,
        "CPU s": time.process_time() - processor,
        "gap": flattest.gap(solution.factors),
        "trained": abs(solution.history["trace"][-1] / flattest.value - 1),
        "certificate": abs(proof.relative_gap) if proof.holds else np.inf,
        "residual": proof.relative_residual,
        "error": fm.families.find(family).relative_error(instance.problem, solution, truth),
        "gradients": solution.iterations,
    }


def main(arguments: list[str]) -> None:
    """Print the table."""
    quick = "--quick" in arguments
    print(f"{machine()}; worst of the instances\n")
    line(["problem", "instances", *COLUMNS, "wanted"])
    print("|" + "---|" * (len(COLUMNS) + 3))
    flatten(prototype(170)(0).problem)  # imports and first calls
    for title, draw, family, wishes in cases():
        count = (3, 1)[wishes is ELSEWHERE] if quick else (20, 5)[wishes is ELSEWHERE]
        rows = [measured(draw(seed), family, seed) for seed in range(100, 100 + count)]
        worst = {column: max(row[column] for row in rows) for column in COLUMNS}
        shown = [format(worst[c], ".0f" if c == "gradients" else ".2f" if c[-1] == "s" else ".0e") for c in COLUMNS]
        wanted = [f"{name} ≤ {limit:g} {mark(worst[name] <= limit)}" for name, limit in wishes.items()]
        line([title, str(count), *shown, ", ".join(wanted)])


if __name__ == "__main__":
    main(sys.argv[1:])

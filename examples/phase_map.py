"""A phase map of your own: how many measurements the flat minimum needs, in ten lines.

`phase_map` takes any function of two parameters and a seed that says whether it succeeded. It repeats the function at
every point of a grid, estimates each share of successes with its 95 % interval, and locates the boundary at which half
of the draws succeed, with a band. Here a matrix of 10 × 10 is recovered from Gaussian measurements; the boundary grows
with the degrees of freedom ``r (20 − r)``.

Run ``python examples/phase_map.py [PICTURE]``; it writes phase_map.png, or the given path, in about seven seconds.
"""

import sys

import matplotlib

matplotlib.use("Agg")
import numpy as np

import flatmin as fm

SIDE = 10


def recovers(rank, m, seed):
    """Recovery of 10 × 10 matrices from m measurements"""
    instance = fm.families.matrix_sensing.sample((SIDE, SIDE), rank, m, seed=seed)
    error = np.linalg.norm(fm.flat_minimum(instance.problem).matrix - instance.truth)
    return error < 1e-5 * np.linalg.norm(instance.truth)


def main(path):
    """Map the recovery, print the boundary for every rank, and draw."""
    found = fm.lab.phase_map(recovers, {"rank": [1, 2, 3], "m": range(20, 101, 10)}, repetitions=10)
    print(found)
    for rank, boundary in found.boundaries.items():
        print(f"measurements per degree of freedom at rank {rank}: {boundary.value / (rank * (2 * SIDE - rank)):.2f}")
    found.save(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "phase_map.png")

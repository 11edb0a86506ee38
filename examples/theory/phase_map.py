"""
A phase map of your own, in ten lines
=====================================

`phase_map` takes any function of two parameters and a seed that says whether it succeeded. It repeats the function at
every point of a grid, estimates each share of successes with its 95 % interval, and locates the boundary at which half
of the draws succeed, with a band. Here a matrix of 10 × 10 is recovered from Gaussian measurements; the boundary grows
with the degrees of freedom ``r (20 − r)``.
"""

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

# %%
# Any function of the parameters and a seed that returns whether it succeeded.

SIDE = 10


def recovers(rank, m, seed):
    """Recovery of 10 × 10 matrices from m measurements"""
    instance = fm.families.matrix_sensing.sample((SIDE, SIDE), rank, m, seed=seed)
    error = np.linalg.norm(fm.flat_minimum(instance.problem).matrix - instance.truth)
    return error < 1e-5 * np.linalg.norm(instance.truth)


# %%
# `fm.lab.phase_map` runs it ten times at each point of the grid.

found = fm.lab.phase_map(recovers, {"rank": [1, 2, 3], "m": range(20, 101, 10)}, repetitions=10)
print(found)
for rank, boundary in found.boundaries.items():
    print(f"measurements per degree of freedom at rank {rank}: {boundary.value / (rank * (2 * SIDE - rank)):.2f}")

# %%
# Colours are shares of success, the line is the boundary with its band.

found.plot(plt.subplots(figsize=(6.4, 4.8))[1])
plt.show()

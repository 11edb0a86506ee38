"""
Tones between the samples
=========================

A signal of two fading tones is sampled at 41 times, and 21 of the samples are lost. The matrix with the entries ``H_ij
= s_(i+j)``, called a Hankel matrix, has rank four: two for each tone. So the lost samples are the entries of a matrix
of low rank, of which some are known and others are known to be equal. Nothing in flatmin is about Hankel matrices: such
a problem is stated as linear measurements, in ten lines.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse import csr_array

import flatmin as fm

LENGTH, LOST, SIDE = 41, 21, 21
FREQUENCIES, FADING, LOUDNESS = (0.05, 0.123), (0.02, 0.01), (1.0, 0.7)
BLUE, RED, YELLOW = "#1b6ca8", "#d1495b", "#edae49"

# %%
# The signal, and the samples that are known.

rng, time = np.random.default_rng(0), np.arange(LENGTH)
tones = [
    size * np.exp(-fading * time) * np.cos(2 * np.pi * frequency * time + rng.uniform(0, 2 * np.pi))
    for size, fading, frequency in zip(LOUDNESS, FADING, FREQUENCIES, strict=True)
]
signal = np.sum(tones, axis=0)
seen = np.sort(rng.choice(LENGTH, LENGTH - LOST, replace=False))

# %%
# Two kinds of rows: neighbours on an antidiagonal are equal, and the mean of an antidiagonal is a known sample. Any
# sparse matrix or linear operator becomes a measurement by `FromLinearOperator`.

sums = np.add.outer(np.arange(SIDE), np.arange(SIDE)).ravel()
rows = []
for k in range(LENGTH):
    cells = np.flatnonzero(sums == k)
    if k in seen:
        rows.append((dict.fromkeys(cells, 1 / len(cells)), signal[k]))
    rows += [({a: 1.0, b: -1.0}, 0.0) for a, b in pairwise(cells)]
entries = [(value, i, j) for i, (row, _) in enumerate(rows) for j, value in row.items()]
values, i, j = np.array(entries).T
equations = csr_array((values, (i.astype(int), j.astype(int))), shape=(len(rows), SIDE * SIDE))
A = fm.measurements.FromLinearOperator(equations, (SIDE, SIDE))

# %%
# The flattest matrix has rank four, is proved to be the only flattest one, and has the lost samples.

solution = fm.flat_minimum(fm.Problem(A, np.array([value for _, value in rows]))).raise_if_failed()
found = np.concatenate([solution.matrix[0], solution.matrix[1:, -1]])
error = np.linalg.norm(found - signal) / np.linalg.norm(signal)
print(f"{solution.status.name}: rank {solution.rank}, relative error of the signal {error:.1e}")

# %%
# Its columns also tell the frequencies: shifting them by one sample multiplies each tone by ``exp(2πi f − fading)``,
# and these numbers are eigenvalues (the method is called ESPRIT).

columns = np.linalg.svd(solution.matrix)[0][:, : solution.rank]
shifts = np.linalg.eigvals(np.linalg.lstsq(columns[:-1], columns[1:], rcond=None)[0])
shifts = sorted(shifts[shifts.imag > 0], key=np.angle)
for shift, frequency, fading in zip(shifts, FREQUENCIES, FADING, strict=True):
    print(f"frequency {np.angle(shift) / (2 * np.pi):.6f} ({frequency}), fading {-np.log(abs(shift)):.6f} ({fading})")

# %%
# Lines between the known samples, the usual first choice, distort the fast tone. Right: the singular values of the
# matrix with lines between the samples, and of the flattest one.

between = np.interp(time, seen, signal[seen])
lines = between[np.add.outer(np.arange(SIDE), np.arange(SIDE))]
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4), layout="constrained", width_ratios=(2, 1))
left.plot(time, between, color=YELLOW, label="lines between the samples")
left.plot(time, found, color=BLUE, marker="o", fillstyle="none", label="flattest matrix")
left.plot(time, signal, ".", color=RED, label="lost samples")
left.plot(seen, signal[seen], ".", color="black", label="known samples")
left.set(title=f"{LENGTH - LOST} of {LENGTH} samples", xlabel="time")
left.legend(ncols=2, fontsize=8)
for matrix, color, label in ((lines, YELLOW, "lines between the samples"), (solution.matrix, BLUE, "flattest matrix")):
    sizes = np.linalg.svd(matrix, compute_uv=False)
    right.semilogy(np.arange(1, SIDE + 1), np.maximum(sizes, 1e-17), "o", color=color, label=label)
right.set(title="Singular values of the Hankel matrix", xlabel="index")
right.legend(fontsize=8)
plt.show()

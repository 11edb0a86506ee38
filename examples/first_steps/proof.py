"""
A proof that does not need flatmin
==================================

A certificate is computed in floating-point arithmetic, by the library that found the solution. A *proof* is a file
that a short program checks in exact arithmetic. The program needs nothing but Python, and trusts neither flatmin nor
its solvers.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm
from flatmin.proofs.checker import canonical

# %%
# A matrix of rank one with whole numbers, and 80 exact measurements of its 120 entries.

rng = np.random.default_rng(0)
truth = rng.integers(-3, 4, (12, 1)) @ rng.integers(-3, 4, (1, 10))
A = fm.measurements.Dense(rng.integers(-3, 4, (80, 12, 10)))
problem = fm.Problem(A, A.forward(truth.astype(float)))
solution = fm.flat_minimum(problem)
print(solution.status.value)

# %%
# `prove` turns the solution into theorems. V and U enclose the smallest possible trace. T is the strongest one.

proof = fm.prove(problem, solution)
for statement in proof.statements:
    print(f"{statement.kind}: {statement.words}")

# %%
# The proof and the data are two files. The checker gets them and the hash of the data, and nothing else.

folder = Path(tempfile.mkdtemp())
proof.save(folder / "proof.json")
check = [sys.executable, "-m", "flatmin.proofs.checker", folder / "proof.json", folder / "instance.npz"]
checked = subprocess.run([*check, "--sha256", proof.sha256], capture_output=True, text=True, encoding="utf-8")
print("exit status", checked.returncode)
print(*checked.stdout.splitlines()[-3:], sep="\n")

# %%
# A forged proof does not pass. Here the lower bound of V is raised by one part in a million, and the seal of the file
# is renewed.

document = json.loads((folder / "proof.json").read_text(encoding="utf-8"))
document["statements"][0]["lower"] = str(float(document["statements"][0]["lower"]) * (1 + 1e-6))
del document["seal"]
document["seal"] = hashlib.sha256(canonical(document)).hexdigest()
(folder / "proof.json").write_bytes(canonical(document) + b"\n")
forged = subprocess.run(check, capture_output=True, text=True, encoding="utf-8")
print("exit status", forged.returncode)
print(forged.stdout.strip() or forged.stderr.strip())

# %%
# What V and T say about other matrices: 2000 random ones that fit the data, near the truth and far from it. Flatness is
# ``certify(…).value``, the smallest scaled trace of a matrix over all its factors. None lies below the proved bound.

fits = np.linalg.svd(A.matrices().reshape(80, -1))[2][80:]  # directions that no measurement sees
steps = rng.standard_normal((2000, len(fits))) @ fits
steps *= 10.0 ** rng.uniform(-2, 1.5, (2000, 1)) / np.linalg.norm(steps, axis=1, keepdims=True)
dual = solution.certificate.dual
values = [fm.certify(problem, truth + step.reshape(truth.shape), dual).value for step in steps]
bound = float(proof.statement("V").numbers["lower"])
print(f"proved: at least {bound:.4f}; the smallest of 2000 others: {min(values):.4f}")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained", width_ratios=(1, 1, 1.8))
for axis, matrix, title in ((axes[0], truth, "truth"), (axes[1], proof.matrix, "matrix of the proof")):
    axis.imshow(matrix, cmap="RdBu_r", vmin=-9, vmax=9)
    axis.set(title=title, xticks=[], yticks=[])
axes[2].loglog(np.linalg.norm(steps, axis=1), np.array(values) - bound, ".", color="#1b6ca8", markersize=3)
axes[2].set(title="Other matrices that fit", xlabel="distance from the truth", ylabel="trace − proved bound")
plt.show()

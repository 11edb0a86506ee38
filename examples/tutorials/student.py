"""
A theory student: when is flat the truth?
=========================================

A paper states that flat minima recover a matrix of rank r from "a few times r (d1 + d2)" Gaussian measurements. How
many times is a few? This tutorial begins with a conjecture, finds a counterexample by looking, replaces the conjecture
by a better one, states in advance what would refute it, tests it, and proves one case in exact arithmetic.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm
from flatmin.lab import Claim, statistical_dimension, wilson

D, DRAWS = 10, 20
BLUE, RED, GREY = "#1b6ca8", "#d1495b", "#777777"

# %%
# The conjecture
# --------------
#
# A d × d matrix of rank r has r (2 d − r) degrees of freedom. The first guess: that many measurements are enough. Draw
# one problem with exactly that many.

freedom = 1 * (2 * D - 1)
instance = fm.families.matrix_sensing.sample((D, D), rank=1, n_measurements=freedom, seed=0)
solution = fm.flat_minimum(instance.problem)
distance = np.linalg.norm(solution.matrix - instance.truth) / np.linalg.norm(instance.truth)
print(f"{freedom} measurements: {solution.status.name}, rank {solution.rank}, distance from the truth {distance:.2f}")

# %%
# Not a failure of the solver
# ---------------------------
#
# The solution is certified: it fits, and nothing that fits is flatter. So the truth, which fits too, is less flat. This
# refutes the first guess, and a certificate is what makes it a refutation: without one, a bad solver could be the
# reason.

truth = fm.certify(instance.problem, instance.truth, solution.certificate.dual)
print(f"scaled trace of the solution {solution.certificate.value:.1f}, of the truth {truth.value:.1f}")
print(f"no fit is below {solution.certificate.lower_bound:.1f}")

# %%
# A better conjecture
# -------------------
#
# Theory predicts where the nuclear norm sets in: at the statistical dimension of its descent cone. For Gaussian
# measurements the flat norm is nearly the nuclear norm. So the second conjecture: *flat minima are the truth in most
# draws from 1.25 times the statistical dimension on, and in few draws below 0.75 times.* It is refuted if a share of
# successes, with its whole interval of 95 %, lies on the wrong side of one half.

boundary, _ = statistical_dimension((D, D), 1)
print(f"degrees of freedom {freedom}, statistical dimension {boundary:.1f}")


def recovered(m, seed):
    """Return whether the flat minimum of a draw is the truth, and whether it is certified."""
    draw = fm.families.matrix_sensing.sample((D, D), rank=1, n_measurements=m, seed=seed)
    found = fm.flat_minimum(draw.problem)
    error = np.linalg.norm(found.matrix - draw.truth) / np.linalg.norm(draw.truth)
    return error < 1e-6, found.status.certified


# %%
# The test
# --------
#
# Twenty draws at each of eight numbers of measurements. Every solution should be certified, recovered or not; otherwise
# a failure could again be the solver's.

numbers = np.unique(np.round(boundary * np.array([0.5, 0.65, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5])).astype(int))
outcomes = {int(m): [recovered(int(m), 1000 * int(m) + k) for k in range(DRAWS)] for m in numbers}
shares = {m: np.mean([success for success, _ in draws]) for m, draws in outcomes.items()}
certified = np.mean([proved for draws in outcomes.values() for _, proved in draws])
print(f"certified: {certified:.0%} of {DRAWS * len(numbers)} solutions")
for m, share in shares.items():
    low, high = wilson(round(share * DRAWS), DRAWS)
    print(f"m = {m:>3}, {m / boundary:.2f} times the statistical dimension: {share:.0%} [{low:.0%}, {high:.0%}]")

# %%
# The verdicts
# ------------
#
# A claim holds or fails if its whole interval lies on one side of its limit; otherwise it is undecided.

above = [success for m, draws in outcomes.items() if m >= 1.2 * boundary for success, _ in draws]
below = [success for m, draws in outcomes.items() if m <= 0.8 * boundary for success, _ in draws]
claims = [
    Claim.from_share("from 1.25 times on, the share of draws that are recovered", above, above=0.5),
    Claim.from_share("up to 0.75 times, the share of draws that are recovered", below, below=0.5),
]
for claim in claims:
    print(f"{claim.verdict}: {claim.text}: {claim.estimate:.2f} [{claim.low:.2f}, {claim.high:.2f}]")

# %%
# One case as a theorem
# ---------------------
#
# Shares are statistics. For a single instance with whole numbers, "the truth is the unique flat minimum" can be a
# theorem in exact arithmetic. The checker is a program of one file, which trusts neither flatmin nor floating-point
# numbers.

rng = np.random.default_rng(0)
whole = rng.integers(-3, 4, (D, 1)) @ rng.integers(-3, 4, (1, D))
A = fm.measurements.Dense(rng.integers(-3, 4, (int(1.5 * boundary), D, D)))
problem = fm.Problem(A, A.forward(whole * 1.0))
proof = fm.prove(problem, fm.flat_minimum(problem))
folder = Path(tempfile.mkdtemp())
proof.save(folder / "proof.json")
check = [sys.executable, "-m", "flatmin.proofs.checker", folder / "proof.json", folder / "instance.npz"]
checked = subprocess.run([*check, "--sha256", proof.sha256], capture_output=True, text=True, encoding="utf-8")
print("theorems:", ", ".join(statement.kind for statement in proof.statements), "- exit status", checked.returncode)
print("the matrix of the theorem is the truth:", np.array_equal(proof.matrix, whole))

# %%
# The decision
# ------------
#
# "A few times r (d1 + d2)" is, for these sizes, the statistical dimension over r (d1 + d2): a number below three. The
# next question would be whether it stays so for other d and r; ``flatmin sweep figure-3`` asks it.

print(f"a few = {boundary / (2 * D):.2f} for d = {D} and r = 1; verdicts: {[claim.verdict for claim in claims]}")
ms = np.array(list(shares))
bands = np.array([wilson(round(share * DRAWS), DRAWS) for share in shares.values()])
figure, axis = plt.subplots(figsize=(8, 4.4), layout="constrained")
axis.vlines(ms, bands[:, 0], bands[:, 1], color=BLUE, alpha=0.5)
axis.plot(ms, list(shares.values()), "o-", color=BLUE, label="share recovered, 95 % intervals")
axis.axvline(freedom, color=RED, ls=":", label="degrees of freedom: the first guess")
axis.axvline(boundary, color=GREY, ls="--", label="statistical dimension: the second")
axis.set(xlabel="number of measurements", ylabel="share of draws recovered", ylim=(-0.03, 1.03))
axis.legend(loc="lower right")
plt.show()

"""
Choosing the strength of the penalty
====================================

The table is ``exp(-8 |s − t|)`` for places s along one side and t along the other, with a bend at s = t. Its singular
values fall slowly, and no rank is right. Two fifths of the cells are observed, with noise.

An exact fit fits the noise. The square-root rule (``alpha="auto"``) is designed for data of low rank: it keeps only
components that are above the noise with certainty, so its penalty is strong here, and its refit has a fixed rank.
Cross-validation chooses the alpha that best predicts held-out cells, and predicts with the penalised solution itself;
the one-standard-error rule takes the simplest solution of about the same error. The true errors, which only this
example knows, show which answer is best.
"""

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

# %%
# A table with a bend along its diagonal, two fifths of its cells, and noise.

SHAPE, SEEN, NOISE, SEED = (60, 50), 0.4, 0.1, 0
BLUE, YELLOW, RED, GREY = "#1b6ca8", "#edae49", "#d1495b", "#777777"


def table():
    """Return the table, and the problem of completing it from some of its cells with noise."""
    rng = np.random.default_rng(SEED)
    s, t = (np.linspace(0, 1, n) for n in SHAPE)
    X = np.exp(-8 * np.abs(s[:, None] - t))
    rows, cols = np.divmod(rng.choice(X.size, int(SEEN * X.size), replace=False), SHAPE[1])
    seen = X[rows, cols] + NOISE * rng.standard_normal(len(rows))
    return X, fm.Problem(fm.measurements.Entries(rows, cols, SHAPE), seen)


X, problem = table()

# %%
# `cross_validate` tries a path of strengths on five folds. Both rules read their answer from its result.


def error(matrix):
    return float(np.sqrt(np.mean((matrix - X) ** 2)))


found = fm.cross_validate(problem, n_alphas=14, ratio=0.02, seed=SEED)
simple = float(found.alphas[found.position("one_standard_error")[1]])
one = fm.flat_minimum(problem, alpha=simple)

# %%
# ``alpha="auto"`` chooses the strength from the noise, and adds a refit at the rank that it finds.

auto = fm.flat_minimum(problem, alpha="auto")
L, R = auto.noise.refit

# %%
# `flat_path` solves along all strengths, and so tells how good the best of them would have been.

along = fm.flat_path(problem, found.alphas, tol=1e-4)
truths = np.array([error(s.matrix) for s in along.solutions])
errors = {
    "exact fit": error(fm.flat_minimum(problem, tol=1e-6, max_iter=300).matrix),
    "auto": error(auto.matrix),
    f"auto, refit at rank {auto.noise.rank}": error(L @ R.T),
    "cross-validation": error(found.solution.matrix),
    "… one standard error": error(one.matrix),
    "best strength (unknown)": truths.min(),
}
for name, value in errors.items():
    print(f"{name:28} {value:.4f}")
proof = found.solution.certificate
print(f"chosen alpha {found.alpha:.3g}, rank {found.solution.rank}, certified to a gap of {proof.relative_gap:.0e}")

# %%
# Left: the errors on held-out cells, and the chosen strengths. Right: the errors of all answers against the truth.

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
shown = ~np.isnan(found.mean[0])
alphas, mean, spread = (v[shown] for v in (found.alphas, found.mean[0], found.standard_error[0]))
left.errorbar(alphas, np.sqrt(mean), spread / 2 / np.sqrt(mean), color=BLUE, marker="o", markersize=4, capsize=2)
left.plot(alphas, np.sqrt(NOISE**2 + truths[shown] ** 2), color=GREY, linestyle="--", label="true error, with noise")
for s, color, label in ((found.solution, BLUE, "least error"), (one, YELLOW, "one standard error")):
    left.axvline(s.settings["alpha"], color=color, linestyle=":", label=f"{label}: rank {s.rank}")
left.axvline(auto.noise.alpha, color=RED, linestyle=":", label=f"auto: rank {auto.rank}")
left.set(xscale="log", xlabel="strength alpha", ylabel="root mean square error", title="Cells held out, five folds")
left.set_xticks([0.3, 1, 3], ["0.3", "1", "3"])
left.minorticks_off()
left.legend(loc="lower right")
colors = [GREY, RED, RED, BLUE, YELLOW, GREY]
right.barh(list(errors), list(errors.values()), color=colors)
right.invert_yaxis()
right.set(title="All cells, against the truth", xlabel="root mean square error")
for place, error in enumerate(errors.values()):
    right.text(error, place, f" {error:.3f}", va="center", fontsize=9)
right.margins(x=0.15)
plt.show()

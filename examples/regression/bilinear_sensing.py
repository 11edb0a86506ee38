"""
Which features act together?
============================

Every observation is a pair of feature vectors, for example of a reader and of a book, and one number ``y = aᵀ M b``. M,
30×20, has 600 entries. 300 observations do not determine them, unless a few hidden traits explain M, so that it has low
rank. The flattest M that fits is the truth, and it is proved to be the only flattest one. The M of least Frobenius
norm, the limit of ridge regression, fits the observations equally well and predicts poorly.
"""

import matplotlib.pyplot as plt
import numpy as np

import flatmin as fm

# %%
# 600 unknowns, 300 observations.

SHAPE, RANK, COUNT, FRESH = (30, 20), 2, 300, 400
BLUE, YELLOW = "#1b6ca8", "#edae49"


def predict(M, left, right):
    """Return ``aᵀ M b`` for every pair of rows."""
    return np.einsum("mi,ij,mj->m", left, M, right)


def unexplained(found, known):
    """Return the share of the variance that predictions do not explain."""
    return float(np.sum((found - known) ** 2) / np.sum((known - known.mean()) ** 2))


# %%
# An instance with a known truth. `flat_minimum` finds the flattest matrix; ``raise_if_failed`` turns a failure into an
# error.

instance = fm.families.bilinear_sensing.sample(SHAPE, RANK, COUNT, seed=0)
problem, truth = instance.problem, instance.truth
solution = fm.flat_minimum(problem).raise_if_failed()
rows = problem.measurement.matrices().reshape(COUNT, -1)
least = np.linalg.lstsq(rows, problem.data, rcond=None)[0].reshape(SHAPE)
certificate = solution.certificate
print(f"{COUNT} observations, {SHAPE[0] * SHAPE[1]} unknowns, rank {solution.rank} found: {solution.status.name}")
print(f"gap {certificate.relative_gap:.1e}, certified radius {certificate.radius:.1e}")

# %%
# Both matrices fit. On pairs that were not observed, only the flattest one predicts.

rng = np.random.default_rng(1)
left, right = (rng.standard_normal((FRESH, d)) for d in SHAPE)
known = predict(truth, left, right)
matrices = {"truth": truth, "least Frobenius norm": least, "flattest": solution.matrix}
predictions = {name: predict(matrices[name], left, right) for name in ("least Frobenius norm", "flattest")}
for name, values in predictions.items():
    fit = np.linalg.norm(problem.measurement.forward(matrices[name]) - problem.data) / np.linalg.norm(problem.data)
    share, judged = unexplained(values, known), fm.certify(problem, matrices[name], certificate.dual)
    print(
        f"{name:21}: residual {fit:.1e}, flatness gap {judged.relative_gap:8.1e}, "
        f"{share:.1e} of the variance of new pairs unexplained"
    )

# %%
# The truth, both matrices, and their predictions for new pairs.

figure, axes = plt.subplots(1, 4, figsize=(13, 3.8), layout="constrained", width_ratios=(1, 1, 1, 1.5))
high = float(np.abs(matrices["truth"]).max())
for axis, (title, M) in zip(axes, matrices.items(), strict=False):
    image = axis.imshow(M, cmap="RdBu_r", vmin=-high, vmax=high)
    axis.set(title=title, xticks=[], yticks=[])
figure.colorbar(image, ax=axes[:3], location="left", shrink=0.8, label="entry of M")
for (title, values), color, marker in zip(predictions.items(), (YELLOW, BLUE), "s.", strict=True):
    label = f"{title}: {unexplained(values, known):.1e} unexplained"
    axes[3].plot(known, values, marker, color=color, markersize=5, label=label)
axes[3].set(title="New pairs", xlabel="true y", ylabel="predicted y")
axes[3].legend(loc="upper left")
plt.show()

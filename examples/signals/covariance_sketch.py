"""
The spectrum of a stream that was never stored
==============================================

A sensor with 60 channels observes a stream that moves along four directions; the weakest of them is ten times weaker
than the first. Only energies are stored: for each of 900 random vectors x the mean of ``(xᵀ z)²`` over many samples z,
which is ``xᵀ Σ x``, measured with noise. `CovarianceSketch` finds the number of directions, Σ, and the level of the
noise, although Σ has twice as many entries, 1830, as there are energies.

The certificate proves that the penalised solution, with which ``refit=False`` predicts, minimises loss + alpha · scaled
trace. This solution has a larger error, because it fits the noise with directions of its own.
"""

import matplotlib.pyplot as plt
import numpy as np

from flatmin import CovarianceSketch

# %%
# The covariance has 1830 different entries. 900 energies are known.

CHANNELS, SKETCHES, FRESH, NOISE = 60, 900, 600, 0.1
SIZES = np.array([10.0, 6.0, 3.0, 1.0])
BLUE, YELLOW, GREY = "#1b6ca8", "#edae49", "0.6"


def covariance():
    """Return Σ: smooth waves over the channels, of four sizes."""
    place = (np.arange(CHANNELS) + 0.5) / CHANNELS
    waves = np.sqrt(2) * np.cos(np.pi * np.outer(place, np.arange(1, len(SIZES) + 1))) / np.sqrt(CHANNELS)
    return (waves * SIZES) @ waves.T


# %%
# `CovarianceSketch` gets the random vectors and the energies.

rng, truth = np.random.default_rng(0), covariance()
X = rng.standard_normal((SKETCHES + FRESH, CHANNELS))
clean = np.einsum("mi,ij,mj->m", X, truth, X)
sigma = NOISE * np.sqrt(np.mean(clean**2))
y, old, fresh = clean + sigma * rng.standard_normal(len(clean)), slice(SKETCHES), slice(SKETCHES, None)
models = {"refit": CovarianceSketch().fit(X[old], y[old])}
models["certified"] = CovarianceSketch(refit=False).fit(X[old], y[old])
print(models["refit"])
print(f"the noise that was added: {sigma:.3g}; true sizes {SIZES}")
print(f"estimated sizes: {models['refit'].explained_variance_.round(2)}")
for name, model in models.items():
    error = np.linalg.norm(model.covariance_ - truth) / np.linalg.norm(truth)
    print(f"{name:9}: rank {model.rank_}, error of the covariance {error:.1%}")

# %%
# The covariance, its sketch, their eigenvalues, and energies along new vectors.

X = X[fresh]
clean = clean[fresh]
figure, axes = plt.subplots(1, 4, figsize=(14, 3.6), layout="constrained", width_ratios=(1, 1, 1.2, 1.2))
largest = np.abs(truth).max()
for axis, (title, S) in zip(axes, {"truth": truth, "sketch": models["refit"].covariance_}.items(), strict=False):
    image = axis.imshow(S, cmap="RdBu_r", vmin=-largest, vmax=largest)
    axis.set(title=title, xticks=[], yticks=[])
figure.colorbar(image, ax=axes[:2], location="left", shrink=0.8, label="covariance of two channels")
axes[2].plot(range(1, len(SIZES) + 1), SIZES, "o", color=GREY, markersize=11, label="truth")
for (name, model), color, marker in zip(models.items(), (BLUE, YELLOW), "o.", strict=True):
    values = model.explained_variance_
    axes[2].semilogy(range(1, len(values) + 1), values, marker, color=color, label=f"{name}: rank {model.rank_}")
    predicted = model.predict(X)
    error = np.sqrt(np.mean((predicted - clean) ** 2) / np.mean(clean**2))
    axes[3].plot(clean, predicted, ".", color=color, markersize=4, label=f"{name}: error {error:.1%}")
axes[2].set(title="Eigenvalues", xlabel="number")
axes[2].legend()
axes[3].set(title="New energies", xlabel="without noise", ylabel="predicted")
axes[3].legend()
plt.show()

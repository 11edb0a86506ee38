"""
Which pixels matter?
====================

Every sample is a picture of 32×32 pixels and one number, ``y = ⟨picture, M⟩ + c + noise``, as when brain scans are
related to a score. M has 1024 entries and there are 600 samples, but M is a shape of rank two. `TraceRegressor` knows
neither the rank nor the size of the noise. It finds the rank, the shape and the level of the noise. Ridge regression,
with its strength chosen by cross-validation, finds a shape that is mostly noise and does not explain two fifths of the
variance of new pictures.

The certificate proves that the penalised solution minimises loss + alpha · scaled trace. That alpha, chosen from the
residual, and the refit at its rank are good is a statistical statement, which the truth confirms here.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV

import flatmin as fm

# %%
# 600 samples and 1024 unknown weights.

SIDE, COUNT, FRESH, NOISE = 32, 600, 400, 0.2
BLUE, YELLOW = "#1b6ca8", "#edae49"

# %%
# The weights form a cross, which is a matrix of rank two.


def shape():
    """Return a cross, a matrix of rank two."""
    M = np.zeros((SIDE, SIDE))
    M[13:18, 5:27] = 1
    M[5:27, 13:18] = 1
    return M


def unexplained(found, known):
    """Return the share of the variance that predictions do not explain."""
    return float(np.sum((found - known) ** 2) / np.sum((known - known.mean()) ** 2))


# %%
# `TraceRegressor` takes the pictures as they are, an array of shape (samples, 32, 32). It estimates the noise together
# with the weights.

rng = np.random.default_rng(0)
M, pictures = shape(), rng.standard_normal((COUNT + FRESH, SIDE, SIDE))
clean = (pictures * M).sum(axis=(1, 2)) + 10
sigma = NOISE * clean.std()
y, old, fresh = clean + sigma * rng.standard_normal(len(clean)), slice(COUNT), slice(COUNT, None)
model = fm.TraceRegressor().fit(pictures[old], y[old])
print(model)
print(f"the noise that was added: {sigma:.3g}")

# %%
# Ridge regression takes a picture as a vector, and cannot know that the weights form a matrix of low rank.

rows = pictures.reshape(len(y), -1)
ridge = RidgeCV(np.logspace(0, 5, 21)).fit(rows[old], y[old])
shapes = {"truth": M, "ridge": ridge.coef_.reshape(M.shape), "trace regression": model.coef_}
predictions = {"ridge": ridge.predict(rows[fresh]), "trace regression": model.predict(pictures[fresh])}
for name, values in predictions.items():
    error = np.linalg.norm(shapes[name] - M) / np.linalg.norm(M)
    share = unexplained(values, clean[fresh])
    print(f"{name:16}: error of the shape {error:.0%}, {share:.1%} of the variance of new pictures unexplained")

# %%
# The cross, as both methods see it, and their predictions for new pictures.

clean = clean[fresh]
figure, axes = plt.subplots(1, 4, figsize=(13, 3.6), layout="constrained", width_ratios=(1, 1, 1, 1.4))
for axis, (title, M) in zip(axes, shapes.items(), strict=False):
    image = axis.imshow(M, cmap="RdBu_r", vmin=-1.2, vmax=1.2)
    axis.set(title=title, xticks=[], yticks=[])
figure.colorbar(image, ax=axes[:3], location="left", shrink=0.8, label="weight of a pixel")
for (title, values), color, marker in zip(predictions.items(), (YELLOW, BLUE), "s.", strict=True):
    share = unexplained(values, clean)
    axes[3].plot(clean, values, marker, color=color, markersize=5, label=f"{title}: {share:.1%} unexplained")
axes[3].set(title="New pictures", xlabel="y without noise", ylabel="predicted y")
axes[3].set_ylim(top=1.25 * axes[3].get_ylim()[1])
axes[3].legend(loc="upper left")
plt.show()

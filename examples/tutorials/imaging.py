"""
An imaging scientist: how many photons?
=======================================

A camera behind masks counts photons and loses the phases. Light damages the sample, so the dose should be as small as
possible. How many masks, and how many photons, are needed for a relative error of 10 %? The decision must not use the
true picture, because a real experiment has none. This tutorial finds a criterion that needs no truth, tests it where
the truth is known, and decides.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from flatmin import PhaseRetrieval
from flatmin.families.phase_retrieval import octanary_masks

SIDE, GOAL = 20, 0.10
MASKS, DOSES = (4, 6, 8), (16, 64, 256)  # photons in the mean pixel, over all masks together
COLORS = {4: "#d1495b", 6: "#edae49", 8: "#1b6ca8"}

# %%
# The raw data
# ------------
#
# A test object whose picture is known. One more mask than we use is kept for the test at the end.

PHOTOGRAPH = Path(__file__).resolve().parents[1] / "data" / "portrait.png"
with Image.open(PHOTOGRAPH) as image:
    truth = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=float) / 255
masks = octanary_masks(max(MASKS) + 1, truth.shape, seed=0)
clean = np.abs(np.fft.fft2(masks.conj() * truth)) ** 2


def counts(number, dose, seed):
    """Return the counts behind the first masks and behind the last one, and the intensity of a photon."""
    unit = clean.mean() * number / dose  # the dose is shared by the masks
    photons = np.random.default_rng(seed).poisson(clean / unit)
    return photons[:number], photons[-1], unit


def error_of(signal, unit):
    """Return the relative error of a signal, after the phase that the data do not determine is aligned."""
    signal = np.sqrt(unit) * signal
    inner = np.vdot(signal, truth)
    return np.linalg.norm(signal * inner / abs(inner) - truth) / np.linalg.norm(truth)


# %%
# One exposure
# ------------
#
# Start with one setting and look at everything that the fit says. ``unit_`` is the variance of a count over its mean;
# it is 1 if the model is right and all noise is that of photons. A larger value says that something else is wrong.

photons, spare, unit = counts(8, 256, seed=0)
model = PhaseRetrieval(noise="poisson").fit(masks[:8], photons)
print(model)
print(f"variance of a count {model.unit_:.2f} of its mean; error {error_of(model.signal_, unit):.3f}")

# %%
# A criterion without the truth
# -----------------------------
#
# The picture predicts what an unused mask would see. The spare counts differ from the prediction by their own noise,
# which is known, and by the error of the prediction. So the excess of the squared residual over the expected noise
# measures the error of the predicted intensities. Behind random masks their relative error is about that of the
# picture: an intensity has twice the relative error of its amplitude, half of the error is in the phase and does not
# matter, and bright pixels count more.


def estimated_error(model, mask, spare):
    """Return an estimate of the relative error of a picture, from the counts behind a mask that was not used."""
    predicted = model.predict(mask[None]).reshape(spare.shape)
    excess = np.sum((spare - predicted) ** 2) - np.sum(spare)  # a Poisson variable has a variance equal to its mean
    return np.sqrt(max(excess, 0) / np.sum(predicted**2))


print(f"estimated error {estimated_error(model, masks[-1], spare):.3f}")

# %%
# All settings
# ------------
#
# For each number of masks and each dose: the true error, which an experiment does not know, and the estimate.

rows = []
for number in MASKS:
    for dose in DOSES:
        photons, spare, unit = counts(number, dose, seed=dose)
        model = PhaseRetrieval(noise="poisson").fit(masks[:number], photons)
        rows.append((number, dose, error_of(model.signal_, unit), estimated_error(model, masks[-1], spare)))
        print("{} masks, {:>3} photons a pixel: error {:.3f}, estimated {:.3f}".format(*rows[-1]))

# %%
# Is the criterion good enough?
# -----------------------------
#
# It need not be exact, but it must not accept a bad picture. Compare both for all settings.

table = np.array(rows)
accepted, good = table[:, 3] <= GOAL, table[:, 2] <= GOAL
print(f"accepted {accepted.sum()} of {len(table)}: {np.sum(accepted & ~good)} of them are worse than {GOAL:.0%}")
print(f"refused {np.sum(~accepted)}: {np.sum(~accepted & good)} of them are good")

# %%
# The decision
# ------------
#
# Take the smallest dose that is accepted, and of these the fewest masks, because each mask costs time.

if accepted.any():
    number, dose, error, estimate = min(rows, key=lambda row: (row[3] > GOAL, row[1], row[0]))
    print(f"use {number} masks and {dose} photons a pixel: estimated error {estimate:.2f}, true error {error:.2f}")
else:
    print("no setting is good enough: increase the dose")

# %%
# Left: the true errors. Middle: the estimate against the truth; points in the lower right would be accepted by mistake.
# Right: the picture at the chosen setting.

photons, spare, unit = counts(number, dose, seed=dose)
signal = np.sqrt(unit) * PhaseRetrieval(noise="poisson").fit(masks[:number], photons).signal_
inner = np.vdot(signal, truth)
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for count in MASKS:
    part = table[table[:, 0] == count]
    axes[0].loglog(part[:, 1], part[:, 2], "o-", color=COLORS[count], label=f"{count} masks")
    axes[1].loglog(part[:, 2], np.maximum(part[:, 3], 1e-3), "o", color=COLORS[count], label=f"{count} masks")
axes[0].axhline(GOAL, color="black", lw=0.8)
axes[0].set(title="Error by dose", xlabel="photons in the mean pixel", ylabel="relative error")
axes[0].legend()
axes[1].axhline(GOAL, color="black", lw=0.8)
axes[1].axvline(GOAL, color="black", lw=0.8)
axes[1].set(title="Estimate without the truth", xlabel="true error", ylabel="estimated error")
axes[2].imshow((signal * inner / abs(inner)).real, cmap="gray", vmin=0, vmax=1)
axes[2].set(title=f"{number} masks, {dose} photons a pixel", xticks=[], yticks=[])
plt.show()

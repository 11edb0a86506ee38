"""
Phase retrieval from few photons
================================

A camera behind eight known masks, one after the other, counts photons: ``|FFT(conj(mask) · s)|²`` of them on average,
and no phase. A pixel that counts n photons has an error of about √n, so dark pixels are more accurate than bright ones.
`PhaseRetrieval` with ``noise="poisson"`` weights them accordingly, by the expected counts of its own fit, and estimates
from the data how much a count varies. Least squares gives all pixels the same weight, and its error is 20 to 30 %
larger.

Nothing is proved here about signals from noisy data: they are fits of rank one, in general local minima. The comparison
with the truth shows that they are good.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from flatmin import PhaseRetrieval
from flatmin.families.phase_retrieval import octanary_masks

# %%
# Three doses, from 3 to 30 photons a pixel of the camera.

PHOTOGRAPH = Path(__file__).resolve().parents[1] / "data" / "portrait.png"
SIDE, MASKS, DOSES, SHOWN = 32, 8, (3, 10, 30), 10
METHODS = {"least squares": "gaussian", "counts": "poisson"}
COLORS = {"least squares": "#edae49", "counts": "#1b6ca8"}


def photograph():
    """Return the photograph in grey, reduced in size, with numbers from 0 to 1."""
    with Image.open(PHOTOGRAPH) as image:
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=float) / 255


def aligned(signal, truth):
    """Return the signal times the phase that brings it closest to the truth."""
    inner = np.vdot(signal, truth)
    return signal * (inner / abs(inner))


# %%
# `PhaseRetrieval` takes the masks and the counts. With ``noise="poisson"`` the error of a count is that of a Poisson
# distribution, times a factor that it estimates.

truth, masks = photograph(), octanary_masks(MASKS, (SIDE, SIDE), seed=0)
clean = np.abs(np.fft.fft2(masks.conj() * truth)) ** 2
errors, found, shown = {name: [] for name in METHODS}, {}, None
for dose in DOSES:
    unit = clean.mean() / dose
    photons = np.random.default_rng(dose).poisson(clean / unit)
    for name, noise in METHODS.items():
        model = PhaseRetrieval(noise=noise).fit(masks, photons)
        image = aligned(np.sqrt(unit) * model.signal_, truth)
        error = np.linalg.norm(image - truth) / np.linalg.norm(truth)
        errors[name].append(error)
        variance = "" if model.unit_ is None else f", variance of a count {model.unit_:.2f} of its mean"
        print(f"{dose:4} photons a pixel, {name:13}: error {error:.1%}{variance}")
        if dose == SHOWN:
            found[name], shown = (image.real, error), photons[0]

# %%
# The photograph, one pattern of counts, both results at the middle dose, and the errors at all doses.

figure, axes = plt.subplots(1, 5, figsize=(15, 3.6), layout="constrained", width_ratios=(1, 1, 1, 1, 1.3))
pictures = {"photograph": truth} | {f"{name}, error {error:.1%}": image for name, (image, error) in found.items()}
for axis, (title, picture) in zip(axes[[0, 2, 3]], pictures.items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])
image = axes[1].imshow(np.fft.fftshift(shown), cmap="magma", norm="symlog")
axes[1].set(title=f"1 of {MASKS} patterns, photons", xticks=[], yticks=[])
figure.colorbar(image, ax=axes[1], shrink=0.7)
for name, values in errors.items():
    axes[4].loglog(DOSES, values, "o-", color=COLORS[name], label=name)
axes[4].set(title="Error of the photograph", xlabel="photons a pixel of the camera", ylabel="relative error")
axes[4].set_xticks(DOSES, DOSES)
axes[4].minorticks_off()
axes[4].set_yticks([0.05, 0.1, 0.2], ["5 %", "10 %", "20 %"])
axes[4].legend()
plt.show()

"""
A photograph from coded diffraction patterns
============================================

A camera behind a mask measures ``|FFT(conj(mask) · s)|²`` and no phase. Eight random masks give eight such patterns of
the photograph s. The unknown ``X = s s*`` would be a matrix of 2304 × 2304 entries and is never formed. For such
measurements all positive semidefinite X that fit are equally flat, so the certificate reports two facts: how well s
fits, and whether a dual vector proves that nothing else fits, with its margin and the proof of the margin. The signal
is determined up to one global phase.

The usual first choice is alternating projections: on the measured intensities, and on the patterns of signals. Both
methods are also run with fewer masks, the projections from three random starts of which the best fit counts. The last
panel shows from how many masks on each finds the photograph (one draw of the masks each). With fewer than eight masks
nothing is proved here: a photograph that was found is one of those that fit.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import flatmin as fm

# %%
# Eight masks, and fewer for the comparison.

PHOTOGRAPH = Path(__file__).resolve().parents[1] / "data" / "portrait.png"
SIDE, MASKS = 48, 8
FEWER = (3, 4, 5, 6)
ROUNDS, STARTS = 1000, 3


def photograph():
    """Return the photograph in grey, reduced in size, with numbers from 0 to 1."""
    with Image.open(PHOTOGRAPH) as image:
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=float) / 255


def aligned(signal, truth):
    """Return the signal times the phase that brings it closest to the truth."""
    inner = np.vdot(signal, truth)
    return signal * (inner / abs(inner))


# %%
# Alternating projections go back and forth between the measured intensities and the patterns of signals.


def by_projections(masks, patterns, seed):
    """Return the relative residual and the signal of alternating projections from a random start."""
    rng, shape = np.random.default_rng(seed), masks.shape[1:]
    signal = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    energy, amplitudes = (np.abs(masks) ** 2).sum(axis=0), np.sqrt(patterns)
    for _ in range(ROUNDS):
        seen = amplitudes * np.exp(1j * np.angle(np.fft.fft2(masks.conj() * signal)))
        signal = (masks * np.fft.ifft2(seen)).sum(axis=0) / energy
    misfit = np.abs(np.fft.fft2(masks.conj() * signal)) ** 2 - patterns
    return np.linalg.norm(misfit) / np.linalg.norm(patterns), signal


# %%
# ``from_picture`` simulates the camera: random masks, and the patterns as a `Problem`.


def relative_error(signal, truth):
    """Return the error of a signal up to its global phase."""
    return np.linalg.norm(aligned(signal, truth) - truth) / np.linalg.norm(truth)


def compared(masks):
    """Return an instance with this number of masks, its solution, and the errors of projections and of the solution."""
    instance = fm.families.phase_retrieval.from_picture(photograph(), masks, seed=0)
    seen, solution = instance.problem.measurement.masks, fm.flat_minimum(instance.problem)
    tries = [by_projections(seen, instance.problem.data.reshape(seen.shape), seed) for seed in range(STARTS)]
    _, projected = min(tries, key=lambda found: found[0])
    signal = fm.families.find("phase-retrieval").parts(instance.problem, solution)["signal"]
    return instance, solution, (relative_error(projected, instance.truth), relative_error(signal, instance.truth))


# %%
# With eight masks the certificate proves that no other signal has these patterns.


def facts(solution, size):
    """Return the facts about the solution, one on each line."""
    proof = solution.certificate
    kind = {"estimated": "estimated: no proof"}.get(proof.margin_kind, f"proved: {proof.margin_kind}")
    answer = {True: "yes, proved", False: "no, another one is in hand", None: "open"}[proof.unique]
    return [
        f"it fits: relative residual {proof.relative_residual:.1e}",
        f"the only one that fits: {answer}",
        "margin: none found" if proof.margin is None else f"margin {proof.margin:.3f} ({kind})",
        "" if proof.radius is None else f"certified: s s* is off by {proof.radius / size:.1%} at most",
    ]


# %%
# The picture is found from four masks on by `flat_minimum`, and by projections only with eight.

errors = {}
for masks in (*FEWER, MASKS):
    instance, solution, errors[masks] = compared(masks)
    print(f"{masks} masks: error by projections {errors[masks][0]:.1e}, by flatmin {errors[masks][1]:.1e}")
print(f"{SIDE}×{SIDE} pixels, {MASKS} masks: {solution.status.name} after {solution.seconds:.1f} s")
signal = fm.families.find("phase-retrieval").parts(instance.problem, solution)["signal"]
lines = facts(solution, np.linalg.norm(instance.truth) ** 2)
print("\n".join(line for line in lines if line))

# %%
# The photograph, one of its patterns, what is recovered, and its error.

problem = instance.problem
truth = instance.truth
found = aligned(signal, instance.truth)
figure, axes = plt.subplots(1, 5, figsize=(17, 4.4), layout="constrained")
pattern = problem.data.reshape(problem.measurement.masks.shape)[0]
error = np.abs(found - truth)
pictures = [
    ("photograph", truth, {"cmap": "gray", "vmin": 0, "vmax": 1}),
    (f"one of {MASKS} patterns, log scale", np.log10(pattern + 1e-3), {"cmap": "cividis"}),
    ("recovered", found.real, {"cmap": "gray", "vmin": 0, "vmax": 1}),
    ("error, log scale", np.log10(error + 1e-18), {"cmap": "cividis"}),
]
for axis, (title, picture, options) in zip(axes[:-1], pictures, strict=True):
    image = axis.imshow(picture, interpolation="nearest", **options)
    axis.set(title=title, xticks=[], yticks=[])
    figure.colorbar(image, ax=axis, location="bottom", shrink=0.8)
for i, (name, color, marker) in enumerate((("projections", "#edae49", "s"), ("flatmin", "#1b6ca8", "o"))):
    axes[-1].semilogy(list(errors), [e[i] for e in errors.values()], marker=marker, color=color, label=name)
axes[-1].set(title="relative error", xlabel="masks", xticks=list(errors))
axes[-1].legend()
figure.supxlabel("   ·   ".join(line for line in lines if line), fontsize=10)
plt.show()

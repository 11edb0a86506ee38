"""A photograph from the intensities of eight coded diffraction patterns, its phases unseen, and what is proved of it.

A camera behind a mask sees ``|FFT(conj(mask) · s)|²`` and no phase. Eight random masks give eight such patterns of
the photograph s. The unknown ``X = s s*`` would be a matrix of 4096 × 4096 entries and is never formed. For such
measurements every positive semidefinite X that fits is equally flat, so what is reported are two facts: how well s
fits, and whether a dual vector proves that nothing else fits, with its margin and what proves the margin. The signal
is defined up to one global phase.

Run ``python examples/phase_retrieval.py [PICTURE]``; it writes phase_retrieval.png unless told otherwise. About five
seconds.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import flatmin as fm

PHOTOGRAPH = Path(__file__).parent / "data" / "portrait.png"
SIDE, MASKS = 64, 8


def photograph():
    """Return the photograph in grey, numbers from 0 to 1, smaller."""
    with Image.open(PHOTOGRAPH) as image:
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=float) / 255


def aligned(signal, truth):
    """Return the signal times the phase that brings it nearest to the truth."""
    inner = np.vdot(signal, truth)
    return signal * (inner / abs(inner))


def facts(solution):
    """Return what is known of the solution, one fact a line."""
    proof = solution.certificate
    kind = {"estimated": "estimated: no proof"}.get(proof.margin_kind, f"proved: {proof.margin_kind}")
    answer = {True: "yes, proved", False: "no, another one is in hand", None: "open"}[proof.unique]
    return [
        f"it fits: relative residual {proof.relative_residual:.1e}",
        f"the only one that fits: {answer}",
        "margin: none found" if proof.margin is None else f"margin {proof.margin:.3f} ({kind})",
        "" if proof.radius is None else f"certified radius of s s*: {proof.radius:.1e}",
    ]


def draw(path, problem, truth, found, lines):
    """Draw the truth, a pattern, what is found, its error, and the facts below."""
    figure, axes = plt.subplots(1, 4, figsize=(13, 4.4), layout="constrained")
    pattern = problem.data.reshape(problem.measurement.masks.shape)[0]
    error = np.abs(found - truth)
    pictures = [
        ("photograph", truth, {"cmap": "gray", "vmin": 0, "vmax": 1}),
        (f"one of {MASKS} patterns, log scale", np.log10(pattern + 1e-3), {"cmap": "cividis"}),
        ("recovered", found.real, {"cmap": "gray", "vmin": 0, "vmax": 1}),
        ("error, log scale", np.log10(error + 1e-18), {"cmap": "cividis"}),
    ]
    for axis, (title, picture, options) in zip(axes, pictures, strict=True):
        image = axis.imshow(picture, interpolation="nearest", **options)
        axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(image, ax=axis, location="bottom", shrink=0.8)
    figure.supxlabel("   ·   ".join(line for line in lines if line), fontsize=10)
    figure.savefig(path, dpi=120)


def main(path="phase_retrieval.png"):
    """Compute, print and draw."""
    instance = fm.families.phase_retrieval.from_picture(photograph(), MASKS, seed=0)
    solution = fm.flat_minimum(instance.problem)
    signal = fm.families.find("phase-retrieval").parts(instance.problem, solution)["signal"]
    found = aligned(signal, instance.truth)
    error = np.linalg.norm(found - instance.truth) / np.linalg.norm(instance.truth)
    print(f"{SIDE}×{SIDE} pixels, {MASKS} masks: {solution.status.name} after {solution.seconds:.1f} s")
    print(f"relative error {error:.1e}, after aligning one global phase")
    lines = facts(solution)
    print("\n".join(line for line in lines if line))
    draw(path, instance.problem, instance.truth, found, lines)
    print(f"wrote {path}")


if __name__ == "__main__":
    main(*sys.argv[1:2])

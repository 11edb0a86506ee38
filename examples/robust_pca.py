"""A clip split into what stays and what moves: background of low rank, foreground as gross errors, with a proof.

The clip is made, and says so: a photograph under changing light, a square that wanders across it, and pixels that the
camera lost. Each frame is one row of a matrix. What stays has low rank; the square is a gross error in few pixels of
each frame. Nobody tells the solver the rank, where the square is, or how many pixels it covers. The certificate bounds
how far any other split that is as good could be from this one, so that it can be trusted without knowing the truth.

Run ``python examples/robust_pca.py [PICTURE]``; it writes robust_pca.png unless told otherwise. About three seconds.
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
SIDE, FRAMES, SQUARE = 64, 100, 12
BRIGHT = 1.2
LOST = 0.1
SHOWN = (8, 30, 71)


def background():
    """Return the photograph in grey under changing light, (frames, pixels), of rank two."""
    with Image.open(PHOTOGRAPH) as picture:
        still = np.asarray(picture.convert("L").resize((SIDE, SIDE)), dtype=float) / 255
    shade = np.linspace(0.3, 1, SIDE) * still
    time = np.linspace(0, 1, FRAMES)
    light, window = 0.75 + 0.1 * np.cos(6 * time), 0.2 * np.sin(4 * time) ** 2
    return np.outer(light, still.ravel()) + np.outer(window, shade.ravel())


def clip(seed=0):
    """Return the clip with NaN for lost pixels, its background, and where the square is."""
    still = background()
    frames, covered = still.reshape(FRAMES, SIDE, SIDE).copy(), np.zeros((FRAMES, SIDE, SIDE), bool)
    for k in range(FRAMES):
        turn = 2 * np.pi * k / FRAMES
        top, left = (round(x * (SIDE - SQUARE)) for x in (0.5 + 0.45 * np.sin(3 * turn), 0.5 - 0.5 * np.cos(turn)))
        covered[k, top : top + SQUARE, left : left + SQUARE] = True
    frames[covered] = BRIGHT
    lost = np.random.default_rng(seed).random(frames.shape) < LOST
    return np.where(lost, np.nan, frames).reshape(FRAMES, -1), still, covered.reshape(FRAMES, -1)


def draw(path, seen, solution):
    """Draw some frames: as seen, the background found, and the foreground found."""
    figure, axes = plt.subplots(3, len(SHOWN) + 1, figsize=(11, 8), layout="constrained")
    colours = plt.get_cmap("gray").with_extremes(bad="#d1495b")
    rows = (
        ("seen (red: lost)", seen, colours, (0, BRIGHT)),
        ("background", solution.low_rank, colours, (0, BRIGHT)),
        ("foreground", solution.sparse, "RdBu_r", (-BRIGHT, BRIGHT)),
    )
    for line, (name, frames, cmap, (low, high)) in zip(axes, rows, strict=True):
        for axis, k in zip(line, SHOWN, strict=False):
            axis.imshow(frames[k].reshape(SIDE, SIDE), cmap=cmap, vmin=low, vmax=high)
            axis.set_title(f"{name}, frame {k}", fontsize=10)
            axis.set(xticks=[], yticks=[])
    left, middle, right = axes[:, -1]
    s = np.linalg.svd(solution.low_rank, compute_uv=False)
    left.semilogy(1 + np.arange(12), np.maximum(s[:12] / s[0], 1e-17), "o")
    left.set_title("singular values of the background", fontsize=10)
    middle.hist(solution.certificate.dual * np.sqrt(max(seen.shape)), bins=60, color="#1b6ca8", log=True)
    middle.set_title("dual entries over the weight\n(±1: errors)", fontsize=10)
    right.semilogy(solution.history["iteration"], np.maximum(solution.history["gap"], 1e-16))
    right.set_title("duality gap by round", fontsize=10)
    figure.savefig(path, dpi=110)


def main(path="robust_pca.png"):
    """Split the clip, print what is proved, draw."""
    seen, still, covered = clip()
    solution = fm.robust_pca(seen)
    c, known = solution.certificate, ~np.isnan(seen)
    found = solution.sparse != 0
    print(f"clip: {FRAMES} frames of {SIDE}×{SIDE} pixels, {known.mean():.0%} of them seen")
    print(f"status: {solution.status.name}; {solution.status.value}")
    right = np.count_nonzero(found == (covered & known)) / found.size
    print(f"background: rank {solution.rank}; foreground: {found.sum()} pixels, {right:.2%} of all told rightly")
    size = np.linalg.norm(solution.low_rank)
    print(f"proved: gap {c.relative_gap:.1e}; any other split as good lies within {c.radius / size:.1e}, relatively")
    print(f"in truth: the background is off by {np.linalg.norm(solution.low_rank - still) / size:.1e}, relatively")
    draw(path, seen, solution)
    print(f"picture: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])

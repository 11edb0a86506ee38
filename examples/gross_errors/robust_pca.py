"""
A clip, split into background and motion
========================================

No real clip may be distributed with this package, so the scene is composed of two real photographs from scikit-learn
(china.jpg and flower.jpg, CC BY 2.0, see its `load_sample_images`): a pagoda by a lake, in sunlight that clouds change
and that comes from the right for a while, and a dahlia that floats across it and back. One pixel in ten is lost in each
frame. So the truth is known, and there is no noise: the proof is about this scene, not about cameras.
`robust_pca_estimator.py` is about noise.

Each frame is one row of a matrix. The still background has low rank; the dahlia is a gross error in few pixels of each
frame. The solver does not know the rank, or where the dahlia is, or how large. It is compared with the median of each
pixel over time; with the same after each frame was scaled to the median's brightness; and with the best approximation
of rank two (PCA), which is given the rank. Foreground is a difference from the background above a threshold, the best
one for each method. Some petals have the brightness of the background behind them, and no method finds them.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

import flatmin as fm

# %%
# The clip is small, so that this page is made in seconds.

HEIGHT, WIDTH, FRAMES = 48, 72, 100
FLOWER, SIZE = (213, 159, 411, 357), 12  # where it is in its photograph: left, top, right, bottom; and pixels here
LOST = 0.1
SHOWN = (12, 45, 80)

# %%
# The scene: the pagoda, its light in every frame, and the dahlia on its way. Lost pixels are NaN.


def photographs():
    """Return the pagoda (HEIGHT, WIDTH) and the dahlia (SIZE, SIZE) behind a red filter, from 0 to 1."""
    pagoda, flower = (Image.fromarray(image[..., 0]) for image in load_sample_images().images)
    pagoda, flower = pagoda.resize((WIDTH, HEIGHT)), flower.crop(FLOWER).resize((SIZE, SIZE))
    return np.asarray(pagoda, float) / 255, np.asarray(flower, float) / 255


def background(still):
    """Return the background in changing light, (FRAMES, pixels), of rank two."""
    time = np.linspace(0, 1, FRAMES)
    clouds, sun = 0.75 + 0.1 * np.cos(6 * time), 0.25 * np.sin(4 * time) ** 2
    from_the_right = np.linspace(0, 1, WIDTH) * still
    return np.outer(clouds, still.ravel()) + np.outer(sun, from_the_right.ravel())


def clip(seed=0):
    """Return the clip with NaN for lost pixels, its background, and the mask of the dahlia."""
    still, flower = photographs()
    behind = background(still)
    frames, covered = behind.reshape(FRAMES, HEIGHT, WIDTH).copy(), np.zeros((FRAMES, HEIGHT, WIDTH), bool)
    from_middle = np.arange(SIZE) - (SIZE - 1) / 2
    disc = np.hypot(*np.meshgrid(from_middle, from_middle)) <= SIZE / 2
    for k in range(FRAMES):
        turn = 2 * np.pi * k / FRAMES
        shares = 0.5 + 0.5 * np.sin(3 * turn), 0.5 - 0.5 * np.cos(turn)
        top, left = round((HEIGHT - SIZE) * shares[0]), round((WIDTH - SIZE) * shares[1])
        place = np.s_[k, top : top + SIZE, left : left + SIZE]
        frames[place][disc], covered[place][disc] = flower[disc], True
    lost = np.random.default_rng(seed).random(frames.shape) < LOST
    return np.where(lost, np.nan, frames).reshape(FRAMES, -1), behind, covered.reshape(FRAMES, -1)


# %%
# Three simple methods for the background, and a score for the foreground: F1 is 1 if the found pixels are exactly the
# moving ones.


def simple_backgrounds(seen):
    """Return backgrounds by medians and by PCA."""
    median = np.nanmedian(seen, axis=0)
    brightness = np.nanmedian(seen / np.maximum(median, 1e-3), axis=1, keepdims=True)
    u, s, vt = np.linalg.svd(np.where(np.isnan(seen), median, seen), full_matrices=False)
    return {
        "median": np.tile(median, (FRAMES, 1)),
        "median, brightness matched": brightness * median,
        "PCA of rank 2": (u[:, :2] * s[:2]) @ vt[:2],
    }


def agreement(found, true):
    """Return F1: 1 if the detected pixels are the true ones."""
    return 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true))


def best_agreement(seen, behind, true):
    """Return the largest F1 over thresholds of the difference."""
    away = np.nan_to_num(np.abs(seen - behind))
    return max(agreement(away > threshold, true) for threshold in np.linspace(0.01, 0.5, 50))


# %%
# `robust_pca` splits the clip into a matrix of low rank and one with few entries, such that nuclear norm and absolute
# sum of the entries have the smallest weighted sum.

seen, behind, covered = clip()
solution = fm.robust_pca(seen, tol=1e-6)
proof, known = solution.certificate, ~np.isnan(seen)
backgrounds = simple_backgrounds(seen) | {"robust PCA": solution.low_rank}
size, moving = np.linalg.norm(behind), covered & known

# %%
# Only robust PCA finds the background. The medians take the changing light for motion, and ordinary PCA lets the
# dahlia into the background.

scores = {
    name: (np.linalg.norm(found - behind) / size, best_agreement(seen, found, moving))
    for name, found in backgrounds.items()
}
print(f"clip: {FRAMES} frames of {HEIGHT}×{WIDTH} pixels, {known.mean():.0%} of them observed")
print(f"status: {solution.status.name}; {solution.status.value}")

# %%
# The certificate bounds how far the value is from the smallest possible, and the distance to the background of any
# other split with that value.

size = np.linalg.norm(solution.low_rank)
print(f"rank {solution.rank}; gap {proof.relative_gap:.1e}")
print(f"proved: the background of any other split of this value lies within {proof.radius / size:.1e}, relatively")
print("errors, relative to the background:")
for name, (error, f1) in scores.items():
    print(f"{name:>28}: background off by {error:.1e}, foreground F1 {f1:.4f}")

# %%
# Three of the frames.

foreground = solution.sparse
lines = [("observed (red: lost)", seen), *backgrounds.items(), ("foreground, robust PCA", foreground)]
figure, axes = plt.subplots(len(SHOWN), len(lines), figsize=(16, 6.2), layout="constrained")
colours = plt.get_cmap("gray").with_extremes(bad="#d1495b")
for column, (name, frames) in zip(axes.T, lines, strict=True):
    for axis, k in zip(column, SHOWN, strict=True):
        options = {"cmap": colours, "vmin": 0, "vmax": 0.9}
        if frames is foreground:
            options = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
        axis.imshow(frames[k].reshape(HEIGHT, WIDTH), **options)
        axis.set(xticks=[], yticks=[])
    column[0].set_title(name, fontsize=10)
    if name in scores:
        error, f1 = scores[name]
        column[-1].set_xlabel(f"background off by {error:.1g}\nforeground F1 {f1:.3f}", fontsize=10)
for axis, k in zip(axes[:, 0], SHOWN, strict=True):
    axis.set_ylabel(f"frame {k}")
plt.show()

"""Pictures for every family: heat maps, singular values, convergence, and images as PNG files."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.pictures.blocks import Block
from flatmin.report.pictures.drawing import (
    CARD,
    DASHES,
    FIRST,
    HOLE,
    INK,
    MAP_WIDTH,
    MUTED,
    SECOND,
    WIDTH,
    decades,
    draw,
    grid,
    legend,
    locator,
    logarithmic,
)

__all__ = ["convergence", "heat_map", "picture", "scale_of", "singular_values"]

#: Names of rows and of columns; None for positions.
Labels = tuple[Sequence[str] | None, Sequence[str] | None]
#: Longest side of an image in pixels.
LARGEST_IMAGE = 480
#: Largest number of row or column labels that are all written.
MOST_LABELS = 24


def picture(image: Array) -> str:
    """Return an image (h, w) or (h, w, c), values from 0 to 1, as a PNG data URI; NaN becomes transparent."""
    from PIL import Image

    channels = np.atleast_3d(np.asarray(image, dtype=float))[:, :, :3]
    seen = ~np.isnan(channels).any(axis=2)
    levels = np.clip(np.nan_to_num(channels) * 255 + 0.5, 0, 255).astype(np.uint8)
    colours = np.repeat(levels[:, :, :1], 3, axis=2) if levels.shape[2] < 3 else levels
    layers = colours if seen.all() else np.dstack([colours, (255 * seen).astype(np.uint8)])
    result = Image.fromarray(layers)
    result.thumbnail((LARGEST_IMAGE, LARGEST_IMAGE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    result.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def scale_of(blocks: Sequence[Block]) -> tuple[float, float]:
    """Return the common range of colours without the most extreme 0.5 %; symmetric about 0 if a value is negative."""
    values = np.concatenate([block.values.ravel() for block in blocks])
    values = values[np.isfinite(values)]
    if not len(values) or not values.any():
        return -1.0, 1.0
    if values.min() < 0:
        limit = float(np.quantile(np.abs(values), 0.995)) or float(np.abs(values).max())
        return -limit, limit
    low, high = float(values.min()), float(np.quantile(values, 0.995))
    return (low, high) if high > low else (0.0, float(values.max()))


def heat_map(
    name: str,
    block: Block,
    scale: tuple[float, float],
    *,
    unit: str = "",
    labels: Labels = (None, None),
    marked: Array | None = None,
    titles: tuple[str, str] = ("row", "column"),
    angles: bool = False,
) -> str:
    """Return a matrix as colours with a colour bar; NaN has the colour of missing cells, ``marked`` cells have a dot.

    Angles, from −π to π, have a cyclic colour map.
    """
    rows, columns = block.values.shape
    height = MAP_WIDTH * min(max(rows / columns, 0.2), 1.35) * 0.85 + 75
    colours = "twilight" if angles else "RdBu_r" if scale[0] < 0 else "cividis"

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_facecolor(HOLE)
        shown = np.ma.masked_invalid(block.values)
        mesh = axes.imshow(shown, cmap=colours, vmin=scale[0], vmax=scale[1], aspect="auto", interpolation="none")
        if marked is not None and marked.any():
            i, j = np.nonzero(marked)
            axes.plot(j, i, "o", ms=min(4.0, 90 / max(rows, columns)), color="#111111", mec="#ffffff", mew=0.5)
        _ticks(axes, block, labels, titles)
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(mesh, ax=axes, location="bottom", aspect=40, fraction=0.05, pad=0.03, label=unit)
        bar.outline.set_visible(False)
        if angles:
            bar.set_ticks([-np.pi, 0, np.pi], labels=["−π", "0", "π"])
        else:
            bar.locator = locator(5)
            bar.update_ticks()

    return draw(name, (MAP_WIDTH, height), paint)


def singular_values(
    name: str,
    values: Array,
    smaller: int,
    truth: Array | None = None,
    *,
    negative: Array | None = None,
    axis: str = "index of the singular value",
) -> str:
    """Return singular values in descending order, zeros included, with the rank and the true singular values.

    The axis is logarithmic, without zeros, if they span more than three decades. Absolute values of ``negative``
    eigenvalues are squares.
    """
    rank = len(values)
    last = int(min(smaller, max(2 * rank, rank + 8)))
    wide = bool(values[-1] < 1e-3 * values[0])
    right = rank > 0.6 * last
    place = np.arange(1, rank + 1)
    minus = np.zeros(rank, bool) if negative is None else negative

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        grid(axes)
        axes.axvline(rank + 0.5, color=MUTED, lw=1, ls=DASHES)
        if truth is not None:
            kept = truth[:last]
            axes.plot(np.arange(1, len(kept) + 1), kept, "o", ms=10, mfc="none", mec=SECOND, mew=1.5, label="truth")
        plus = "recovered, positive" if minus.any() else "recovered"
        axes.plot(place[~minus], values[~minus], "o", ms=5, color=FIRST, label=plus)
        if minus.any():
            axes.plot(place[minus], values[minus], "s", ms=6, mfc=CARD, mec=FIRST, label="negative")
        if wide:
            logarithmic(axes, values if truth is None else np.concatenate([values, truth]))
        else:
            axes.plot(np.arange(rank + 1, last + 1), np.zeros(last - rank), "o", ms=5, color=FIRST, clip_on=False)
            axes.set_ylim(0, 1.12 * float(np.max(values if truth is None else [*values, *truth])) or 1.0)
            axes.yaxis.set_major_locator(locator(5))
        axes.set_xlim(0.4, last + 0.6)
        axes.annotate(
            f"rank {rank}",
            (rank + 0.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if right else 5, -2),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            color=INK,
        )
        axes.xaxis.set_major_locator(locator(7, integer=True))
        axes.set_xlabel(axis)
        legend(figure)

    return draw(name, (WIDTH, 230.0), paint)


def convergence(
    name: str, history: Mapping[str, Array], final: Mapping[str, float], thresholds: Mapping[str, float]
) -> str:
    """Return a picture of residual and absolute duality gap by iteration, if ``final`` has them.

    Negative gaps are hollow, zeros lie on the bottom line, diamonds show the final solution and dashed lines the
    thresholds of a proof.
    """
    steps = np.asarray(history["iteration"], dtype=float)
    ends = steps[-1] + max(1.0, 0.04 * (steps[-1] - steps[0]))
    series = {key: colour for key, colour in (("residual", FIRST), ("gap", SECOND)) if key in final}
    sizes = {key: np.abs(np.append(np.asarray(history[key], dtype=float), final[key])) for key in series}
    everything = np.concatenate([*sizes.values(), list(thresholds.values())])
    low = decades(everything)[0]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        grid(axes)
        for key, colour in series.items():
            raw, size = np.asarray(history[key], dtype=float), np.where(sizes[key] > 0, sizes[key], low)
            label = {"residual": "relative residual", "gap": "relative gap (size)"}[key]
            axes.plot([*steps, ends], size, color=colour, lw=1.5, zorder=2)
            axes.plot(steps, size[:-1], "o", ms=5, color=colour, label=label, zorder=3, clip_on=False)
            negative = raw < 0
            axes.plot(steps[negative], size[:-1][negative], "o", ms=5, mfc=CARD, mec=colour, zorder=4, clip_on=False)
            hollow = {"mfc": CARD} if final[key] < 0 else {}
            axes.plot(ends, size[-1], "D", ms=6, color=colour, zorder=5, clip_on=False, **hollow)
            if key in thresholds:
                axes.axhline(thresholds[key], color=colour, lw=1, ls=DASHES, zorder=1)
        logarithmic(axes, everything)
        axes.xaxis.set_major_locator(locator(7, integer=True))
        axes.set_xlabel("iteration")
        legend(figure)

    return draw(name, (WIDTH, 230.0), paint)


def _ticks(axes: Any, block: Block, labels: Labels, titles: tuple[str, str]) -> None:
    """Write the labels of rows and columns, some of them if there are many; positions if there are no labels."""
    axes.tick_params(length=0)
    sides = [
        (axes.set_yticks, axes.set_ylabel, block.rows, labels[0], titles[0]),
        (axes.set_xticks, axes.set_xlabel, block.columns, labels[1], titles[1]),
    ]
    for ticks, title, positions, names, word in sides:
        chosen = np.arange(len(positions)) if names is not None and len(positions) <= MOST_LABELS else _some(positions)
        if names is not None:
            shown = [_short(names[positions[i]]) for i in chosen]
            turned = {"rotation": 90} if ticks == axes.set_xticks and max(map(len, shown), default=0) > 2 else {}
            ticks(chosen, shown, **turned)
            continue
        ticks(chosen, [str(positions[i]) for i in chosen])
        title(word)
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()


def _some(positions: Array) -> Array:
    """Return a few places in ``positions``, if possible of round numbers."""
    round_ones = [t for t in locator(5, integer=True).tick_values(positions[0], positions[-1]) if t in positions]
    if len(round_ones) > 1:
        return np.searchsorted(positions, round_ones)
    return np.unique(np.linspace(0, len(positions) - 1, 5).round().astype(int))


def _short(text: str, most: int = 14) -> str:
    """Return a label on one line without control characters, cut to ``most`` letters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"

"""The pictures of a report: inline SVG whose colours follow the page, and small PNG images.

Charts are drawn with placeholder colours that become CSS variables, so that one drawing serves light and dark mode.
Their text stays text, in the page's own font.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flatmin.metric import Array
from flatmin.report.blocks import Block
from flatmin.report.words import exponent_of

__all__ = ["convergence", "heat_map", "picture", "scale_of", "singular_values"]

INK, MUTED, LINE, FIRST, SECOND, HOLE, CARD = (f"#01020{i}" for i in range(7))
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", FIRST: "first", SECOND: "second", HOLE: "hole", CARD: "card"}
#: Width of a chart in units of which a letter is ten high; a telephone shows it at about this many pixels.
WIDTH = 330.0
#: Width of a heat map in the same units; up to three stand in a row.
MAP_WIDTH = 270.0
#: Longest side of an image in pixels.
LARGEST_IMAGE = 480
#: Up to this many row or column labels are all written.
MOST_LABELS = 24

DASHES = (0, (4, 3))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelsize": 9,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


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
    """Return the common range of colours: about zero where signs differ, without the most extreme 0.5 %."""
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
    labels: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None),
    marked: Array | None = None,
) -> str:
    """Return a matrix as colours with a colour bar; NaN shows the colour of holes, ``marked`` cells carry a dot."""
    rows, columns = block.values.shape
    height = MAP_WIDTH * min(max(rows / columns, 0.2), 1.35) * 0.85 + 75

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_facecolor(HOLE)
        colours = "RdBu_r" if scale[0] < 0 else "cividis"
        shown = np.ma.masked_invalid(block.values)
        mesh = axes.imshow(shown, cmap=colours, vmin=scale[0], vmax=scale[1], aspect="auto", interpolation="none")
        if marked is not None and marked.any():
            i, j = np.nonzero(marked)
            axes.plot(j, i, "o", ms=min(4.0, 90 / max(rows, columns)), color="#111111", mec="#ffffff", mew=0.5)
        _ticks(axes, block, labels)
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(mesh, ax=axes, location="bottom", aspect=40, fraction=0.05, pad=0.03, label=unit)
        bar.outline.set_visible(False)
        bar.locator = _locator(5)
        bar.update_ticks()

    return _draw(name, (MAP_WIDTH, height), paint)


def singular_values(name: str, values: Array, smaller: int, truth: Array | None = None) -> str:
    """Return singular values in descending order, zeros included, with the rank marked and the truth's beside them.

    The axis is logarithmic where they span more than three decades; zeros are then left out.
    """
    rank = len(values)
    last = int(min(smaller, max(2 * rank, rank + 8)))
    wide = bool(values[-1] < 1e-3 * values[0])
    right = rank > 0.6 * last

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        _grid(axes)
        axes.axvline(rank + 0.5, color=MUTED, lw=1, ls=DASHES)
        if truth is not None:
            kept = truth[:last]
            axes.plot(np.arange(1, len(kept) + 1), kept, "o", ms=10, mfc="none", mec=SECOND, mew=1.5, label="truth")
        axes.plot(np.arange(1, rank + 1), values, "o", ms=5, color=FIRST, label="recovered")
        if wide:
            _logarithmic(axes, values if truth is None else np.concatenate([values, truth]))
        else:
            axes.plot(np.arange(rank + 1, last + 1), np.zeros(last - rank), "o", ms=5, color=FIRST, clip_on=False)
            axes.set_ylim(0, 1.12 * float(np.max(values if truth is None else [*values, *truth])) or 1.0)
            axes.yaxis.set_major_locator(_locator(5))
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
        axes.xaxis.set_major_locator(_locator(7, integer=True))
        axes.set_xlabel("index of the singular value")
        figure.legend(loc="outside upper left", ncols=2, borderpad=0, handletextpad=0.3)

    return _draw(name, (WIDTH, 230.0), paint)


def convergence(
    name: str, history: Mapping[str, Array], final: Mapping[str, float], thresholds: Mapping[str, float]
) -> str:
    """Return the residual and the size of the duality gap over iterations.

    Negative gaps are hollow, zeros lie on the bottom line, diamonds show the final solution, dashed lines what a
    proof needs.
    """
    steps = np.asarray(history["iteration"], dtype=float)
    ends = steps[-1] + max(1.0, 0.04 * (steps[-1] - steps[0]))
    series = {"residual": FIRST, "gap": SECOND}
    sizes = {key: np.abs(np.append(np.asarray(history[key], dtype=float), final[key])) for key in series}
    everything = np.concatenate([*sizes.values(), list(thresholds.values())])
    low = _decades(everything)[0]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        _grid(axes)
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
        _logarithmic(axes, everything)
        axes.xaxis.set_major_locator(_locator(7, integer=True))
        axes.set_xlabel("iteration")
        figure.legend(loc="outside upper left", ncols=2, borderpad=0, handletextpad=0.3, columnspacing=1.2)

    return _draw(name, (WIDTH, 230.0), paint)


def _decades(values: Array) -> tuple[float, float]:
    """Return powers of ten around the positive sizes, with room for zeros below, at most 18 decades."""
    sizes = np.abs(values[np.isfinite(values)])
    positive = sizes[sizes > 0]
    if not len(positive):
        return 0.1, 10.0
    high = np.ceil(np.log10(positive.max()) + 0.05)
    low = max(np.floor(np.log10(positive.min()) - 0.05), high - 18)
    return float(10.0 ** (low - bool((sizes == 0).any()))), float(10.0**high)


def _grid(axes: Any) -> None:
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _logarithmic(axes: Any, values: Array) -> None:
    """Make the vertical axis logarithmic over the decades of ``values``, written as text."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.set_ylim(*_decades(values))
    axes.yaxis.set_major_locator(LogLocator(numticks=8))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda y, _: f"10{exponent_of(round(np.log10(y)))}")


def _locator(count: int, integer: bool = False) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, integer=integer, min_n_ticks=1)


def _ticks(axes: Any, block: Block, labels: tuple[Sequence[str] | None, Sequence[str] | None]) -> None:
    """Write all names of rows and columns where there are few, else some of them, or positions if they have none."""
    axes.tick_params(length=0)
    sides = [
        (axes.set_yticks, axes.set_ylabel, block.rows, labels[0], "row"),
        (axes.set_xticks, axes.set_xlabel, block.columns, labels[1], "column"),
    ]
    for ticks, title, positions, names, word in sides:
        chosen = np.arange(len(positions)) if names is not None and len(positions) <= MOST_LABELS else _some(positions)
        if names is not None:
            turned = {"rotation": 90} if word == "column" else {}
            ticks(chosen, [_short(names[positions[i]]) for i in chosen], **turned)
            continue
        ticks(chosen, [str(positions[i]) for i in chosen])
        title(word)
    axes.xaxis.set_label_position("top")
    axes.xaxis.tick_top()


def _some(positions: Array) -> Array:
    """Return a few places in ``positions``, of round numbers where those are present."""
    round_ones = [t for t in _locator(5, integer=True).tick_values(positions[0], positions[-1]) if t in positions]
    if len(round_ones) > 1:
        return np.searchsorted(positions, round_ones)
    return np.unique(np.linspace(0, len(positions) - 1, 5).round().astype(int))


def _short(text: str, most: int = 14) -> str:
    """Return a label on one line without control characters, cut to ``most`` letters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def _draw(name: str, size: tuple[float, float], paint: Callable[[Any], None]) -> str:
    """Return what ``paint`` draws as SVG for inside a page, its colours as variables and its ids its own."""
    import matplotlib
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the drawing font lacks are set by the browser
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": name})
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        paint(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg))
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', re.sub(r"url\(#", f"url(#{name}-", svg))
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return re.sub(r"\n\s*", "\n", svg).strip().replace("<svg", '<svg aria-hidden="true"', 1)

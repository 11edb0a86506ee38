"""The style of figures in print: colours that people with any kind of colour vision can tell apart, dashes, markers.

Displays take all colours from Matplotlib's settings, so that another style, such as that of the HTML pages, changes
all of them. Lines differ not only in colour but also in dashes and markers, so that they can be told apart in grey.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["COLOURS", "DASHES", "MARKERS", "background", "colour", "look", "printed"]

#: Okabe and Ito's palette without yellow: blue, vermilion, green, purple, black, sky blue, orange.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)))


def _print() -> dict[str, Any]:
    from cycler import cycler

    ink, muted = "#1a1a1a", "#4d4d4d"
    return {
        "axes.axisbelow": True,
        "axes.edgecolor": muted,
        "axes.facecolor": "white",
        "axes.labelcolor": ink,
        "axes.labelsize": 9,
        "axes.linewidth": 0.8,
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "figure.dpi": 100,
        "figure.facecolor": "white",
        "figure.titlesize": 10,
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "grid.color": "#d9d9d9",
        "grid.linewidth": 0.7,
        "hatch.linewidth": 0.7,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "savefig.facecolor": "white",
        "svg.fonttype": "none",
        "text.color": ink,
        "text.parse_math": False,
        "xtick.color": muted,
        "xtick.labelcolor": ink,
        "xtick.labelsize": 8.5,
        "ytick.color": muted,
        "ytick.labelcolor": ink,
        "ytick.labelsize": 8.5,
    }


@contextmanager
def printed(**changes: Any) -> Iterator[None]:
    """Use the style for print inside the block: Matplotlib's defaults with the settings of this file."""
    import matplotlib.style

    with matplotlib.style.context(["default", {**_print(), **changes}]):
        yield


def colour(index: int) -> str:
    """Return a colour of Matplotlib's current cycle, in hexadecimal digits; an index beyond its end starts over."""
    import matplotlib
    from matplotlib.colors import to_hex

    cycle = matplotlib.rcParams["axes.prop_cycle"].by_key().get("color", ["#000000"])
    return str(to_hex(cycle[index % len(cycle)]))


def look(index: int, *, hollow: bool = False) -> dict[str, Any]:
    """Return colour, dashes and marker of the line with this index; they differ even for more lines than colours."""
    import matplotlib

    colours = len(matplotlib.rcParams["axes.prop_cycle"].by_key().get("color", ["k"]))
    dashes = DASHES[(index % colours + index // colours) % len(DASHES)]
    marks = {"color": colour(index), "linestyle": dashes, "marker": MARKERS[index % len(MARKERS)]}
    return marks | ({"markerfacecolor": background()} if hollow else {})


def background() -> str:
    """Return the background colour of figures: that of the legend if one is set, and otherwise that of the axes."""
    import matplotlib

    legend = matplotlib.rcParams["legend.facecolor"]
    return str(matplotlib.rcParams["axes.facecolor"] if legend == "inherit" else legend)

"""Drawing of charts as inline SVG in one style, for light and dark pages.

Charts are drawn with placeholder colours that become CSS variables. Text stays text, in the font of the page.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.report.words import exponent_of

__all__ = [
    "CARD",
    "DASHES",
    "FIRST",
    "FOURTH",
    "HOLE",
    "INK",
    "LINE",
    "MAP_WIDTH",
    "MUTED",
    "SECOND",
    "THIRD",
    "WIDTH",
    "decades",
    "draw",
    "grid",
    "legend",
    "locator",
    "logarithmic",
]

INK, MUTED, LINE, FIRST, SECOND, HOLE, CARD, THIRD, FOURTH = (f"#01020{i}" for i in range(9))
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", FIRST: "first", SECOND: "second", HOLE: "hole", CARD: "card"}
VARIABLES |= {THIRD: "third", FOURTH: "fourth"}
#: Width of a chart in points, with text of 10 points; about the width of a telephone in pixels.
WIDTH = 330.0
#: Width of a heat map in points; up to three fit in a row.
MAP_WIDTH = 270.0

DASHES = (0, (4, 3))
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.axisbelow": True,
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
    "legend.facecolor": CARD,
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


def draw(name: str, size: tuple[float, float], paint: Callable[[Any], None]) -> str:
    """Return the drawing of ``paint`` as inline SVG, with colours as CSS variables and ids that begin with ``name``."""
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    cycle = cycler(color=(FIRST, SECOND, THIRD, FOURTH, INK))
    buffer = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the drawing font lacks are set by the browser
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**STYLE, "axes.prop_cycle": cycle, "svg.hashsalt": name})
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), layout="constrained")
        paint(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(?:xmlns(?::xlink)?|version)="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg))
    svg = svg.replace("xlink:href", "href")
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return _slim(re.sub(r"\n\s*", "\n", svg).strip().replace("<svg", '<svg aria-hidden="true"', 1), name)


def _slim(svg: str, name: str) -> str:
    """Return the SVG without fonts, unused ids and needless decimals, and with short ids."""
    short = f"d{hashlib.sha256(name.encode()).hexdigest()[:10]}"
    tags = "".join(re.findall(r"<[^>]*>", svg))
    used = list(dict.fromkeys(re.findall(r'(?:url\(|href=")#([^)"]+)', tags)))
    called = {old: f"{short}-{index}" for index, old in enumerate(used)}

    def named(attribute: re.Match[str]) -> str:
        return f' id="{called[attribute[1]]}"' if attribute[1] in called else ""

    def slim(tag: re.Match[str]) -> str:
        text = re.sub(r" ?font-family: [^;\"]*;?|; stroke-linejoin: miter", "", tag[0])
        text = re.sub(r'(?<= )(?:d|x|y|width|height|transform|points)="[^"]*"', _rounded, text)
        text = re.sub(r' id="([^"]*)"', named, text)
        return re.sub(r'(url\(|href=")#([^)"]+)', lambda found: f"{found[1]}#{called[found[2]]}", text)

    svg = re.sub(r"<g>\n(<[^/][^>]*/>)\n</g>", r"\1", re.sub(r"<[^>]*>", slim, svg))
    return re.sub(r'(?:<use [^>]* style="([^"]*)"/>\n)(?:<use [^>]* style="\1"/>\n)+', _alike, svg)


def _alike(marks: re.Match[str]) -> str:
    """Return marks of one style as a group with that style."""
    style = f' style="{marks[1]}"'
    return f"<g{style}>\n{marks[0].replace(style, '')}</g>\n"


def _rounded(attribute: re.Match[str]) -> str:
    """Return an attribute with numbers of two decimals and no needless spaces."""
    short = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), attribute[0])
    return re.sub(r"\s*([MLQCz])\s*", r"\1", short) if short.startswith('d="') else short


def decades(values: Array) -> tuple[float, float]:
    """Return the powers of ten around the absolute values, at most 18 decades, plus a lower one if there are zeros."""
    sizes = np.abs(values[np.isfinite(values)])
    positive = sizes[sizes > 0]
    if not len(positive):
        return 0.1, 10.0
    high = np.ceil(np.log10(positive.max()) + 0.05)
    low = max(np.floor(np.log10(positive.min()) - 0.05), high - 18)
    return float(10.0 ** (low - bool((sizes == 0).any()))), float(10.0**high)


def grid(axes: Any) -> None:
    """Draw horizontal grid lines instead of the left edge."""
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def logarithmic(axes: Any, values: Array, side: str = "y", most: int = 8) -> None:
    """Make an axis, the vertical one or "x", logarithmic over the decades of ``values``, written as text."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set(**{f"{side}scale": "log", f"{side}lim": decades(values)})
    axis = getattr(axes, f"{side}axis")
    axis.set_major_locator(LogLocator(numticks=most))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"10{exponent_of(round(np.log10(value)))}")


def locator(count: int, integer: bool = False) -> Any:
    """Return a locator of at most ``count`` round ticks."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, integer=integer, min_n_ticks=1)


def legend(figure: Any) -> None:
    """Write the legend in one row above the chart."""
    figure.legend(loc="outside upper left", ncols=3, borderpad=0, handletextpad=0.3, columnspacing=1.2)

"""Growth of time and memory with the shape d, the entries m and the rank k, each with its fitted exponent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.markdown import cells
from benchmarks.ratios import judgement
from benchmarks.runs import ROOT, Book, Run

FAMILY = "growth"
IMAGES = ROOT / "docs" / "images"


@dataclass(frozen=True)
class Line:
    """A quantity that grows while the others are constant: its values, and their data sets."""

    engine: str
    symbol: str
    what: str
    benchmark: str
    data: str
    values: tuple[float, ...]
    datasets: tuple[str, ...]

    def runs(self) -> list[Run]:
        return [Run(self.benchmark, f"{self.data}[{one}]", "flatmin", repeats=2, limit=120) for one in self.datasets]


def gaussian(d: int, rank: int, m: int) -> str:
    return f"d1={d},d2={d},rank={rank},m={m}"


def gross(d: int, rank: int, missing: float = 0.0) -> str:
    return f"d1={d},d2={d},rank={rank},missing={missing}"


def lines() -> list[Line]:
    d, m, k = (500, 1000, 2000, 4000, 8000), (200_000, 400_000, 800_000, 1_600_000, 3_200_000), (2, 4, 8, 16, 32)
    sides, ranks, seen = (250, 500, 1000, 2000), (5, 10, 20, 40), (0.5, 0.6, 0.75, 0.9)
    name, completion, robust = "completion", ("completion", "gaussian"), ("robust_pca", "gross")
    tables = tuple(gross(1000, 10, round(1 - share, 2)) for share in seen)
    return [
        Line(name, "d", "rank 5, m = 100 d", *completion, d, tuple(gaussian(one, 5, 100 * one) for one in d)),
        Line(name, "m", "d = 4000, rank 5", *completion, m, tuple(gaussian(4000, 5, one) for one in m)),
        Line(name, "k", "d = 2000, m = 800 000", *completion, k, tuple(gaussian(2000, one, 800_000) for one in k)),
        Line("robust PCA", "d", "rank 10", *robust, sides, tuple(gross(one, 10) for one in sides)),
        Line("robust PCA", "m", "d = 1000, rank 10", *robust, tuple(1e6 * share for share in seen), tables),
        Line("robust PCA", "k", "d = 1000", *robust, ranks, tuple(gross(1000, one) for one in ranks)),
    ]


def runs() -> list[Run]:
    return [run for line in lines() for run in line.runs()]


def exponent(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Return the exponent of ``y = c xᵖ`` by least squares in logarithms, its standard error, and c.

    With two points the error is NaN; with fewer, all three numbers are.
    """
    if len(x) < 2:
        return math.nan, math.nan, math.nan
    logs = [(math.log(a), math.log(b)) for a, b in zip(x, y, strict=True)]
    n, mean_x, mean_y = len(logs), sum(a for a, _ in logs) / len(logs), sum(b for _, b in logs) / len(logs)
    spread = sum((a - mean_x) ** 2 for a, _ in logs)
    power = sum((a - mean_x) * (b - mean_y) for a, b in logs) / spread
    constant = mean_y - power * mean_x
    left = sum((b - constant - power * a) ** 2 for a, b in logs)
    error = math.sqrt(left / (n - 2) / spread) if n > 2 else math.nan
    return power, error, math.exp(constant)


def points(line: Line, book: Book, field: str) -> tuple[list[float], list[float]]:
    """Return values and measured numbers that are both known and positive."""
    found: list[tuple[float, float]] = []
    for value, run in zip(line.values, line.runs(), strict=True):
        number = judgement(book[run]).get(field)
        if number:
            found.append((value, number))
    return [x for x, _ in found], [y for _, y in found]


def draw(book: Book) -> str:
    """Draw time and memory of each engine and return their exponents as a section of a document."""
    rows = [cells(["engine", "against", "while", "exponent of time", "exponent of memory"]), "|---|---|---|---|---|"]
    engines: dict[str, list[Line]] = {}
    for line in lines():
        fits = [exponent(*points(line, book, field)) for field in ("seconds", "memory")]
        exponents = [in_words(power, error) for power, error, _ in fits]
        rows.append(cells([line.engine, line.symbol, line.what, *exponents]))
        engines.setdefault(line.engine, []).append(line)
    pictures = [picture(engine, those, book) for engine, those in engines.items()]
    named = zip(engines, pictures, strict=True)
    shown = "\n".join(f"![{engine}: time and memory](images/{name})" for engine, name in named if name)
    return "### Growth\n\nExponents of fits in logarithms, ± one standard error.\n\n" + "\n".join(rows) + f"\n\n{shown}"


def in_words(power: float, error: float) -> str:
    """Return an exponent with its error, if they are known."""
    if math.isnan(power):
        return ""
    return f"{power:.2f}" if math.isnan(error) else f"{power:.2f} ± {error:.2f}"


def short(number: float) -> str:
    """Return a number with k or M in place of its zeros."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def picture(engine: str, those: Sequence[Line], book: Book) -> str | None:
    """Draw an engine's time and memory against d, m and k; None if nothing was measured."""
    measured: list[Any] = [
        (line, field, *points(line, book, field)) for field in ("seconds", "memory") for line in those
    ]
    if not any(x for _, _, x, _ in measured):
        return None
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib import ticker

    grey, blue = "#808080", "#3b7dd8"  # seen on white and on black
    style = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), grey)
    with plt.rc_context({**style, "svg.hashsalt": "flatmin", "font.size": 9}):
        figure, axes = plt.subplots(2, len(those), figsize=(9, 5), squeeze=False, layout="constrained")
        for axis, (line, field, x, y) in zip(axes.ravel(), measured, strict=True):
            axis.patch.set_alpha(0)
            if not x:
                axis.axis("off")
                continue
            power, error, constant = exponent(x, y)
            axis.loglog(x, y, "o", color=blue)
            axis.loglog(x, [constant * a**power for a in x], "-", color=grey, linewidth=1)
            axis.set_xticks(x, [short(a) for a in x])
            axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 3, 5, 7) if max(y) < 20 * min(y) else (1, 3)))
            axis.yaxis.set_major_formatter(lambda number, _: f"{number:g}")
            for side in (axis.xaxis, axis.yaxis):
                side.set_minor_locator(ticker.NullLocator())
            axis.set_xlabel(line.symbol)
            axis.set_ylabel({"seconds": "seconds", "memory": "MiB beside the data"}[field])
            axis.set_title(f"{line.what}\n{line.symbol}^({in_words(power, error)})", color=grey, fontsize=9)
        name = f"growth-{engine.lower().replace(' ', '-')}.svg"
        IMAGES.mkdir(parents=True, exist_ok=True)
        figure.savefig(IMAGES / name, transparent=True, metadata={"Date": None})
        plt.close(figure)
    return name

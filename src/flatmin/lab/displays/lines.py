"""Displays of lines: points with 95 % intervals against a parameter, and dashed lines for known or predicted values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from flatmin.lab.displays.axes import dodges, legend, levels_on_x, nothing, scale_of
from flatmin.lab.displays.base import Display
from flatmin.lab.displays.levels import is_number, positions, rank
from flatmin.lab.displays.style import colour

__all__ = ["Dashed", "Line", "LinesDisplay"]

Point = TypeVar("Point")
L = TypeVar("L", bound="Line[Any]")
#: Dash patterns of the dashed lines that have the colour of the text, as Matplotlib takes them (lengths in points).
DASHES = ((0, (5, 3)), (0, (1.5, 2)), (0, (6, 2, 1.5, 2)))


@dataclass(frozen=True)
class Line(Generic[Point]):
    """One line: its label, the index of its colour and marker, and its point at each value of the parameter."""

    label: str
    look: int
    points: dict[Any, Point]


@dataclass(frozen=True)
class Dashed:
    """A dashed line: its label, its value at each level, and the line whose colour it has (None: that of the text)."""

    label: str
    values: dict[Any, float]
    look: int | None = None


@dataclass(kw_only=True)
class LinesDisplay(Display, Generic[L]):
    """Lines of points with intervals against a parameter, drawn a few points apart so that intervals do not overlap."""

    lines: list[L]
    x_log: bool

    @property
    def words(self) -> list[str]:
        """The entries of the legend."""
        return [word for word in [line.label for line in self.lines] + [line.label for line in self.dashed] if word]

    @property
    def levels(self) -> list[Any]:
        """The levels of the parameter that have a point."""
        return sorted({at for line in self.lines for at in line.points}, key=rank)

    @property
    @abstractmethod
    def dashed(self) -> list[Dashed]:
        """The dashed lines."""

    @abstractmethod
    def scale_y(self, ax: Any) -> None:
        """Set range, ticks and label of the vertical axis."""

    @abstractmethod
    def paint_line(self, ax: Any, line: L, places: Mapping[Any, float], transform: Any) -> None:
        """Draw a line; ``places`` has the x-coordinate of each level, and ``transform`` shifts the line sideways."""

    def paint(self, ax: Any) -> None:
        """Draw the lines with their intervals, and then the dashed lines."""
        import matplotlib

        if not self.lines:
            return nothing(ax)
        ax.grid(axis="y")
        places = positions(self.levels)
        numbers = all(is_number(at) for at in self.levels)
        scale_of(ax, "x", list(places.values()), self.x_label, logarithmic=self.x_log and numbers)
        self.scale_y(ax)
        for line, moved in zip(self.lines, dodges(ax, self.levels, len(self.lines)), strict=True):
            self.paint_line(ax, line, places, moved)
        for index, dashed in enumerate(self.dashed):
            tone = matplotlib.rcParams["text.color"] if dashed.look is None else colour(dashed.look)
            dashes = DASHES[index % len(DASHES) if dashed.look is None else 0]
            style = {"color": tone, "ls": dashes, "lw": 1.2, "label": dashed.label, "zorder": 1.5}
            values = np.array(list(dashed.values.values()))
            if np.all(values == values[0]):
                ax.axhline(values[0], **style)
            else:
                ax.plot([places[at] for at in dashed.values], values, **style)
        levels_on_x(ax, self.levels)
        legend(ax)

"""Display: the base class of pictures of evidence, which can be drawn, described in words and listed as a table."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypedDict

from flatmin.errors import InputError
from flatmin.lab.displays.axes import legend_columns
from flatmin.lab.displays.levels import full_caption
from flatmin.lab.displays.style import printed

__all__ = ["Display", "Frame", "Heading"]


class Frame(TypedDict, total=False):
    """Optional texts and the width of a display, as in `Display`; by default axes are named after their quantities."""

    caption: str
    wide: bool
    x_label: str
    y_label: str


class Heading(Frame):
    """The fields that every display has: those of a frame, its name, its title, and its recipe."""

    name: str
    title: str
    recipe: str


@dataclass(kw_only=True)
class Display(ABC):
    """Base class of figures with one pair of axes, in the manner of scikit-learn's displays.

    ``from_evidence(evidence, ...)`` of a subclass computes the numbers that the figure shows. ``plot(ax)`` draws them
    and sets ``ax_`` and ``figure_``.
    """

    #: The figure's name in files and addresses, unique within the recipe: small letters, digits and hyphens.
    name: str
    #: The title above the figure, in one line.
    title: str
    #: One or two sentences below the figure, which explain its marks and say what to look at.
    caption: str = ""
    #: Whether the figure takes a whole row of the page or sheet.
    wide: bool = False
    #: The name of the recipe whose results the figure shows.
    recipe: str = ""
    #: The labels of the axes, with units.
    x_label: str = ""
    y_label: str = ""
    ax_: Any = field(default=None, init=False, repr=False, compare=False)
    figure_: Any = field(default=None, init=False, repr=False, compare=False)

    #: Height of a display with a legend of at most two rows, in points.
    height: ClassVar[float] = 264.0
    #: Widths of a narrow display and of a wide one, in points.
    WIDTHS: ClassVar[tuple[float, float]] = (330.0, 680.0)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise InputError(f"a display is called {self.name!r}, expected small letters, digits and hyphens")

    @staticmethod
    def heading(name: str, title: str, recipe: str, frame: Frame, x: str, y: str, sentences: Sequence[str]) -> Heading:
        """Return the common fields: ``x`` and ``y`` label the axes by default, ``sentences`` extend the caption."""
        named: Heading = {"name": name, "title": title, "recipe": recipe, "x_label": x, "y_label": y}
        return {**named, **frame, "caption": full_caption(frame.get("caption", ""), sentences)}

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in points; a long legend adds to the height."""
        width = self.WIDTHS[self.wide]
        rows = math.ceil(len(self.words) / legend_columns(self.words, width, 10)) if self.words else 0
        return width, self.height + 14 * max(0, rows - 2)

    @property
    def words(self) -> list[str]:
        """The entries of the legend."""
        return []

    @property
    @abstractmethod
    def alt(self) -> str:
        """A description of the picture in words and numbers, for readers who cannot see it."""

    @abstractmethod
    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the numbers of the picture: the head of a table and its rows."""

    @abstractmethod
    def paint(self, ax: Any) -> None:
        """Draw the picture into Matplotlib axes, in Matplotlib's current style."""

    def plot(self, ax: Any = None) -> Self:
        """Draw the picture into given axes in the current style, or into new axes in the style of print."""
        if ax is None:
            import matplotlib.pyplot as plt

            with printed():
                width, height = self.size
                figure = plt.figure(figsize=(width / 72, height / 72), layout="constrained")
                ax = figure.add_subplot()
                self.paint(ax)
        else:
            self.paint(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self

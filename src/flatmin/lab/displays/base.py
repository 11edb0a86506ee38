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

__all__ = ["Display", "Frame"]


class Frame(TypedDict, total=False):
    """The texts around a display, as in `Display`; labels of axes are the names of what is shown by default."""

    caption: str
    wide: bool
    x_label: str
    y_label: str


@dataclass(kw_only=True)
class Display(ABC):
    """A figure with one pair of axes, like scikit-learn's displays.

    ``XDisplay.from_evidence(evidence, ...)`` computes what is shown; ``plot(ax)`` draws it and sets ``ax_`` and
    ``figure_``.
    """

    #: A short word for files and addresses, unique within the recipe: small letters, digits, hyphens.
    name: str
    #: A line about what is shown.
    title: str
    #: One or two sentences about the marks and what to look at.
    caption: str = ""
    #: Whether the figure takes a whole row.
    wide: bool = False
    #: The name of the recipe whose evidence it shows.
    recipe: str = ""
    #: Labels of the axes, with units.
    x_label: str = ""
    y_label: str = ""
    ax_: Any = field(default=None, init=False, repr=False, compare=False)
    figure_: Any = field(default=None, init=False, repr=False, compare=False)

    #: Height in points with a legend of at most two rows.
    height: ClassVar[float] = 264.0
    #: Widths of a narrow display and of a wide one, in points.
    WIDTHS: ClassVar[tuple[float, float]] = (330.0, 680.0)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise InputError(f"a display is called {self.name!r}, expected small letters, digits and hyphens")

    @staticmethod
    def framed(frame: Frame, x: str, y: str, sentences: Sequence[str]) -> Frame:
        """Return a frame with labels for both axes, and with further sentences in the caption."""
        caption = full_caption(frame.get("caption", ""), sentences)
        return {"x_label": x, "y_label": y, **frame, "caption": caption}

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
        """The picture in words and numbers, for readers who cannot see it."""

    @abstractmethod
    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the numbers of the picture: the head of a table and its rows."""

    @abstractmethod
    def paint(self, ax: Any) -> None:
        """Draw into axes in matplotlib's current style."""

    def plot(self, ax: Any = None) -> Self:
        """Draw into matplotlib axes in the current style, or by default into new ones in the style of print."""
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

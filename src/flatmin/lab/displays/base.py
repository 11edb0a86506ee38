"""Display: the base class of figures of evidence, with an alternative text and a table of the plotted numbers."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from flatmin.errors import InputError
from flatmin.lab.displays.axes import legend_columns
from flatmin.lab.displays.style import printed

__all__ = ["Display"]


@dataclass(kw_only=True)
class Display(ABC):
    """A figure with one pair of axes, like scikit-learn's displays.

    ``XDisplay.from_evidence(evidence, ...)`` computes the content; ``plot(ax)`` draws it.

    Attributes
    ----------
    name : str
        A short word for files and addresses, unique within the recipe: small letters, digits, hyphens.
    title : str
        The title, one line.
    caption : str
        An explanation of the marks, one or two sentences.
    wide : bool
        Whether the figure takes a whole row.
    recipe : str
        The name of the recipe.
    ax_, figure_ : matplotlib Axes and Figure
        Set by `plot`.

    Raises
    ------
    InputError
        If the name cannot be part of a file's name.
    """

    name: str
    title: str
    caption: str = ""
    wide: bool = False
    recipe: str = ""
    ax_: Any = field(default=None, init=False, repr=False, compare=False)
    figure_: Any = field(default=None, init=False, repr=False, compare=False)

    #: Height in points (1/72 inch) with a legend of two rows.
    height: ClassVar[float] = 264.0
    #: Widths of a narrow display and of a wide one, in points.
    WIDTHS: ClassVar[tuple[float, float]] = (330.0, 680.0)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise InputError(f"a display is called {self.name!r}, expected small letters, digits and hyphens")

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
        """A description in words and numbers for readers who cannot see the figure."""

    @abstractmethod
    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the plotted numbers: a head and rows."""

    @abstractmethod
    def paint(self, ax: Any) -> None:
        """Draw into axes, with Matplotlib's current colours."""

    def plot(self, ax: Any = None) -> Self:
        """Draw into these axes in the current style, or into new ones in the style for print.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            The axes.

        Returns
        -------
        self
            With ``ax_`` and ``figure_``.
        """
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

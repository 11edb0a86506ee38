"""What every display is: a picture of evidence that knows how to describe itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Display"]


@dataclass(kw_only=True)
class Display(ABC):
    """A figure with one pair of axes, in the manner of scikit-learn's displays.

    ``XDisplay.from_evidence(evidence, ...)`` computes what is shown; ``plot(ax)`` draws it.

    Attributes
    ----------
    name : str
        A short word for files and addresses, unique within the recipe.
    title : str
        What is shown, in a line.
    caption : str
        What the marks are and what to look at, in a sentence or two.
    wide : bool
        Whether it needs a row for itself.
    ax_, figure_ : matplotlib Axes and Figure
        Set by `plot`.
    """

    name: str
    title: str
    caption: str = ""
    wide: bool = False
    ax_: Any = field(default=None, init=False, repr=False, compare=False)
    figure_: Any = field(default=None, init=False, repr=False, compare=False)

    @property
    @abstractmethod
    def alt(self) -> str:
        """What there is to see, in words and numbers, for those who do not see it."""

    @abstractmethod
    def plot(self, ax: Any = None) -> Self:
        """Draw into these axes, or into new ones."""

    @abstractmethod
    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the numbers behind the picture: a head and rows."""

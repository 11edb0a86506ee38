"""Display of the loss along the flattest and the sharpest direction at several weights, as small multiples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.displays.axes import nothing
from flatmin.lab.displays.base import Display
from flatmin.lab.displays.style import look
from flatmin.report.words import number

__all__ = ["DRAWN", "Landscape", "Slice", "SlicesDisplay", "dense_hessian"]

#: The names of the directions, with the index of their colours.
DIRECTIONS = {"sharpest direction": 0, "flattest direction": 1}
#: Number of points of a curve.
POINTS = 81
#: Distance between two columns of panels, as a share of the width, and height of a further row of panels in points.
COLUMN_GAP, ROW_HEIGHT = 0.06, 120.0
#: Height of a panel's title with its distance from the legend, and height of what is around the axes, in points.
TITLE_HEIGHT, AROUND = 21.0, 80.0
#: Panels end at this multiple of the largest loss in the panel where that is smallest, so that flat places are seen.
MOST_TIMES = 4
#: What a figure shows, for its caption.
DRAWN = (
    "Directions are those of the largest and the smallest curvature. All panels have the same axes; steep curves leave "
    "them at the top."
)
#: Distance of the gradients whose difference is a row of the Hessian, relative to the largest weight.
STEP = 1e-5


class Landscape(Protocol):
    """A loss as a smooth function of weights of shape (n,), with its gradient."""

    def value(self, weights: Array, /) -> float:
        """Return the loss."""

    def gradient(self, weights: Array, /) -> Array:
        """Return the gradient, shape (n,)."""


def dense_hessian(gradient: Callable[[Array], Array], weights: Array) -> Array:
    """Return the Hessian of a function at weights of shape (n,), from differences of 2n gradients.

    Examples
    --------
    >>> dense_hessian(lambda w: 4 * w**3, np.array([1.0, 0.5])).round(6)
    array([[12.,  0.],
           [ 0.,  3.]])
    """
    step = STEP * max(float(np.abs(weights).max()), 1e-3)
    moves = step * np.eye(weights.size)
    rows = np.array([gradient(weights + move) - gradient(weights - move) for move in moves])
    return np.asarray((rows + rows.T) / (4 * step))


@dataclass(frozen=True, eq=False)
class Slice:
    """The loss at steps along the sharpest and the flattest direction from one place, shapes (k,) and (2, k).

    ``curvatures`` are the second derivatives along both directions: the largest and the smallest eigenvalue of the
    Hessian.
    """

    label: str
    steps: Array
    losses: Array
    curvatures: tuple[float, float]

    @classmethod
    def from_loss(cls, label: str, loss: Landscape, weights: Array, reach: float) -> Self:
        """Measure the loss along eigenvectors of its Hessian, up to the distance ``reach`` on both sides."""
        values, vectors = np.linalg.eigh(dense_hessian(loss.gradient, weights))
        steps = np.linspace(-reach, reach, POINTS)
        losses = np.array([[loss.value(weights + t * vectors[:, at]) for t in steps] for at in (-1, 0)])
        return cls(label, steps, losses, (float(values[-1]), float(values[0])))

    @classmethod
    def from_lists(cls, label: str, lists: Mapping[str, Any]) -> Self:
        """Take the slices of a network from the lists that `flatmin.lab.race.end_slices.end_slices` returns."""
        largest, smallest = map(float, lists["curvatures"])
        losses = np.array([lists["sharpest"], lists["flattest"]], float)
        return cls(label, np.array(lists["steps"], float), losses, (largest, smallest))


@dataclass(kw_only=True)
class SlicesDisplay(Display):
    """The loss along the flattest and the sharpest direction, one panel for each place; all panels have equal axes.

    Examples
    --------
    >>> bowl = Slice("bowl", np.array([-1.0, 0.0, 1.0]), np.array([[2.0, 0.0, 2.0], [1.0, 0.0, 1.0]]), (4.0, 2.0))
    >>> SlicesDisplay(name="slices", title="A bowl", slices=[bowl]).alt
    'A bowl. bowl: curvature 4 along the sharpest, 2 along the flattest direction.'
    """

    slices: Sequence[Slice]

    @property
    def grid(self) -> tuple[int, int]:
        """The numbers of panels in a row and of rows: two or three in a row if the display is narrow."""
        count = max(len(self.slices), 1)
        across = count if self.wide or count <= 3 else 2
        return across, -(-count // across)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in points; each further row of panels adds to the height."""
        width, height = super().size
        return width, height + ROW_HEIGHT * (self.grid[1] - 1)

    @property
    def words(self) -> list[str]:
        """The entries of the legend."""
        return list(DIRECTIONS) if self.slices else []

    @property
    def alt(self) -> str:
        """A description with the curvatures at every place."""
        if not self.slices:
            return f"{self.title}: no trials yet."
        lines = [f"{self.title}."]
        for each in self.slices:
            sharp, flat = (number(value, 3) for value in each.curvatures)
            lines.append(f"{each.label}: curvature {sharp} along the sharpest, {flat} along the flattest direction.")
        return " ".join(lines)

    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return a row for each place with its curvatures and its loss."""
        head = ["place", "largest curvature", "smallest curvature", "loss"]
        return head, [(s.label, *s.curvatures, float(s.losses[0, len(s.steps) // 2])) for s in self.slices]

    def paint(self, ax: Any) -> None:
        """Draw one panel for each place into the area of the axes."""
        import matplotlib

        if not self.slices:
            return nothing(ax)
        ax.set_axis_off()
        across, down = self.grid
        # Shares of the height of the axes: all panels with what is between them, and what is between two rows.
        whole, between = 1 - TITLE_HEIGHT / (self.size[1] - AROUND), 0.26
        width, height = (1 - COLUMN_GAP * (across - 1)) / across, whole / (down + between * (down - 1))
        largest = [float(s.losses.max()) for s in self.slices]
        top = min(max(largest), MOST_TIMES * min(largest)) or 1.0
        for index, each in enumerate(self.slices):
            row, column = divmod(index, across)
            bottom = whole - height - row * (1 + between) * height
            panel = ax.inset_axes([column * (width + COLUMN_GAP), bottom, width, height])
            panel.grid(True)
            for curve, (name, colour) in enumerate(DIRECTIONS.items()):
                style = look(colour)
                style.pop("marker")
                panel.plot(each.steps, each.losses[curve], label=name if index == 0 else "", **style)
            panel.set(xlim=(each.steps[0], each.steps[-1]), ylim=(-0.03 * top, 1.05 * top))
            panel.set_title(each.label, fontsize=matplotlib.rcParams["legend.fontsize"])
            panel.locator_params(axis="y", nbins=3)
            # No numbers at the ends, because those of neighbouring panels would touch.
            inner = float(f"{0.6 * each.steps[-1]:.1g}")
            panel.set_xticks([-inner, 0, inner], [number(-inner), "0", number(inner)])
            # Three labels in a narrow row would touch each other.
            if index + across >= len(self.slices) and (self.wide or across < 3 or column == 1):
                panel.set_xlabel(self.x_label or "distance in weights")
            if column:
                panel.tick_params(labelleft=False)
            else:
                panel.set_ylabel(self.y_label or "loss")
            if index == 0:
                handles, words = panel.get_legend_handles_labels()
        ax.legend(handles, words, loc="lower left", bbox_to_anchor=(0.0, 0.99), ncols=2, borderpad=0, borderaxespad=0)

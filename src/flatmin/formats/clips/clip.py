"""Clip: the base class of moving pictures, with the frames as rows of a matrix."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import available_bytes
from flatmin._core.progress import spoken
from flatmin.errors import InputError
from flatmin.formats.image import LUMINANCE, to_pixels

__all__ = ["SECONDS_PER_CELL", "Clip", "Sampling", "Stills"]

#: Number of matrices of the size of the clip that are in memory at once when it is separated.
MATRICES = 32
#: Time that a separation takes for each cell of a matrix with noise, in seconds.
SECONDS_PER_CELL = 2.5e-5
#: Number of cells for which a separation takes about two minutes.
COMFORTABLE = 4e6
#: Smallest width in pixels that is advised for a clip that does not fit in memory.
NARROW = 160


@dataclass(frozen=True)
class Sampling:
    """Which part of a clip is read: every k-th frame, pictures reduced by the factor ``scale``, and grey or not."""

    every: int = 1
    scale: float = 1.0
    grey: bool = False

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InputError(f"--every is {self.every}, expected a whole number of at least 1")
        if not 0 < self.scale <= 1:
            raise InputError(f"--scale is {self.scale:g}, expected a number above 0 and at most 1, such as 0.5")

    def reduced(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of frames after reading."""
        return max(1, round(height * self.scale)), max(1, round(width * self.scale))

    def check(self, name: str, count: int, height: int, width: int, channels: int) -> None:
        """Raise `InputError` if a clip of this many frames and pixels would not fit in memory when it is separated."""
        h, w = self.reduced(height, width)
        kept, channels = ceil(count / self.every), 1 if self.grey else channels
        cells, free = float(kept * h * w * channels), available_bytes()
        needed = 8.0 * MATRICES * cells
        if needed <= free:
            return
        goal = cells / min(COMFORTABLE, free / (8.0 * MATRICES))
        smaller = min(1.0, max(goal**-0.5, NARROW / w))
        rarer = ceil(goal * smaller**2)
        advice = f"--scale {max(0.01, self.scale * smaller):.2g} --every {self.every * rarer}"
        size = f"{kept} frames of {w}×{h} pixels{' in colour' if channels > 1 else ''}"
        raise InputError(
            f"{name}: separating {size} would need about {needed / 2**30:.0f} GiB of memory, of which "
            f"{free / 2**30:.0f} GiB are free, and {spoken(SECONDS_PER_CELL * cells)}; {advice} would take about "
            f"{spoken(SECONDS_PER_CELL * cells / goal)}"
        )


@dataclass
class Stills:
    """Pictures of one size that are collected one by one: values (h, w, channels) from 0 to 1, NaN where missing."""

    sampling: Sampling
    pictures: list[Array] = field(default_factory=list)

    def add(self, pixels: Array, known: Array | None = None) -> None:
        """Add a picture (h, w, channels) of 8 or 16 bits, of which ``known`` (h, w) says which pixels are known."""
        values = (pixels / np.iinfo(pixels.dtype).max).astype(np.float32)
        if values.shape[2] == 3 and (self.sampling.grey or np.array_equal(values[..., :1].repeat(3, 2), values)):
            values = (values @ LUMINANCE.astype(np.float32))[:, :, None]
        if known is not None and not known.all():
            values[~known] = np.nan
        self.pictures.append(_resized(values, self.sampling.reduced(*values.shape[:2])))

    def stacked(self) -> Array:
        """Return all pictures as (n, h, w, channels); there is one channel if all pictures are grey.

        `ValueError` is raised if pictures differ in size.
        """
        if len({picture.shape[:2] for picture in self.pictures}) > 1:
            raise ValueError("its frames differ in size")
        channels = max(picture.shape[2] for picture in self.pictures)
        h, w = self.pictures[0].shape[:2]
        out = np.empty((len(self.pictures), h, w, channels))
        for k, picture in enumerate(self.pictures):
            out[k] = picture  # grey pictures fill all channels
        return out


class Clip(ABC):
    """Moving pictures as a matrix whose rows are the frames.

    Attributes
    ----------
    suffixes : tuple of str
        The endings of such files, in lower case.
    kind : str
        "frames" or "video".
    frames : ndarray, shape (n, h, w, channels)
        The frames, with values from 0 (black) to 1, and NaN in missing pixels. Colours have three channels.
    names : list of str
        The names of the frames.
    depth : dtype
        The type of the pixels, uint8 or uint16.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[str] = "frames"

    def __init__(self, frames: Array, names: Sequence[str], depth: Any = np.uint8) -> None:
        self.frames, self.names, self.depth = frames, list(names), np.dtype(depth)

    @classmethod
    @abstractmethod
    def read(cls, path: Path, sampling: Sampling) -> Self:
        """Read a clip, or raise `InputError` with one sentence that says what was found."""

    @abstractmethod
    def write(self, stem: Path, frames: Array) -> Path:
        """Write frames (n, h, w, channels), clipped to 0..1, in the form of the clip; return the path."""

    @property
    def matrix(self) -> Array:
        """The frames as rows (n, h · w · channels)."""
        return self.frames.reshape(len(self.frames), -1)

    @property
    def size(self) -> str:
        """The number of frames, their size and their colours in words."""
        n, h, w, channels = self.frames.shape
        return f"{n} frames of {w}×{h} pixels, in {'grey' if channels == 1 else 'colour'}"

    def pixels(self, frames: Array) -> Iterable[Array]:
        """Yield frames as pixels (h, w, channels) of the type of the clip."""
        return (to_pixels(frame, self.depth) for frame in frames)


def _resized(values: Array, size: tuple[int, int]) -> Array:
    """Return a picture (h, w, channels) reduced to a size by averages over boxes."""
    if values.shape[:2] == size:
        return values
    from PIL import Image as pillow

    layers = (pillow.fromarray(np.ascontiguousarray(layer)) for layer in np.moveaxis(values, 2, 0))
    return np.stack([np.asarray(layer.resize(size[::-1], pillow.Resampling.BOX)) for layer in layers], axis=2)

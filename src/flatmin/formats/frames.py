"""Frames: the pictures of a video in a folder, all of one size."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells
from flatmin.formats.image import BYTES_PER_VALUE, Image, bright_pixels, read_grey, save_pixels, to_pixels

__all__ = ["FORMAT", "Frames", "frame_files"]


@dataclass(frozen=True, eq=False)
class _Frame:
    """One picture: grey values (h, w) in 0..1, NaN in missing pixels, and the type of its pixels."""

    name: str
    values: Array
    depth: np.dtype[Any]


class Frames(Document):
    """The pictures of a folder as a matrix. Each column holds the h·w grey values of a picture, in the order of names.

    Colours become grey by their luminance. Fully transparent pixels are missing; with a mask, the dark pixels of the
    mask are missing in all frames instead. Hidden files, other files and subfolders are ignored. ``name`` is for
    messages.
    """

    suffixes = ()
    kind = "frames"
    is_folder = True
    takes_mask = True

    def __init__(self, frames: list[_Frame], name: str) -> None:
        self._frames = frames
        self._size = frames[0].values.shape
        super().__init__(KnownCells.from_matrix(np.stack([frame.values.ravel() for frame in frames], axis=1), name))
        self.column_labels = [frame.name for frame in frames]
        self.notes.append(f"Read as {len(frames)} frames of {_pixels(self._size)} pixels, in grey.")

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read the pictures of a folder, or raise `InputError` if they differ in size."""
        pictures = frame_files(path)
        frames: list[_Frame] = []
        for picture in pictures:
            values, known, depth = read_grey(picture)
            if not frames:
                require(BYTES_PER_VALUE * len(pictures) * values.size, f"reading {len(pictures)} frames")
                bright = None if mask is None else bright_pixels(mask, values.shape)
            elif values.shape != frames[0].values.shape:
                sizes = f"{_pixels(values.shape)} pixels, expected {_pixels(frames[0].values.shape)}"
                raise InputError(f"the frame {picture} has {sizes} as in {frames[0].name}")
            frames.append(_Frame(picture.name, np.where(known if bright is None else bright, values, np.nan), depth))
        return cls(frames, path.name)

    def write(self, stem: Path, matrix: Array, *, whole: bool = False) -> Path:
        """Write a folder with a PNG for each frame, of the same name, size and depth; values are clipped to 0..1."""
        stem.mkdir()
        if not whole:
            matrix = self.cells.keep(matrix)
        for frame, column in zip(self._frames, matrix.T, strict=True):
            save_pixels((stem / frame.name).with_suffix(".png"), to_pixels(column.reshape(self._size), frame.depth))
        return stem

    def picture(self, matrix: Array) -> Array:
        """Return the first, the middle and the last frame side by side, clipped to 0..1; NaN stays."""
        shown = sorted({0, len(self._frames) // 2, len(self._frames) - 1})
        return np.asarray(np.clip(np.hstack([matrix[:, j].reshape(self._size) for j in shown]), 0, 1))


def frame_files(folder: Path) -> list[Path]:
    """Return the pictures in a folder, ascending by name: at least two, with different stems."""
    try:
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() in Image.suffixes and not f.name.startswith("."))
        files = [file for file in files if file.is_file()]
    except OSError as error:
        raise InputError(f"the input {folder} cannot be read: {error.strerror or error}") from error
    if len(files) < 2:
        found = f"a single image, {files[0].name}" if files else "no image"
        raise InputError(f"the input {folder} is a directory with {found}, expected a file or at least two frames")
    twice = [stem for stem, count in Counter(file.stem for file in files).items() if count > 1]
    if twice:
        raise InputError(f"the input {folder} has several frames called {twice[0]}, expected one of each name")
    return files


def _pixels(size: tuple[int, ...]) -> str:
    return f"{size[1]}×{size[0]}"


FORMAT = Frames

"""Pictures: transparent pixels are missing, or those that a mask says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from flatmin.errors import InputError
from flatmin.formats.base import Cells, Document, check_file, reason
from flatmin.metric import Array

__all__ = ["FORMAT", "Image"]


class Image(Document):
    """A grey or colour picture as one matrix with values in 0..1, its colour channels side by side.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (h, w, channels)
        The picture, without transparency.
    known : ndarray of bool, shape (h, w)
        Which pixels are known.
    name : str
        For messages.
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        ".bmp",
        ".gif",
        ".jpeg",
        ".jpg",
        ".pgm",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    )
    kind: ClassVar[str] = "image"
    takes_mask: ClassVar[bool] = True

    def __init__(self, pixels: Array, known: Array, name: str) -> None:
        if not known.any():
            raise InputError(f"{name} has no known pixel, expected at least one that is not missing")
        self._pixels, self._known = pixels, known
        self._full = float(np.iinfo(pixels.dtype).max)
        holes = np.where(known[:, :, None], pixels / self._full, np.nan)
        super().__init__(Cells.of(_side_by_side(holes), name))

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Image:
        """Read a picture: pixels are missing where it is fully transparent or, with a mask, where that is dark."""
        pixels, opaque = _load(path)
        if mask is None:
            return cls(pixels, opaque, path.name)
        check_file(mask, "the --mask image")
        marks, _ = _load(mask)
        if marks.shape[:2] != pixels.shape[:2]:
            sizes = (f"{a.shape[1]}×{a.shape[0]}" for a in (marks, pixels))
            raise InputError("the --mask image has {} pixels, expected {} as in the input".format(*sizes))
        bright = marks.mean(axis=2) > np.iinfo(marks.dtype).max / 2
        return cls(pixels, bright, path.name)

    def write(self, stem: Path, matrix: Array) -> Path:
        """Write a PNG of the same size and depth, its known pixels unchanged."""
        from PIL import Image as pillow

        path = stem.with_suffix(".png")
        colours = np.clip(np.rint(_stacked(matrix, self._pixels.shape[2]) * self._full), 0, self._full)
        filled = np.where(self._known[:, :, None], self._pixels, colours.astype(self._pixels.dtype))
        pillow.fromarray(filled[:, :, 0] if filled.shape[2] == 1 else filled).save(path, format="PNG")
        return path

    def picture(self, matrix: Array) -> Array:
        """Return the matrix as a picture (h, w) or (h, w, 3), clipped to 0..1; NaN stays."""
        colours = np.clip(_stacked(matrix, self._pixels.shape[2]), 0, 1)
        return colours[:, :, 0] if colours.shape[2] == 1 else colours


def _side_by_side(colours: Array) -> Array:
    return np.ascontiguousarray(colours.transpose(0, 2, 1)).reshape(len(colours), -1)


def _stacked(matrix: Array, channels: int) -> Array:
    return matrix.reshape(len(matrix), channels, -1).transpose(0, 2, 1)


def _load(path: Path) -> tuple[Array, Array]:
    """Return pixels (h, w, 1 or 3) of 8 or 16 bits and which of them are not fully transparent."""
    from PIL import Image as pillow

    try:
        with warnings.catch_warnings(), pillow.open(path) as opened:
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            opened.load()
            return _channels(opened)
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise InputError(f"{path} is not a whole picture that can be read: {reason(error)}") from error


def _channels(picture: Any) -> tuple[Array, Array]:
    if picture.mode.startswith("I"):
        deep = np.asarray(picture)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError("its grey values leave the 16-bit range")
        return deep.astype(np.uint16)[:, :, None], np.ones(deep.shape, bool)
    if picture.mode == "F":
        raise ValueError("its grey values are floating point, expected whole numbers; pass an .npy file instead")
    transparent = picture.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in picture.info
    grey = picture.mode in ("1", "L", "LA", "La")
    if not transparent:
        pixels = np.asarray(picture.convert("L" if grey else "RGB"))
        return pixels.reshape(*pixels.shape[:2], -1), np.ones(pixels.shape[:2], bool)
    pixels = np.asarray(picture.convert("RGBA"))
    return pixels[:, :, : 1 if grey else 3], pixels[:, :, 3] > 0


FORMAT = Image

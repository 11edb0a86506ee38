"""Image: pictures with missing pixels, which are either transparent, or dark in a mask."""

import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.formats.base import Document, KnownCells, check_file

__all__ = [
    "FORMAT",
    "LUMINANCE",
    "Image",
    "bright_pixels",
    "load_pixels",
    "opened_picture",
    "pixels_of",
    "read_grey",
    "save_pixels",
    "to_pixels",
]

#: Shares of red, green and blue in the brightness of a colour (ITU-R BT.601).
LUMINANCE = np.array([0.299, 0.587, 0.114])
#: Memory for each value of a picture while it is read, in bytes: two copies, and its row and column index.
BYTES_PER_VALUE = 32.0


class Image(Document):
    """A grey or colour picture as a matrix with values from 0 to 1 and its colour channels side by side.

    ``pixels`` (h, w, channels) are uint8 or uint16 without transparency; ``known`` (h, w) is true for known pixels.
    """

    suffixes = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
    kind = "image"
    takes_mask = True

    def __init__(self, pixels: Array, known: Array, name: str) -> None:
        if not known.any():
            raise InputError(f"{name} has no known pixel, expected at least one that is not missing")
        self._pixels, self._known = pixels, known
        self._full = float(np.iinfo(pixels.dtype).max)
        holes = np.where(known[:, :, None], pixels / self._full, np.nan)
        super().__init__(KnownCells.from_matrix(_side_by_side(holes), name))

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read a picture. Fully transparent pixels are missing or, with a mask, pixels that are dark in the mask."""
        pixels, opaque = load_pixels(path)
        return cls(pixels, opaque if mask is None else bright_pixels(mask, opaque.shape), path.name)

    def write(self, stem: Path, matrix: Array, *, whole: bool = False) -> Path:
        """Write a PNG of the same size and depth, its known pixels unchanged; values are clipped to 0..1."""
        pixels = to_pixels(_stacked(matrix, self._pixels.shape[2]), self._pixels.dtype)
        if not whole:
            pixels = np.where(self._known[:, :, None], self._pixels, pixels)
        return save_pixels(stem.with_suffix(".png"), pixels)

    def picture(self, matrix: Array) -> Array:
        """Return the matrix as a picture (h, w) or (h, w, 3), clipped to 0..1; NaN stays."""
        colours = np.clip(_stacked(matrix, self._pixels.shape[2]), 0, 1)
        return colours[:, :, 0] if colours.shape[2] == 1 else colours


def _side_by_side(colours: Array) -> Array:
    return np.ascontiguousarray(colours.transpose(0, 2, 1)).reshape(len(colours), -1)


def _stacked(matrix: Array, channels: int) -> Array:
    return matrix.reshape(len(matrix), channels, -1).transpose(0, 2, 1)


def bright_pixels(mask: Path, shape: tuple[int, ...]) -> Array:
    """Return which pixels of a mask image are bright, that is, known; (h, w)."""
    check_file(mask, "the --mask image")
    marks, _ = load_pixels(mask)
    if marks.shape[:2] != shape:
        sizes = (f"{w}×{h}" for h, w in (marks.shape[:2], shape))
        raise InputError("the --mask image has {} pixels, expected {} as in the input".format(*sizes))
    return np.asarray(marks.mean(axis=2) > np.iinfo(marks.dtype).max / 2)


def read_grey(path: Path) -> tuple[Array, Array, np.dtype[Any]]:
    """Return the grey values (h, w) of a picture from 0 to 1, its known pixels, and the type of its pixels."""
    pixels, opaque = load_pixels(path)
    values = pixels / float(np.iinfo(pixels.dtype).max)
    return values[:, :, 0] if values.shape[2] == 1 else values @ LUMINANCE, opaque, pixels.dtype


def to_pixels(values: Array, depth: np.dtype[Any]) -> Array:
    """Return values, clipped to 0..1, as pixels of 8 or 16 bits."""
    full = float(np.iinfo(depth).max)
    return np.asarray(np.clip(np.rint(values * full), 0, full).astype(depth))


def save_pixels(path: Path, pixels: Array) -> Path:
    """Write pixels (h, w) or (h, w, 1 or 3) as a PNG and return its path."""
    from PIL import Image as pillow

    pillow.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels).save(path, format="PNG")
    return path


def load_pixels(path: Path) -> tuple[Array, Array]:
    """Return pixels (h, w, 1 or 3) of 8 or 16 bits and which of them are not fully transparent."""
    what = f"{path} is not a whole picture that can be read"
    with refused_if_damaged(what), warnings.catch_warnings(action="ignore"), opened_picture(path) as opened:
        require(BYTES_PER_VALUE * opened.width * opened.height * len(opened.getbands()), f"reading {path.name}")
        opened.load()
        return pixels_of(opened)


def opened_picture(path: Path) -> Any:
    """Return a Pillow image that is not decoded yet, or raise `InputError` if its header promises too many pixels."""
    from PIL import Image as pillow

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged notes about the camera, which say nothing about pixels
        warnings.simplefilter("error", pillow.DecompressionBombWarning)
        try:
            return pillow.open(path)
        except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
            most = pillow.MAX_IMAGE_PIXELS
            raise InputError(f"{path} is too large a picture, expected at most {most} pixels; reduce it") from error


def pixels_of(picture: Any) -> tuple[Array, Array]:
    """Return the pixels of a Pillow image as `load_pixels` does."""
    if picture.mode.startswith("I"):
        deep = np.asarray(picture)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError("its grey values exceed the 16-bit range")
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

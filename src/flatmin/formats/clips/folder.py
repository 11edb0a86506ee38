"""PictureFolder: the frames of a clip as pictures in a folder."""

from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.formats.clips.clip import Clip, Sampling, Stills
from flatmin.formats.frames import frame_files
from flatmin.formats.image import load_pixels, save_pixels

__all__ = ["PictureFolder"]


class PictureFolder(Clip):
    """Pictures of one size in the order of their names. Fully transparent pixels are missing."""

    @classmethod
    def read(cls, path: Path, sampling: Sampling) -> Self:
        """Read the pictures of a folder."""
        files, stills, shape, depth = frame_files(path), Stills(sampling), None, np.dtype(np.uint8)
        for file in files[:: sampling.every]:
            pixels, known = load_pixels(file)
            if shape is None:
                shape = pixels.shape[:2]
                sampling.check(path.name, len(files), *pixels.shape)
            if pixels.shape[:2] != shape:
                (h, w), (height, width) = pixels.shape[:2], shape
                raise InputError(f"the frame {file} has {w}×{h} pixels, expected {width}×{height} as in the first one")
            depth = max(depth, pixels.dtype, key=lambda kind: kind.itemsize)
            stills.add(pixels, known)
        return cls(stills.stacked(), [file.name for file in files[:: sampling.every]], depth)

    def write(self, stem: Path, frames: Array) -> Path:
        """Write a folder with a PNG of the same name for each frame."""
        stem.mkdir()
        for name, pixels in zip(self.names, self.pixels(frames), strict=True):
            colours = pixels if pixels.shape[2] == 1 else to_eight_bits(pixels)
            save_pixels((stem / name).with_suffix(".png"), colours)
        return stem


def to_eight_bits(pixels: Array) -> Array:
    """Return pixels of 16 bits as 8 bits, which PNG files in colour have here."""
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)

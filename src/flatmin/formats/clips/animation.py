"""Animation: picture files with several frames, such as animated GIFs."""

import struct
import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin.formats.base import check_file
from flatmin.formats.clips.clip import Clip, Sampling, Stills
from flatmin.formats.image import opened_picture, pixels_of

__all__ = ["Animation", "n_frames"]

#: Duration of a frame in milliseconds if the file states none.
DURATION = 100.0
#: Exceptions of Pillow for files that are no pictures.
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error)


class Animation(Clip):
    """A GIF, WebP, TIFF or PNG file with several frames, shown at their durations in milliseconds."""

    suffixes = (".gif", ".webp", ".tif", ".tiff", ".png")
    _suffix: str
    _durations: list[float]

    @classmethod
    def read(cls, path: Path, sampling: Sampling) -> Self:
        """Read all frames. Pixels that stay fully transparent are missing."""
        stills, durations = Stills(sampling), []
        what = f"{path} is not a whole animation that can be read"
        with refused_if_damaged(what), warnings.catch_warnings(action="ignore"), opened_picture(path) as opened:
            count, grey = int(opened.n_frames), opened.mode in ("1", "L") or opened.mode.startswith("I")
            sampling.check(path.name, count, opened.height, opened.width, 1 if grey else 3)
            for k in range(count):
                opened.seek(k)
                durations.append(float(opened.info.get("duration") or DURATION))
                if k % sampling.every == 0:
                    pixels, known = pixels_of(opened)
                    stills.add(pixels, known)
            frames = stills.stacked()
        shown = [sum(durations[k : k + sampling.every]) for k in range(0, count, sampling.every)]
        names = [str(k) for k in range(0, count, sampling.every)]
        clip = cls(frames, names, pixels.dtype)
        clip._suffix, clip._durations = path.suffix.lower(), shown
        return clip

    def write(self, stem: Path, frames: Array) -> Path:
        """Write an animation of the same format with the same durations; frames that look alike stay separate."""
        from PIL import Image as pillow

        pictures = [pillow.fromarray(p[:, :, 0] if p.shape[2] == 1 else p) for p in self.pixels(frames)]
        path = stem.with_name(stem.name + self._suffix)
        if self._suffix == ".gif":
            path.write_bytes(_gif(pictures, self._durations))
            return path
        options: dict[str, Any] = {"lossless": True} if self._suffix == ".webp" else {}
        options["duration"] = [int(duration) for duration in self._durations]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], loop=0, **options)
        return path


def n_frames(path: Path) -> int:
    """Return the number of frames of a picture file, 1 if it is no picture; a damaged one raises `InputError`."""
    check_file(path)
    try:
        opened = opened_picture(path)
    except DAMAGED:
        return 1
    what = f"{path} is not a whole animation that can be read"
    with opened, refused_if_damaged(what), warnings.catch_warnings(action="ignore"):
        return int(getattr(opened, "n_frames", 1))


def _gif(pictures: list[Any], durations: list[float]) -> bytes:
    """Return an endless GIF. Pillow's own writer would merge frames that look alike."""
    from PIL.GifImagePlugin import getdata

    width, height = pictures[0].size
    parts = [struct.pack("<6sHHBBB", b"GIF89a", width, height, 0x70, 0, 0), b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"]
    for picture, duration in zip(pictures, durations, strict=True):
        if picture.mode == "L":
            picture = picture.convert("P")
            picture.putpalette(bytes(np.repeat(np.arange(256, dtype=np.uint8), 3)))
        else:
            picture = picture.quantize(256)
        parts += getdata(picture, duration=max(10.0, duration), include_color_table=True)
    return b"".join([*parts, b";"])

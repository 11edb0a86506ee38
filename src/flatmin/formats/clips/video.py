"""Video: files of moving pictures, read and written by the package av (FFmpeg)."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin.errors import InputError
from flatmin.formats.base import check_file
from flatmin.formats.clips.clip import Clip, Sampling, Stills
from flatmin.formats.tables.table_file import extra

__all__ = ["Video"]

#: Frames for each second if the file states no rate.
RATE = Fraction(25)
#: Strength of the compression, from 0 (none) to 51; at this strength no difference is seen.
COMPRESSION = "12"


class Video(Clip):
    """A video file. Its sound is left out."""

    suffixes = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".ts")
    #: The endings under which a video is written again; all others become the first one.
    written = (".mp4", ".m4v", ".mov", ".mkv", ".avi")
    kind = "video"
    _suffix: str
    _rate: Fraction

    @classmethod
    def read(cls, path: Path, sampling: Sampling) -> Self:
        """Decode the frames of the first video stream."""
        av = _av(path)
        check_file(path)
        stills, count = Stills(sampling), 0
        with refused_if_damaged(f"{path} is not a whole video that can be read"), av.open(str(path)) as opened:
            if not opened.streams.video:
                raise InputError(f"{path} has no video stream, expected moving pictures")
            stream = opened.streams.video[0]
            stream.thread_type = "AUTO"
            rate = Fraction(stream.average_rate or RATE)
            expected = stream.frames or _estimate(opened, rate)
            grey = "gray" in (stream.pix_fmt or "")
            sampling.check(path.name, expected, stream.height, stream.width, 1 if grey else 3)
            for frame in opened.decode(stream):
                if count % sampling.every == 0:
                    stills.add(frame.to_ndarray(format="rgb24"))
                count += 1
        if count < 2 or len(stills.pictures) < 2:
            raise InputError(
                f"{path} has {count} frames, of which {len(stills.pictures)} are used, expected at least 2"
            )
        clip = cls(stills.stacked(), [str(k) for k in range(0, count, sampling.every)])
        ending = path.suffix.lower()
        clip._suffix = ending if ending in cls.written else cls.written[0]
        clip._rate = (rate / sampling.every).limit_denominator(100_000)
        return clip

    def write(self, stem: Path, frames: Array) -> Path:
        """Write a video at the same pace. A row or column is repeated if their number is odd, as its code demands."""
        path = stem.with_name(stem.name + self._suffix)
        av = _av(path)
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        with av.open(str(path), "w") as opened:
            stream = opened.add_stream(codec, rate=self._rate)
            h, w = (n + n % 2 for n in frames.shape[1:3])
            stream.width, stream.height, stream.pix_fmt = w, h, "yuv420p"
            stream.options = {"crf": COMPRESSION} if codec == "libx264" else {"q": "2"}
            for pixels in self.pixels(frames):
                even = np.pad(pixels, ((0, h - pixels.shape[0]), (0, w - pixels.shape[1]), (0, 0)), "edge")
                colours = np.ascontiguousarray(np.broadcast_to(even, (h, w, 3)))
                opened.mux(stream.encode(av.VideoFrame.from_ndarray(colours, format="rgb24")))
            opened.mux(stream.encode())
        return path


def _av(path: Path) -> Any:
    """Return the package av, or raise `InputError` with the command that installs it."""
    try:
        import av
    except ImportError as error:
        raise extra("video", "av", path.suffix) from error
    return av


def _estimate(opened: Any, rate: Fraction) -> int:
    """Return the number of frames from the duration, which is in microseconds."""
    return max(1, int((opened.duration or 0) * rate / 1_000_000))

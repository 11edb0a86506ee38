"""The kinds of clips, and the one that fits a file or folder."""

from pathlib import Path

from flatmin.formats.clips.animation import Animation, n_frames
from flatmin.formats.clips.clip import Clip
from flatmin.formats.clips.folder import PictureFolder
from flatmin.formats.clips.video import Video

__all__ = ["find_clip"]


def find_clip(path: Path) -> type[Clip] | None:
    """Return the kind of clip of a folder or file, None if it is no clip; pictures are clips if they have frames."""
    if path.is_dir():
        return PictureFolder
    ending = path.suffix.lower()
    if ending in Video.suffixes:
        return Video
    return Animation if ending in Animation.suffixes and n_frames(path) > 1 else None

"""Clips: the frames of a video, of an animation or of a folder of pictures, written again in the same form."""

from flatmin.formats.clips.clip import Clip, Sampling
from flatmin.formats.clips.kinds import find_clip

__all__ = ["Clip", "Sampling", "find_clip"]

__dir__ = __all__.copy

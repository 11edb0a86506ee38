import sys

import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats.clips import Sampling
from flatmin.formats.clips.video import Video

SMOOTH = 0.2 + 0.6 * np.add.outer(np.arange(23) / 45, np.arange(31) / 61)


def frames(count=6):
    """Return smooth frames of odd size with a bright square that moves."""
    out = np.repeat(SMOOTH[None, :, :, None], count, axis=0)
    for k in range(count):
        out[k, 4:12, 2 + 3 * k : 10 + 3 * k] = 0.95
    return out


@pytest.fixture
def clip(tmp_path):
    pytest.importorskip("av")
    from fractions import Fraction

    made = Video(frames(), [str(k) for k in range(6)])
    made._suffix, made._rate = ".mp4", Fraction(12)
    return made.write(tmp_path / "clip", made.frames)


def test_a_video_comes_back_nearly_unchanged(clip, tmp_path):
    found = Video.read(clip, Sampling())
    assert found.frames.shape[:3] == (6, 24, 32)  # even, as the code demands
    seen = found.frames.mean(axis=3)[:, :23, :31]
    assert np.abs(seen - frames()[..., 0]).max() < 0.1
    assert np.abs(seen - frames()[..., 0]).mean() < 0.01
    written = found.write(tmp_path / "again", found.frames)
    assert Video.read(written, Sampling())._rate == 12


def test_left_out_frames_slow_the_rate(clip):
    found = Video.read(clip, Sampling(every=2, scale=0.5, grey=True))
    assert found.frames.shape == (3, 12, 16, 1)
    assert found._rate == 6


def test_other_files_and_single_frames_are_refused(clip, tmp_path):
    wrong = tmp_path / "wrong.mp4"
    wrong.write_text("no video")
    with pytest.raises(InputError, match="is not a whole video"):
        Video.read(wrong, Sampling())
    with pytest.raises(InputError, match="has 6 frames, of which 1 are used, expected at least 2"):
        Video.read(clip, Sampling(every=9))


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        InputError, match=r"\.mov files need the package av; install it by pip install 'flatmin\[video\]'"
    ):
        Video.read(tmp_path / "clip.mov", Sampling())

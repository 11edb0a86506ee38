import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import InputError
from flatmin.formats.clips import Sampling
from flatmin.formats.clips.animation import Animation, n_frames
from tests.formats.clips.conftest import COLOUR, GREY


def frames(path, mode):
    with pillow.open(path) as opened:
        out = []
        for k in range(opened.n_frames):
            opened.seek(k)
            out.append((np.asarray(opened.convert(mode)), opened.info.get("duration")))
    return out


def test_a_gif_comes_back_with_its_durations_and_with_frames_that_look_alike(animation, tmp_path):
    clip = Animation.read(animation(GREY, duration=[40, 50, 60, 70, 80]), Sampling())
    np.testing.assert_allclose(clip.matrix, GREY.reshape(5, -1) / 255, atol=1e-6)
    alike = np.repeat(clip.frames[:1], 5, axis=0)
    found = frames(clip.write(tmp_path / "low_rank", alike), "L")
    assert [duration for _, duration in found] == [40, 50, 60, 70, 80]
    for picture, _ in found:
        np.testing.assert_array_equal(picture, GREY[0])


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp", "clip.tif", "clip.png"])
def test_colours_come_back(animation, tmp_path, name):
    clip = Animation.read(
        animation(COLOUR // 64 * 64, name, **({"lossless": True} if "webp" in name else {})), Sampling()
    )
    assert clip.frames.shape == (5, 6, 8, 3)
    written = clip.write(tmp_path / "out", clip.frames)
    assert written.suffix == f".{name.split('.')[1]}"
    for (picture, _), frame in zip(frames(written, "RGB"), COLOUR // 64 * 64, strict=True):
        np.testing.assert_array_equal(picture, frame)


def test_left_out_frames_give_their_time_to_the_others(animation, tmp_path):
    clip = Animation.read(animation(GREY, duration=[40, 50, 60, 70, 80]), Sampling(every=2))
    assert [duration for _, duration in frames(clip.write(tmp_path / "out", clip.frames), "L")] == [90, 130, 80]


def test_damaged_animations_are_refused(animation, tmp_path):
    path = animation(GREY)
    whole = path.read_bytes()
    for size in (1100, len(whole) - 20):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="not a whole animation"):
            n_frames(path) and Animation.read(path, Sampling())
    path.write_bytes(b"GIF89a")
    assert n_frames(path) == 1

import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import InputError
from flatmin.formats.clips import Sampling
from flatmin.formats.clips.folder import PictureFolder
from tests.formats.clips.conftest import COLOUR, GREY


def test_frames_are_rows_and_come_back(folder, tmp_path):
    clip = PictureFolder.read(folder(COLOUR), Sampling())
    np.testing.assert_allclose(clip.matrix, COLOUR.reshape(5, -1) / 255, atol=1e-6)
    assert clip.size == "5 frames of 8×6 pixels, in colour"
    written = clip.write(tmp_path / "low_rank", clip.frames)
    for k, frame in enumerate(COLOUR):
        np.testing.assert_array_equal(np.asarray(pillow.open(written / f"{k}.png")), frame)


def test_deep_pixels_stay_deep(folder, tmp_path):
    deep = GREY.astype(np.uint16) * 257
    clip = PictureFolder.read(folder(deep), Sampling(every=2))
    assert (clip.names, clip.depth) == (["0.png", "2.png", "4.png"], np.uint16)
    clip.write(tmp_path / "out", clip.frames)
    np.testing.assert_array_equal(np.asarray(pillow.open(tmp_path / "out" / "4.png")), deep[4])


def test_frames_of_another_size_are_named(folder):
    path = folder([GREY[0], GREY[1], GREY[2][:, :3]])
    with pytest.raises(InputError, match=r"2\.png has 3×6 pixels, expected 8×6"):
        PictureFolder.read(path, Sampling())

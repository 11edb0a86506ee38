import numpy as np
import pytest

from flatmin import InputError
from flatmin.formats.clips import Sampling
from flatmin.formats.clips.clip import SECONDS_PER_CELL, Stills
from tests.formats.clips.conftest import COLOUR, GREY


@pytest.mark.parametrize(
    ("given", "text"),
    [({"every": 0}, "--every is 0"), ({"scale": 0.0}, "--scale is 0"), ({"scale": 2.0}, "--scale is 2")],
)
def test_samplings_out_of_range_are_refused(given, text):
    with pytest.raises(InputError, match=text):
        Sampling(**given)


def test_a_clip_that_does_not_fit_is_refused_with_advice_that_fits(monkeypatch):
    monkeypatch.setattr("flatmin.formats.clips.clip.available_bytes", lambda: 16 * 2.0**30)
    with pytest.raises(
        InputError, match=r"600 frames of 1920×1080 pixels in colour .* GiB are free, and .* h; "
    ) as error:
        Sampling().check("clip.mp4", 600, 1080, 1920, 3)
    words = str(error.value).split()
    scale, every = (float(words[words.index(option) + 1]) for option in ("--scale", "--every"))
    advised = Sampling(int(every), scale)
    h, w = advised.reduced(1080, 1920)
    assert SECONDS_PER_CELL * 600 / every * h * w * 3 < 150
    advised.check("clip.mp4", 600, 1080, 1920, 3)
    Sampling().check("clip.mp4", 60, 108, 192, 3)


def test_pictures_of_equal_channels_are_grey():
    stills = Stills(Sampling())
    stills.add(np.repeat(GREY[0][:, :, None], 3, axis=2))
    stills.add(GREY[1][:, :, None])
    np.testing.assert_allclose(stills.stacked()[..., 0], GREY[:2] / 255, atol=1e-6)
    stills.add(COLOUR[0])
    found = stills.stacked()
    np.testing.assert_allclose(found[2], COLOUR[0] / 255, atol=1e-6)
    np.testing.assert_allclose(found[1], np.repeat(GREY[1][:, :, None], 3, axis=2) / 255, atol=1e-6)


def test_grey_is_luminance_and_transparent_pixels_are_missing():
    stills = Stills(Sampling(grey=True))
    stills.add(COLOUR[0], np.arange(48).reshape(6, 8) > 0)
    found = stills.stacked()[0, :, :, 0]
    assert np.isnan(found[0, 0])
    np.testing.assert_allclose(found[1:], (COLOUR[0] / 255 @ [0.299, 0.587, 0.114])[1:], atol=1e-6)


def test_pictures_are_reduced_by_averages():
    stills = Stills(Sampling(scale=0.5))
    stills.add(GREY[0][:, :, None])
    means = GREY[0].reshape(3, 2, 4, 2).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(stills.stacked()[0, :, :, 0], means, atol=1e-6)


def test_pictures_of_different_sizes_are_no_clip():
    stills = Stills(Sampling())
    for height in (3, 4):
        stills.add(np.zeros((height, 5, 1), np.uint8))
    with pytest.raises(ValueError, match="its frames differ in size"):
        stills.stacked()

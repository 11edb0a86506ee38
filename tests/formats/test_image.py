import struct
import zlib

import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import InputError
from flatmin.formats.image import Image, read_grey

RNG = np.random.default_rng(0)


def saved(path, array, mode=None):
    image = pillow.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


@pytest.fixture
def rgba():
    pixels = RNG.integers(0, 256, (5, 4, 4), dtype=np.uint8)
    pixels[:, :, 3] = 255
    pixels[1, 2, 3] = 0
    pixels[3, 0, 3] = 1
    return pixels


def test_channels_stand_side_by_side(tmp_path, rgba):
    image = Image.read(saved(tmp_path / "x.png", rgba))
    dense = image.cells.dense()
    assert dense.shape == (5, 12)
    for channel in range(3):
        block = dense[:, 4 * channel : 4 * channel + 4]
        known = rgba[:, :, 3] > 0
        np.testing.assert_array_equal(block[known], rgba[:, :, channel][known] / 255)
        assert np.isnan(block[~known]).all()
    picture = image.picture(dense)
    assert picture.shape == (5, 4, 3)
    assert np.isnan(picture[1, 2]).all()
    assert np.isnan(picture).sum() == 3


def test_known_pixels_are_written_unchanged(tmp_path, rgba):
    image = Image.read(saved(tmp_path / "x.png", rgba))
    path = image.write(tmp_path / "out", np.full((5, 12), 2.0))
    with pillow.open(path) as written:
        assert written.mode == "RGB"
        pixels = np.asarray(written)
    np.testing.assert_array_equal(pixels[1, 2], [255, 255, 255])
    pixels = pixels.copy()
    pixels[1, 2] = rgba[1, 2, :3]
    np.testing.assert_array_equal(pixels, rgba[:, :, :3])


def test_all_pixels_can_be_replaced_and_errors_are_shown_by_size(tmp_path):
    image = Image.read(saved(tmp_path / "x.png", RNG.integers(0, 256, (5, 4), dtype=np.uint8)))
    with pillow.open(image.write(tmp_path / "low-rank", np.linspace(-1, 2, 20).reshape(5, 4), whole=True)) as written:
        pixels = np.asarray(written)
    assert (pixels[0, 0], pixels[4, 3]) == (0, 255)
    with pillow.open(image.write_errors(tmp_path / "sparse", np.full((5, 4), -0.4))) as written:
        assert (np.asarray(written) == 102).all()


def test_grey_values_of_a_colour_picture(tmp_path, rgba):
    values, known, depth = read_grey(saved(tmp_path / "x.png", rgba))
    np.testing.assert_allclose(values, rgba[:, :, :3] @ [0.299, 0.587, 0.114] / 255)
    np.testing.assert_array_equal(known, rgba[:, :, 3] > 0)
    assert depth == np.uint8


@pytest.mark.parametrize(("mode", "width"), [("L", 4), ("RGB", 12), ("LA", 4), ("P", 12), ("1", 4)])
def test_modes(tmp_path, rgba, mode, width):
    pixels = rgba.copy()
    pixels[:, :, 3] = 255
    assert Image.read(saved(tmp_path / "x.png", pixels, mode)).cells.dense().shape == (5, width)


def test_sixteen_bits_stay(tmp_path):
    grey = RNG.integers(0, 65536, (5, 4), dtype=np.uint16)
    mask = np.full((5, 4), 255, np.uint8)
    mask[0, 0] = 0
    image = Image.read(saved(tmp_path / "x.png", grey), saved(tmp_path / "m.png", mask))
    np.testing.assert_allclose(image.cells.values, grey.ravel()[1:] / 65535)
    with pillow.open(image.write(tmp_path / "out", np.zeros((5, 4)))) as written:
        np.testing.assert_array_equal(np.asarray(written).ravel()[1:], grey.ravel()[1:])


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_white_of_a_mask_is_known(tmp_path, mode):
    grey = RNG.integers(0, 256, (5, 4), dtype=np.uint8)
    mask = np.zeros((5, 4), np.uint8)
    mask[2] = 255
    image = Image.read(saved(tmp_path / "x.png", grey), saved(tmp_path / "m.png", mask, mode))
    assert set(image.cells.rows) == {2}


@pytest.mark.parametrize(
    ("mask", "part"),
    [(np.zeros((5, 4), np.uint8), "no known pixel"), (np.ones((4, 5), np.uint8), "5×4 pixels, expected 4×5")],
)
def test_masks_that_do_not_fit(tmp_path, mask, part):
    path = saved(tmp_path / "x.png", RNG.integers(0, 256, (5, 4), dtype=np.uint8))
    with pytest.raises(InputError, match=part):
        Image.read(path, saved(tmp_path / "m.png", mask))


def test_truncated_pictures(tmp_path, rgba):
    whole = saved(tmp_path / "x.png", RNG.integers(0, 256, (50, 40), dtype=np.uint8)).read_bytes()
    (tmp_path / "x.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="picture"):
        Image.read(tmp_path / "x.png")


def promised(path, side):
    """Write a picture that promises many pixels and has none."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0), b"IDAT": b""}
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


@pytest.mark.parametrize(
    ("side", "message"), [(60_000, "too large"), (12_000, "too large"), (9_400, "would need about")]
)
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(tmp_path, monkeypatch, recwarn, side, message):
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 1e9)
    with pytest.raises(InputError, match=message):
        Image.read(promised(tmp_path / "x.png", side))
    assert not recwarn.list


def test_a_damaged_note_about_the_camera_is_no_warning(tmp_path, recwarn):
    saved(tmp_path / "x.tif", RNG.integers(0, 256, (5, 4), dtype=np.uint8))
    content = bytearray((tmp_path / "x.tif").read_bytes())
    place = int.from_bytes(content[4:8], "little")
    entries = [place + 2 + 12 * k for k in range(int.from_bytes(content[place : place + 2], "little"))]
    planar = next((at for at in entries if int.from_bytes(content[at : at + 2], "little") == 284), entries[-1])
    content[planar : planar + 8] = (
        (305).to_bytes(2, "little") + (2).to_bytes(2, "little") + (10**6).to_bytes(4, "little")
    )
    (tmp_path / "y.tif").write_bytes(content)
    assert Image.read(tmp_path / "y.tif").cells.shape == (5, 4)
    assert not recwarn.list

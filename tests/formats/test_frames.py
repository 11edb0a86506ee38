import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import InputError, formats
from flatmin.formats.frames import Frames

RNG = np.random.default_rng(0)


def saved(path, array):
    pillow.fromarray(array).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three grey frames, the second of them deeper, and files that are no frames."""
    path = tmp_path / "video"
    path.mkdir()
    saved(path / "b.png", RNG.integers(0, 65536, (3, 4), dtype=np.uint16))
    saved(path / "a.png", RNG.integers(0, 256, (3, 4), dtype=np.uint8))
    saved(path / "c.bmp", RNG.integers(0, 256, (3, 4), dtype=np.uint8))
    (path / "notes.txt").write_text("no frame")
    (path / ".hidden.png").write_text("no frame")
    (path / "inner.png").mkdir()
    return path


def pixels(path):
    with pillow.open(path) as picture:
        return np.array(picture)


def test_each_frame_is_a_column(folder):
    assert formats.find(folder) is Frames
    document = Frames.read(folder)
    assert document.cells.shape == (12, 3)
    assert document.column_labels == ["a.png", "b.png", "c.bmp"]
    for name, full, column in zip(document.column_labels, (255, 65535, 255), document.cells.dense().T, strict=True):
        np.testing.assert_allclose(column, pixels(folder / name).ravel() / full)
    assert document.notes == ["Read as 3 frames of 4×3 pixels, in grey."]
    assert document.picture(document.cells.dense()).shape == (3, 12)


def test_colours_count_by_their_luminance(tmp_path):
    for name, colour in (("r", (255, 0, 0)), ("w", (255, 255, 255))):
        saved(tmp_path / f"{name}.png", np.full((2, 2, 3), colour, np.uint8))
    np.testing.assert_allclose(Frames.read(tmp_path).cells.dense(), [[0.299, 1.0]] * 4)


def test_frames_are_written_with_their_names_sizes_and_depths(folder, tmp_path):
    document = Frames.read(folder)
    low_rank = document.write(tmp_path / "low-rank", np.full((12, 3), 0.5), whole=True)
    assert sorted(p.name for p in low_rank.iterdir()) == ["a.png", "b.png", "c.png"]
    assert pixels(low_rank / "a.png").dtype == np.uint8
    assert (pixels(low_rank / "a.png") == 128).all()
    assert (pixels(low_rank / "b.png") == 32768).all()
    errors = document.write_errors(tmp_path / "sparse", np.tile([[-0.2, 0.0, 3.0]], (12, 1)))
    assert [int(pixels(errors / f"{name}.png")[0, 0]) for name in "abc"] == [51, 0, 255]


def test_known_pixels_stay_unless_the_whole_is_replaced(folder, tmp_path):
    mask = np.full((3, 4), 255, np.uint8)
    mask[1, 2] = 0
    document = Frames.read(folder, saved(tmp_path / "mask.png", mask))
    assert np.isnan(document.cells.dense()).sum() == 3
    written = document.write(tmp_path / "completed", np.zeros((12, 3)))
    for name in "ab":
        expected = pixels(folder / f"{name}.png")
        expected[1, 2] = 0
        np.testing.assert_array_equal(pixels(written / f"{name}.png"), expected)


def test_transparent_pixels_are_missing(tmp_path):
    rgba = np.full((2, 2, 4), 255, np.uint8)
    saved(tmp_path / "a.png", rgba)
    rgba[0, 1, 3] = 0
    saved(tmp_path / "b.png", rgba)
    np.testing.assert_array_equal(np.isnan(Frames.read(tmp_path).cells.dense()).any(axis=0), [False, True])


def grey(h, w):
    return np.ones((h, w), np.uint8)


@pytest.mark.parametrize(
    ("pictures", "part"),
    [
        ({}, "no image"),
        ({"a.png": grey(3, 4)}, "a single image, a.png"),
        ({"a.png": grey(3, 4), "b.png": grey(4, 3)}, "b.png has 3×4 pixels, expected 4×3 as in a.png"),
        ({"a.png": grey(3, 4), "a.bmp": grey(3, 4)}, "several frames called a"),
    ],
)
def test_folders_that_are_no_frames(tmp_path, pictures, part):
    for name, picture in pictures.items():
        saved(tmp_path / name, picture)
    with pytest.raises(InputError, match=part):
        Frames.read(tmp_path)


def test_a_damaged_frame_is_named(folder):
    (folder / "b.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"b\.png is not a whole picture"):
        Frames.read(folder)


def test_a_mask_of_another_size(folder, tmp_path):
    with pytest.raises(InputError, match="5×5 pixels, expected 4×3"):
        Frames.read(folder, saved(tmp_path / "mask.png", grey(5, 5)))


def test_a_video_too_large_is_refused_before_it_is_read(folder, monkeypatch):
    monkeypatch.setattr("flatmin._core.memory.available_bytes", lambda: 800.0)  # one frame fits
    with pytest.raises(InputError, match="reading 3 frames would need"):
        Frames.read(folder)

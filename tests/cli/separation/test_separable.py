import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import InputError
from flatmin.cli.separation.separable import (
    SeparableArray,
    SeparableClip,
    SeparableDocument,
    SeparableTable,
    read_separable,
)
from flatmin.formats.clips import Sampling
from flatmin.formats.tables import Reading

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)


def read(path, reading=None, sampling=None):
    return read_separable(path, reading or Reading(), sampling or Sampling())


@pytest.fixture
def gif(tmp_path):
    pictures = [pillow.fromarray(frame) for frame in FRAMES]
    pictures[0].save(tmp_path / "clip.gif", save_all=True, append_images=pictures[1:])
    return tmp_path / "clip.gif"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("who,a,b\nx,1,100\ny,2,300\nz,,200\nw,99,250\n")
    return path


def test_a_table_is_written_with_its_text(table, tmp_path):
    source = read(table)
    assert isinstance(source, SeparableTable)
    assert source.matrix.shape == (4, 2)
    np.testing.assert_allclose(source.scales, [1.4826, 1.4826 * 50])
    mask = np.zeros((4, 2), bool)
    mask[3, 0] = True
    low_rank = np.full((4, 2), 7.0)
    names = source.write(tmp_path, low_rank, np.where(mask, 92.0, 0.0), mask)
    assert names == ["low_rank.csv", "sparse.csv", "mask.csv"]
    assert (tmp_path / "low_rank.csv").read_text() == "who,a,b\nx,7,7\ny,7,7\nz,7,7\nw,7,7\n"
    assert (tmp_path / "sparse.csv").read_text() == "who,a,b\nx,0,0\ny,0,0\nz,,0\nw,92,0\n"
    assert (tmp_path / "mask.csv").read_text() == "who,a,b\nx,0,0\ny,0,0\nz,,0\nw,1,0\n"


def test_constant_columns_have_the_unit_one(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,5\n2,5\n3,5\n")
    np.testing.assert_allclose(read(tmp_path / "t.csv").scales, [1.4826, 1.0])


def test_a_pixel_is_wrong_if_one_of_its_channels_is(tmp_path):
    path = tmp_path / "frames"
    path.mkdir()
    for k in range(2):
        pillow.fromarray(RNG.integers(0, 256, (4, 5, 3), dtype=np.uint8)).save(path / f"{k}.png")
    source = read(path)
    mask = np.zeros(source.matrix.shape, bool)
    mask[1, :2] = True  # red and green of the first pixel
    assert (source.count(mask), source.count(~np.isnan(source.matrix)), source.unit) == (1, 40, "pixel")
    source.write(tmp_path, source.matrix, 0 * source.matrix, mask)
    second = np.asarray(pillow.open(tmp_path / "mask" / "1.png"))
    assert (second[0, 0] == 255).all()
    assert second.sum() == 3 * 255


def test_all_other_forms_come_back_in_their_form(gif, tmp_path):
    Y = RNG.standard_normal((4, 3))
    np.save(tmp_path / "a.npy", Y)
    np.savez(tmp_path / "a.npz", Y=Y)
    pillow.fromarray(FRAMES[0]).save(tmp_path / "one.png")
    for name, kind in (
        ("a.npy", SeparableDocument),
        ("a.npz", SeparableArray),
        ("one.png", SeparableDocument),
        ("clip.gif", SeparableClip),
    ):
        source = read(tmp_path / name)
        assert type(source) is kind
        folder = tmp_path / f"out-{name}"
        folder.mkdir()
        mask = np.zeros(source.matrix.shape, bool)
        names = source.write(folder, source.matrix, 0 * source.matrix, mask)
        assert names == [f"{part}.{name.split('.')[1]}" for part in ("low_rank", "sparse", "mask")]
    np.testing.assert_allclose(np.load(tmp_path / "out-a.npz" / "low_rank.npz")["Y"], Y)


def test_options_for_other_forms_and_unknown_forms_are_refused(gif, table, tmp_path):
    (tmp_path / "a.xyz").write_text("?")
    (tmp_path / "one.csv").write_text("a\n1\n2\n")
    for path, reading, sampling, text in (
        (gif, Reading(missing=("-",)), None, "--missing, --index, --ignore and --encoding are for tables"),
        (table, None, Sampling(every=2), "--every, --scale and --grey are for moving pictures"),
        (tmp_path / "a.xyz", None, None, "has the ending '.xyz', expected a table"),
        (tmp_path / "none.csv", None, None, "does not exist"),
        (tmp_path / "one.csv", None, None, "has 2 rows and 1 column of numbers"),
    ):
        with pytest.raises(InputError, match=text):
            read(path, reading, sampling)

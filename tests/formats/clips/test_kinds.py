from flatmin.formats.clips import find_clip
from flatmin.formats.clips.animation import Animation
from flatmin.formats.clips.folder import PictureFolder
from flatmin.formats.clips.video import Video
from tests.formats.clips.conftest import GREY


def test_the_kind_follows_from_the_file(folder, animation, tmp_path):
    assert find_clip(folder(GREY)) is PictureFolder
    assert find_clip(animation(GREY)) is Animation
    assert find_clip(animation(GREY[:1], "one.gif")) is None
    assert find_clip(tmp_path / "clip.MP4") is Video
    assert find_clip(tmp_path / "table.csv") is None

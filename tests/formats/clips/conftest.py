import numpy as np
import pytest
from PIL import Image as pillow

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 6, 8), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)


@pytest.fixture
def animation(tmp_path):
    """Return a function that saves frames as one file."""

    def saved(frames, name="clip.gif", **options):
        pictures = [pillow.fromarray(frame) for frame in frames]
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], **options)
        return tmp_path / name

    return saved


@pytest.fixture
def folder(tmp_path):
    """Return a function that saves frames as a folder of PNG files."""

    def saved(frames, name="frames"):
        path = tmp_path / name
        path.mkdir()
        for k, frame in enumerate(frames):
            pillow.fromarray(frame).save(path / f"{k}.png")
        return path

    return saved

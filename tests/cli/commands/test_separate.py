import json

import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import RobustPCA
from flatmin.formats.clips import Sampling, find_clip
from tests.cli.separation.conftest import DATA, WRONG, write_table

RNG = np.random.default_rng(0)


@pytest.fixture
def gif(tmp_path):
    """Return a noisy gradient of 12 frames with a moving square, and where the square is."""
    square = np.zeros((12, 24, 32), bool)
    for k in range(12):
        square[k, 8:13, 2 * k : 2 * k + 5] = True
    clean = 60 + 3 * np.arange(32) + np.zeros((12, 24, 1))
    pixels = np.where(square, 250, clean + 4 * RNG.standard_normal(clean.shape)).astype(np.uint8)
    pictures = [pillow.fromarray(frame) for frame in pixels]
    pictures[0].save(tmp_path / "clip.gif", save_all=True, append_images=pictures[1:], duration=50)
    return tmp_path / "clip.gif", square


@pytest.fixture
def without_pictures(monkeypatch):
    name = "flatmin.cli.commands.separate.write_separation_report"
    monkeypatch.setattr(name, lambda path, split: path.write_text("-"))


def test_a_gif_is_separated_into_gifs(flatmin, gif, tmp_path):
    path, square = gif
    run = flatmin("separate", path, "--json")
    assert run.code == 0
    summary = json.loads(run.out)
    assert summary == json.loads((tmp_path / "clip-separated" / "summary.json").read_text())
    assert (summary["treatment"], summary["rank"], summary["unit"]) == ("noisy", 1, "pixel")
    assert square.sum() <= summary["n_errors"] < square.sum() + 0.02 * square.size
    assert "flatmin: read as 12 frames of 32×24 pixels, in grey" in run.err
    assert "flatmin: treated as noisy" in run.err
    mask = find_clip(tmp_path / "clip-separated" / "mask.gif")
    found = mask.read(tmp_path / "clip-separated" / "mask.gif", Sampling()).frames[..., 0] > 0.5
    assert found[square].all()
    assert "pixels" in (tmp_path / "clip-separated" / "report.html").read_text()


def test_a_table_is_separated_and_its_model_splits_other_rows(flatmin, tmp_path, without_pictures):
    run = flatmin("separate", write_table(tmp_path / "t.csv"), "-o", "out")
    assert run.code == 0
    assert "gross errors" in run.out
    header, *lines = (tmp_path / "out" / "mask.csv").read_text().splitlines()
    found = np.array([[cell == "1" for cell in line.split(",")[1:]] for line in lines])
    assert header == "who,a,b,c,d,e,f"
    assert found[WRONG].all()
    assert RobustPCA.load(tmp_path / "out" / "model.npz").n_features_in_ == 6
    turned = tmp_path / "turned.csv"
    order = [5, 0, 1, 2, 3, 4]
    write_table(turned, DATA[:20, order])
    turned.write_text(turned.read_text().replace("who,a,b,c,d,e,f", "who,f,a,b,c,d,e", 1))
    assert flatmin("separate", turned, "--model", "out", "--output", "new", "--quiet").code == 0
    lines = (tmp_path / "new" / "mask.csv").read_text().splitlines()[1:]
    again = np.array([[cell == "1" for cell in line.split(",")[1:]] for line in lines])
    assert again[WRONG[:20, order]].all()
    assert json.loads((tmp_path / "new" / "summary.json").read_text())["model"] == "out"


def test_an_unconverged_fit_ends_with_exit_status_1(flatmin, tmp_path, monkeypatch, without_pictures):
    monkeypatch.setattr(
        "flatmin.cli.separation.separation_model.RobustPCA", lambda *a, **k: RobustPCA(*a, **k, max_iter=1)
    )
    run = flatmin("separate", write_table(tmp_path / "t.csv"), "--json", "--alpha", "1e-5")
    assert run.code == 1
    assert json.loads(run.out)["converged"] is False
    assert (tmp_path / "t-separated" / "low_rank.csv").exists()


def test_bad_input_is_one_line_and_writes_nothing(flatmin, tmp_path):
    write_table(tmp_path / "t.csv")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    for arguments, text in (
        (["none.csv"], "none.csv does not exist"),
        (["t.csv", "--alpha", "-1"], "--alpha is -1, expected"),
        (["t.csv", "--weight", "0"], "--weight is 0, expected a positive number"),
        (["t.csv", "--seed", "-1"], "--seed is -1, expected"),
        (["t.csv", "--every", "0"], "--every is 0, expected"),
        (["t.csv", "--output", "kept"], "no earlier result"),
        (["t.csv", "--model", "kept"], "holds no results of flatmin separate"),
        (["t.csv", "--model", "kept", "--seed", "1"], "exclude each other"),
    ):
        run = flatmin("separate", *arguments)
        assert (run.code, run.out, run.err.count("\n")) == (2, "", 1)
        assert text in run.err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interruption_leaves_nothing(flatmin, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("flatmin.cli.separation.separation_model.is_exact", interrupted)
    assert flatmin("separate", write_table(tmp_path / "t.csv")).code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]

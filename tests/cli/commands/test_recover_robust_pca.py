"""Low rank and gross errors, from archives, tables, pictures and folders of frames."""

import csv
import json

import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import Solution

pytestmark = pytest.mark.usefixtures("without_report")

RNG = np.random.default_rng(5)


def corrupted(d1=24, d2=20, size=3.0, share=0.05):
    """Return a matrix of rank one with values in 0.2..0.8, and the same with gross errors."""
    truth = np.outer(RNG.uniform(0.5, 0.9, d1), RNG.uniform(0.4, 0.8, d2))
    errors = np.where(RNG.random((d1, d2)) < share, size, 0.0)
    return truth, truth + errors


def loaded(path):
    with np.load(path, allow_pickle=False) as data:
        return dict(data)


def test_an_archive_with_missing_cells(flatmin, tmp_path):
    truth, Y = corrupted()
    hidden = RNG.random(Y.shape) < 0.1
    np.savez(tmp_path / "p.npz", Y=np.where(hidden, np.nan, Y), truth=truth)
    run = flatmin("recover", "robust-pca", "p.npz", "--json")
    assert run.code == 0, run
    summary = json.loads(run.out)
    assert summary["shape"] == [24, 20]
    assert summary["n_measurements"] == (~hidden).sum()
    assert summary["relative_error"] < 1e-6
    arrays = loaded(tmp_path / "p-flat" / "solution.npz")
    np.testing.assert_allclose(arrays["low_rank"], arrays["L"] @ arrays["R"].T)
    np.testing.assert_allclose((arrays["low_rank"] + arrays["sparse"])[~hidden], Y[~hidden])
    assert (arrays["sparse"][hidden] == 0).all()
    assert sorted(p.name for p in (tmp_path / "p-flat").iterdir()) == ["report.html", "solution.npz", "summary.json"]


@pytest.fixture
def solved(flatmin, tmp_path):
    np.savez(tmp_path / "p.npz", Y=corrupted()[1])
    assert flatmin("recover", "robust-pca", "p.npz", "--quiet").code == 0
    return loaded(tmp_path / "p-flat" / "solution.npz")


@pytest.mark.parametrize("keys", [("L", "R"), ("L", "R", "dual"), ("matrix",), ("low_rank",), ("low_rank", "dual")])
def test_anyones_split_is_judged(flatmin, tmp_path, solved, keys):
    np.savez(tmp_path / "mine.npz", **{key: solved[key] for key in keys})
    run = flatmin("certify", "robust-pca", "p.npz", "mine.npz", "--json")
    assert run.code == 0
    fields = json.loads(run.out)
    assert fields["holds"] is True
    assert fields["value"] == pytest.approx(
        np.linalg.norm(solved["low_rank"], "nuc") + np.abs(solved["sparse"]).sum() / np.sqrt(24)
    )


def test_a_dual_in_the_shape_of_the_matrix(flatmin, tmp_path, solved):
    np.savez(tmp_path / "mine.npz", low_rank=solved["low_rank"], dual=solved["dual"].reshape(24, 20))
    assert flatmin("certify", "robust-pca", "p.npz", "mine.npz").code == 0


def test_another_split_is_refused(flatmin, tmp_path, solved):
    np.savez(tmp_path / "mine.npz", low_rank=solved["low_rank"] + 0.01, dual=solved["dual"])
    assert flatmin("certify", "robust-pca", "p.npz", "mine.npz").code == 1


def test_the_flatness_of_the_low_rank_part(flatmin, tmp_path, solved):
    np.savez(tmp_path / "mine.npz", L=2 * solved["L"], R=solved["R"] / 2)
    fields = json.loads(flatmin("flatness", "robust-pca", "p.npz", "mine.npz", "--json").out)
    assert fields["scaled_trace"] == pytest.approx(2 * np.sum(4 * solved["L"] ** 2) + 2 * np.sum(solved["R"] ** 2 / 4))


@pytest.mark.parametrize("option", ["--weight", "--tau"])
def test_the_price_of_errors_is_kept_with_the_solution(flatmin, tmp_path, option):
    truth, Y = corrupted()
    value = 0.3 if option == "--weight" else float(np.abs(Y - truth).sum())
    np.savez(tmp_path / "p.npz", Y=Y, truth=truth)
    run = flatmin("recover", "robust-pca", "p.npz", "--json", option, str(value))
    assert run.code == 0, run
    assert json.loads(run.out)["relative_error"] < 1e-6
    asked = ("--json", option, str(value))
    again = json.loads(flatmin("certify", "robust-pca", "p.npz", "p-flat/solution.npz", *asked).out)
    assert again["holds"] is True
    assert again["value"] == pytest.approx(json.loads(run.out)["certificate"]["value"])
    assert Solution.load(tmp_path / "p-flat" / "solution.npz").settings[option[2:]] == value


def test_a_table_comes_back_as_two(flatmin, tmp_path):
    truth, Y = corrupted(12, 10)
    names = [f"s{j}" for j in range(10)]
    lines = [",".join(["when", *names])]
    lines += [",".join([f"t{i}", *(f"{v:.15g}" for v in Y[i])]) for i in range(12)]
    lines[4] = lines[4].replace(f"{Y[3, 2]:.15g}", "")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    run = flatmin("recover", "robust-pca", "t.csv", "--json")
    assert run.code == 0, run
    parts = {}
    for name in ("low-rank", "sparse"):
        with (tmp_path / "t-flat" / f"{name}.csv").open() as stream:
            rows = list(csv.reader(stream))
        assert rows[0] == ["when", *names]
        assert [row[0] for row in rows[1:]] == [f"t{i}" for i in range(12)]
        parts[name] = np.array([[float(cell) for cell in row[1:]] for row in rows[1:]])
    assert np.linalg.norm(parts["low-rank"] - truth) < 1e-6 * np.linalg.norm(truth)
    assert parts["sparse"][3, 2] == 0
    known = np.ones(Y.shape, bool)
    known[3, 2] = False
    np.testing.assert_allclose((parts["low-rank"] + parts["sparse"])[known], Y[known], atol=1e-9)
    assert not (tmp_path / "t-flat" / "completed.csv").exists()


def test_a_picture_comes_back_as_two(flatmin, tmp_path):
    truth, _ = corrupted(24, 20)
    pixels = np.rint(truth * 255).astype(np.uint8)
    pixels[2:5, 7] = 255
    pillow.fromarray(pixels).save(tmp_path / "x.png")
    run = flatmin("recover", "robust-pca", "x.png", "--quiet")
    assert run.code in (0, 1), run
    for name in ("low-rank.png", "sparse.png"):
        with pillow.open(tmp_path / "x-flat" / name) as picture:
            assert picture.size == (20, 24)
    with pillow.open(tmp_path / "x-flat" / "sparse.png") as picture:
        assert np.asarray(picture)[2:5, 7].min() > 60


def video(folder, frames=10):
    """Write frames of a still background over which a bright square passes; return both parts in 0..1."""
    background = RNG.integers(20, 120, (8, 9))
    folder.mkdir()
    passing = np.zeros((frames, 8, 9), int)
    for k in range(frames):
        passing[k, 2:4, k % 9] = 110
        pillow.fromarray((background + passing[k]).astype(np.uint8)).save(folder / f"frame{k:02}.png")
    return background, passing


def test_frames_come_back_as_two_folders(flatmin, tmp_path):
    background, passing = video(tmp_path / "street")
    run = flatmin("recover", "robust-pca", "street", "--json")
    assert run.code == 0, run
    summary = json.loads(run.out)
    assert (summary["shape"], summary["rank"]) == ([72, 10], 1)
    names = [f"frame{k:02}.png" for k in range(10)]
    for part in ("low-rank", "sparse"):
        assert sorted(p.name for p in (tmp_path / "street-flat" / part).iterdir()) == names
    for k, name in enumerate(names):
        with pillow.open(tmp_path / "street-flat" / "low-rank" / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), background)
        with pillow.open(tmp_path / "street-flat" / "sparse" / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), passing[k])


def test_results_never_replace_the_frames(flatmin, tmp_path):
    video(tmp_path / "street")
    before = sorted(p.name for p in (tmp_path / "street").iterdir())
    for output in ("street", "."):
        run = flatmin("recover", "robust-pca", "street", "--output", output)
        assert run.code == 2
        assert "would replace" in run.err
    assert sorted(p.name for p in (tmp_path / "street").iterdir()) == before


BAD = {
    "no Y": ({"X": np.ones((3, 3))}, [], "lacks the key 'Y'"),
    "vector": ({"Y": np.ones(3)}, [], "Y"),
    "nothing known": ({"Y": np.full((3, 3), np.nan)}, [], "Y"),
    "infinity": ({"Y": np.array([[1.0, np.inf]])}, [], "'Y'"),
    "complex": ({"Y": np.ones((3, 3), complex)}, [], "Y"),
    "truth of another shape": ({"Y": np.ones((3, 3)), "truth": np.ones((2, 3))}, [], "'truth' has shape (2, 3)"),
    "both": ({"Y": np.ones((3, 3))}, ["--weight", "1", "--tau", "1"], "--weight and --tau exclude each other"),
    "no weight": ({"Y": np.ones((3, 3))}, ["--weight", "0"], "--weight is 0"),
    "negative tau": ({"Y": np.ones((3, 3))}, ["--tau", "-1"], "--tau is -1"),
    "endless tau": ({"Y": np.ones((3, 3))}, ["--tau", "inf"], "--tau is inf"),
    "alpha": ({"Y": np.ones((3, 3))}, ["--alpha", "-1"], "--alpha is -1"),
    "power": ({"Y": np.ones((3, 3))}, ["--metric-power", "0"], "--metric-power is 0"),
    "reweighting": ({"Y": np.ones((3, 3))}, ["--reweight"], "--reweight is for"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_input(flatmin, tmp_path, fault):
    arrays, options, part = BAD[fault]
    np.savez(tmp_path / "p.npz", **arrays)
    run = flatmin("recover", "robust-pca", "p.npz", *options)
    assert run.code == 2, run
    assert part in run.err
    assert run.err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_generated_errors(flatmin, tmp_path):
    for share in (0.0, 0.2):
        flatmin("generate", "robust-pca", "p.npz", "--shape", "30,30", "--corruption", str(share))
        arrays = loaded(tmp_path / "p.npz")
        assert np.mean(np.abs(arrays["Y"] - arrays["truth"]) > 1e-9) == pytest.approx(share, abs=0.05)
    flatmin("generate", "robust-pca", "p.npz", "--shape", "10,9", "--measurements", "70")
    assert np.isnan(loaded(tmp_path / "p.npz")["Y"]).sum() == 20
    for share in ("-0.1", "1.5", "nan"):
        run = flatmin("generate", "robust-pca", "q.npz", "--corruption", share)
        assert run.code == 2
        assert f"--corruption is {share}" in run.err

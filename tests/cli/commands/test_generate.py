"""What ``flatmin generate`` draws, and what it refuses."""

import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import families
from flatmin.families.phase_retrieval import octanary_masks

SQUARE = ("covariance", "phase-retrieval", "quadratic-network")


def loaded(path):
    with np.load(path, allow_pickle=False) as data:
        return dict(data)


@pytest.mark.parametrize("family", families.names())
def test_a_drawn_file_says_what_the_library_draws(flatmin, tmp_path, family):
    model = families.find(family)
    assert flatmin("generate", family, "p.npz", "--dimension", "7", "--rank", "1", "--seed", "3").code == 0
    expected = model.sample((7, 7), 1, model.usual.measurements((7, 7), 1), seed=3)
    arrays = loaded(tmp_path / "p.npz")
    np.testing.assert_array_equal(arrays.pop("truth"), expected.truth)
    assert arrays.pop("format_version") == 1
    assert set(arrays) <= set(model.keys)
    for key, value in model.arrays(expected.problem).items():
        np.testing.assert_array_equal(arrays[key], value)
    rebuilt = model.build(arrays)
    np.testing.assert_array_equal(rebuilt.data, expected.problem.data)


@pytest.mark.parametrize("family", families.names())
def test_nothing_has_to_be_said(flatmin, tmp_path, family):
    assert flatmin("generate", family, "p.npz").code == 0
    model = families.find(family)
    assert model.build(loaded(tmp_path / "p.npz")).shape == model.usual.shape


def test_neurons_of_both_signs(flatmin, tmp_path):
    flatmin("generate", "quadratic-network", "p.npz", "--shape", "6,6", "--rank", "1,3")
    values = np.linalg.eigvalsh(loaded(tmp_path / "p.npz")["truth"])
    assert ((values > 1e-9).sum(), (values < -1e-9).sum()) == (1, 3)


def test_real_signals(flatmin, tmp_path):
    for extra, kind in ((["--real"], "f"), ([], "c")):
        flatmin("generate", "phase-retrieval", "p.npz", "--dimension", "5", *extra)
        arrays = loaded(tmp_path / "p.npz")
        assert arrays["vectors"].dtype.kind == arrays["truth"].dtype.kind == kind
        np.testing.assert_allclose(arrays["b"], abs(arrays["vectors"].conj() @ arrays["truth"]) ** 2)


def test_noise(flatmin, tmp_path):
    flatmin("generate", "covariance", "clean.npz")
    flatmin("generate", "covariance", "noisy.npz", "--noise", "0.1")
    clean, noisy = (loaded(tmp_path / name)["b"] for name in ("clean.npz", "noisy.npz"))
    assert 0.05 < np.std(noisy - clean) / np.sqrt(np.mean(clean**2)) < 0.2


@pytest.mark.parametrize(("extra", "count"), [([], 8), (["--masks", "3"], 3)])
def test_diffraction_patterns_of_a_picture(flatmin, tmp_path, extra, count):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    pillow.fromarray(pixels).save(tmp_path / "x.png")
    assert flatmin("generate", "phase-retrieval", "p.npz", "--image", "x.png", "--seed", "2", *extra).code == 0
    arrays = loaded(tmp_path / "p.npz")
    np.testing.assert_allclose(arrays["truth"], pixels @ [0.299, 0.587, 0.114] / 255)
    np.testing.assert_array_equal(arrays["masks"], octanary_masks(count, (4, 5), 2))
    waves = np.fft.fft2(arrays["masks"].conj() * arrays["truth"])
    np.testing.assert_allclose(arrays["b"], abs(waves) ** 2, atol=1e-12)


REFUSED = {
    "shape and dimension": (["covariance", "--shape", "3,3", "--dimension", "3"], "--shape and --dimension exclude"),
    "dimension 0": (["covariance", "--dimension", "0"], "--shape is (0, 0)"),
    "half a dimension": (["covariance", "--dimension", "0.5"], "'0.5'"),
    "unequal sides": (["covariance", "--shape", "3,4"], "--shape is (3, 4), expected a dimension d or (d, d)"),
    "three sides": (["matrix-sensing", "--shape", "3,4,5"], "--shape is '3,4,5', expected two"),
    "rank in words": (["covariance", "--rank", "two"], "--rank is 'two', expected a whole number, or two"),
    "signed rank of a covariance": (["covariance", "--rank", "1,1"], "--rank is (1, 1), expected a whole number"),
    "three signs": (["quadratic-network", "--rank", "1,1,1"], "--rank is (1, 1, 1)"),
    "negative neurons": (["quadratic-network", "--rank", "3,-1"], "--rank is (3, -1)"),
    "two signals": (["phase-retrieval", "--rank", "2"], "--rank is 2, expected 1"),
    "real covariance": (["covariance", "--real"], "--real is for phase-retrieval, found covariance"),
    "corrupt covariance": (["covariance", "--corruption", "0.1"], "--corruption is for robust-pca"),
    "image of a covariance": (["covariance", "--image", "x.png"], "--image is for phase-retrieval"),
    "masks without image": (["phase-retrieval", "--masks", "3"], "--masks needs --image"),
    "no masks": (["phase-retrieval", "--image", "x.png", "--masks", "0"], "--masks is 0"),
    "image and dimension": (["phase-retrieval", "--image", "x.png", "--dimension", "3"], "--image and --dimension"),
    "image and rank": (["phase-retrieval", "--image", "x.png", "--rank", "1"], "--image and --rank exclude"),
    "image and real": (["phase-retrieval", "--image", "x.png", "--real"], "--image and --real exclude"),
    "no such image": (["phase-retrieval", "--image", "y.png"], "y.png does not exist"),
    "no image": (["phase-retrieval", "--image", "x.txt"], "x.txt is not a whole picture"),
    "from Python only": (["sparse-regression"], "'sparse-regression'"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_makes_no_sense_is_refused(flatmin, tmp_path, fault):
    (family, *options), part = REFUSED[fault]
    pillow.fromarray(np.ones((4, 5), np.uint8)).save(tmp_path / "x.png")
    (tmp_path / "x.txt").write_text("no picture")
    run = flatmin("generate", family, "p.npz", *options)
    assert run.code == 2
    assert part in run.err
    assert run.err.count("\n") == 1
    assert run.out == ""
    assert not (tmp_path / "p.npz").exists()

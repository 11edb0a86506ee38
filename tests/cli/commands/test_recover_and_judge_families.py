"""Every family from its file to its answer and back: recover, certify, flatness."""

import json

import numpy as np
import pytest
from PIL import Image as pillow

from flatmin import Solution
from flatmin.families.phase_retrieval import octanary_masks

pytestmark = pytest.mark.usefixtures("without_report")

DRAWN = {
    "covariance": ("covariance", ["--dimension", "8", "--rank", "2"]),
    "phase-retrieval": ("phase-retrieval", ["--dimension", "8"]),
    "real phase-retrieval": ("phase-retrieval", ["--dimension", "8", "--real"]),
    "quadratic-network": ("quadratic-network", ["--dimension", "8", "--rank", "1,1"]),
}


def loaded(path):
    with np.load(path, allow_pickle=False) as data:
        return dict(data)


@pytest.fixture(params=DRAWN)
def solved(request, flatmin, tmp_path):
    """Return the family's name and the arrays of a solution file."""
    family, options = DRAWN[request.param]
    assert flatmin("generate", family, "p.npz", *options).code == 0
    assert flatmin("recover", family, "p.npz", "--quiet").code == 0
    return family, loaded(tmp_path / "p-flat" / "solution.npz")


def test_anyones_solution_is_judged(flatmin, tmp_path, solved):
    family, arrays = solved
    factors = [name for name in ("U", "U_plus", "U_minus") if name in arrays]
    duals = [name for name in ("dual", "uniqueness_dual") if name in arrays]
    answers = [name for name in ("matrix", "signal") if name in arrays]
    assert ("signal" in answers) == (family == "phase-retrieval")
    for keys in (factors, [*factors, *duals], *([name] for name in answers), *([name, *duals] for name in answers)):
        np.savez(tmp_path / "mine.npz", **{key: arrays[key] for key in keys})
        run = flatmin("certify", family, "p.npz", "mine.npz", "--json")
        assert run.code == 0, keys
        assert json.loads(run.out)["unique"] is True, keys


def test_the_flatness_of_its_factors(flatmin, tmp_path, solved):
    family, arrays = solved
    run = flatmin("flatness", family, "p.npz", "p-flat/solution.npz", "--json")
    fields, summary = json.loads(run.out), json.loads((tmp_path / "p-flat" / "summary.json").read_text())
    for name in ("scaled_trace", "hessian_trace", "fibre_minimum", "balance", "norm_excess", "condition"):
        assert fields[name] == summary[name]
    np.savez(tmp_path / "mine.npz", matrix=arrays["matrix"])
    run = flatmin("flatness", family, "p.npz", "mine.npz")
    assert run.code == 2
    assert "expected U" in run.err


def test_another_matrix_is_refused(flatmin, tmp_path, solved):
    family, arrays = solved
    np.savez(tmp_path / "mine.npz", matrix=1.01 * arrays["matrix"])
    assert flatmin("certify", family, "p.npz", "mine.npz").code == 1


def test_a_dual_that_proves_nothing_is_refused(flatmin, tmp_path, solved):
    family, arrays = solved
    key = "uniqueness_dual" if "uniqueness_dual" in arrays else "dual"
    spoilt = arrays[key] + np.linspace(-1, 1, len(arrays[key])) * np.ptp(arrays[key])
    kept = {name: arrays[name] for name in ("matrix", "dual", "uniqueness_dual") if name in arrays}
    np.savez(tmp_path / "mine.npz", **(kept | {key: spoilt}))
    assert json.loads(flatmin("certify", family, "p.npz", "mine.npz", "--json").out)["unique"] is None


def test_the_parts_of_an_answer(solved, tmp_path):
    family, arrays = solved
    solution = Solution.load(tmp_path / "p-flat" / "solution.npz")
    X = arrays["matrix"]
    if family == "phase-retrieval":
        np.testing.assert_allclose(np.outer(arrays["signal"], arrays["signal"].conj()), X, atol=1e-9)
        np.testing.assert_array_equal(solution.signal, arrays["signal"])
    if family == "quadratic-network":
        np.testing.assert_array_equal(arrays["signs"], [1, -1])
        np.testing.assert_allclose((arrays["neurons"] * arrays["signs"]) @ arrays["neurons"].T, X, atol=1e-9)


@pytest.mark.parametrize(
    ("family", "arrays", "part"),
    [
        ("covariance", {"y": np.ones(3)}, "lacks the key 'U', expected U, or matrix"),
        ("covariance", {"U": np.ones((5, 1))}, "U has shape (5, 1), expected (8, k)"),
        ("covariance", {"matrix": -np.eye(8)}, "positive semidefinite"),
        ("covariance", {"matrix": np.triu(np.ones((8, 8)))}, "not symmetric"),
        ("covariance", {"matrix": np.eye(8), "uniqueness_dual": np.ones(3)}, "(3,)"),
        ("phase-retrieval", {"y": np.ones(3)}, "expected U, or matrix, or signal"),
        ("phase-retrieval", {"signal": np.ones(7)}, "'signal' of mine.npz has shape (7,), expected (8,)"),
        ("phase-retrieval", {"signal": np.full(8, np.nan)}, "NaN"),
        ("quadratic-network", {"U_plus": np.ones((8, 1))}, "lacks the key 'U_minus', expected U_plus and U_minus"),
        ("quadratic-network", {"U_plus": np.ones((8, 1)), "U_minus": np.ones((7, 1))}, "U_minus has shape (7, 1)"),
        ("quadratic-network", {"signal": np.ones(8)}, "lacks the key 'U_plus'"),
    ],
)
def test_solutions_that_do_not_fit(flatmin, tmp_path, family, arrays, part):
    flatmin("generate", family, "p.npz", "--dimension", "8")
    np.savez(tmp_path / "mine.npz", **arrays)
    run = flatmin("certify", family, "p.npz", "mine.npz")
    assert run.code == 2
    assert part in run.err
    assert run.err.count("\n") == 1


def diffraction(path, signal, masks, **others):
    waves = np.fft.fftn(masks.conj() * signal, axes=range(1, masks.ndim))
    np.savez(path, masks=masks, b=abs(waves) ** 2, **others)


def test_a_picture_from_its_diffraction_patterns(flatmin, tmp_path):
    pixels = np.random.default_rng(1).integers(1, 255, (6, 5), dtype=np.uint8)
    pixels[0, 0] = 255
    pillow.fromarray(pixels).save(tmp_path / "x.png")
    flatmin("generate", "phase-retrieval", "p.npz", "--image", "x.png", "--masks", "10")
    run = flatmin("recover", "phase-retrieval", "p.npz", "--json")
    assert run.code == 0, run
    summary = json.loads(run.out)
    assert summary["shape"] == [6, 5]
    assert summary["relative_error"] < 1e-7
    with pillow.open(tmp_path / "p-flat" / "signal.png") as picture:
        np.testing.assert_array_equal(np.array(picture), pixels)
    signal = loaded(tmp_path / "p-flat" / "solution.npz")["signal"]
    assert signal.shape == (6, 5)
    np.savez(tmp_path / "mine.npz", signal=signal)
    assert flatmin("certify", "phase-retrieval", "p.npz", "mine.npz").code == 0


def test_a_signal_in_one_dimension_from_masks(flatmin, tmp_path):
    rng = np.random.default_rng(3)
    signal = rng.standard_normal(7) + 1j * rng.standard_normal(7)
    diffraction(tmp_path / "p.npz", signal, octanary_masks(10, (7,)), truth=signal)
    summary = json.loads(flatmin("recover", "phase-retrieval", "p.npz", "--json").out)
    assert summary["shape"] == [7]
    assert summary["relative_error"] < 1e-7
    assert not (tmp_path / "p-flat" / "signal.png").exists()


def test_pixels_that_no_mask_sees_are_undetermined(flatmin, tmp_path):
    masks = octanary_masks(12, (4, 3))
    masks[:, 1, 2] = 0
    signal = np.random.default_rng(2).standard_normal((4, 3))
    diffraction(tmp_path / "p.npz", signal, masks)
    run = flatmin("recover", "phase-retrieval", "p.npz", "--json")
    assert run.code == 0, run
    summary = json.loads(run.out)
    assert summary["undetermined_rows"] == summary["undetermined_cols"] == [5]
    found = loaded(tmp_path / "p-flat" / "solution.npz")["signal"]
    assert found[1, 2] == 0
    seen = np.delete(found.ravel(), 5), np.delete(signal.ravel(), 5)
    assert abs(np.vdot(*seen)) == pytest.approx(np.linalg.norm(seen[0]) * np.linalg.norm(seen[1]), rel=1e-8)


def test_dark_data_have_the_zero_solution(flatmin, tmp_path):
    np.savez(tmp_path / "p.npz", vectors=np.eye(3), b=np.zeros(3), truth=np.zeros(3))
    run = flatmin("recover", "phase-retrieval", "p.npz", "--json")
    assert run.code == 0, run
    summary = json.loads(run.out)
    assert (summary["rank"], summary["relative_error"]) == (0, 0)


@pytest.mark.parametrize("family", ["covariance", "phase-retrieval", "quadratic-network"])
def test_noise_is_met_with_advice_that_helps(flatmin, tmp_path, family):
    flatmin("generate", family, "p.npz", "--dimension", "10", "--noise", "0.1", "--measurements", "80")
    run = flatmin("recover", family, "p.npz", "--json")
    assert json.loads(run.out)["status"] in ("inconsistent_data", "unique_flat_minimum", "flat_minimum")
    assert "--alpha" in run.err
    strength = run.err.split("--alpha ")[-1].split()[0].rstrip(".,")
    better = flatmin("recover", family, "p.npz", "--json", "--alpha", strength)
    assert better.code == 0
    found = json.loads(better.out)
    assert min(found["rank"], found["noise"]["rank"]) < json.loads(run.out)["rank"]


def test_fit_flatness_and_uniqueness_are_three_rows(flatmin):
    flatmin("generate", "covariance", "p.npz", "--dimension", "8", "--rank", "1")
    out = flatmin("recover", "covariance", "p.npz").out
    for part in (
        "fit",
        "relative residual",
        "equally flat",
        "unique",
        "yes",
        "(margin",
        "certified radius",
        "relatively",
    ):
        assert part in out
    flatmin("generate", "covariance", "p.npz", "--dimension", "8", "--rank", "2", "--measurements", "16")
    out = flatmin("recover", "covariance", "p.npz").out
    assert "undecided" in out or "another" in out
    assert "certified radius" not in out


def test_full_rank_is_no_noise_where_noise_would_contradict(flatmin, tmp_path):
    rng = np.random.default_rng(0)
    x, M = rng.standard_normal((60, 4)), np.diag([3.0, 2.0, 1.0, 0.5])
    b = np.einsum("mi,ij,mj->m", x, M, x)
    np.savez(tmp_path / "p.npz", vectors=x, b=b)
    run = flatmin("recover", "covariance", "p.npz", "--json")
    assert run.code == 0
    assert json.loads(run.out)["rank"] == 4
    assert run.err == ""
    run = flatmin("recover", "phase-retrieval", "p.npz", "--json")
    assert run.err == (
        "flatmin: The fit has rank 4, so no single signal explains the data; its leading part is shown.\n"
    )

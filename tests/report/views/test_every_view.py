"""One page a family, with what is special about it; solutions are made up, so that no solver is needed."""

from __future__ import annotations

import base64
import io
import re
import tracemalloc
from dataclasses import replace
from decimal import ROUND_CEILING

import numpy as np
import pytest
from PIL import Image

import flatmin as fm
from flatmin import families
from flatmin.families import covariance, phase_retrieval, quadratic_network, robust_pca
from flatmin.losses import Absolute
from flatmin.report import words
from flatmin.report.views import View, view_of
from flatmin.report.views.phase_retrieval import aligned
from tests.families.sizes import rank_of, shape_of
from tests.report.made import CERTIFIED, STABILITY, context_of, made, of_network, of_picture, of_signal, of_split
from tests.report.test_page import check


def above(bound: float) -> str:
    """Return an upper bound as a report shows it, rounded up."""
    return words.number(bound, rounding=ROUND_CEILING).replace("\N{NO-BREAK SPACE}", " ")


def told(value: float, digits: int = 3) -> str:
    """A number as the text of a page has it."""
    return words.number(float(value), digits).replace("\N{NO-BREAK SPACE}", " ")


def picture_sizes(html: str) -> list[tuple[int, int]]:
    uris = re.findall(r'src="data:image/png;base64,([^"]*)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(uri))).size for uri in uris]


@pytest.mark.parametrize("name", families.names())
def test_every_family_has_a_page(page, name) -> None:
    """Whatever a family's view, a small solved instance makes a sound page."""
    family = families.find(name)
    instance = family.sample(shape_of(family, 12, 10), rank_of(family), 100)
    solution = fm.flat_minimum(instance.problem)
    text = check(page(context_of(instance.problem, solution, family=family, truth=instance.truth)))
    assert family.title in text
    assert "How far off it can be" in text
    assert "Rank" in text


def test_views_are_found_by_the_family_and_others_show_a_matrix() -> None:
    assert view_of("no-such-family") == View()
    assert view_of("matrix-sensing") == View()
    for name in ("phase-retrieval", "covariance", "quadratic-network", "robust-pca"):
        assert view_of(name) != View()


def test_uniqueness_and_fit_are_two_answers_where_the_data_determine_the_trace(page) -> None:
    instance = phase_retrieval.sample(6, 1, 50, real=True)
    sure = check(page(of_signal(instance)))
    assert "Certified: this is the only solution." in sure[:300]
    assert "margin 0.25" in sure
    assert (
        "Flatness says nothing here: every positive semidefinite matrix that fits the data has the same trace" in sure
    )
    assert "W = A*(λ)" in sure
    assert "all eigenvalues of W were computed" in sure
    open_ = check(page(of_signal(instance, unique=None, margin=None, margin_kind=None, stability=None, radius=None)))
    assert "Certified" not in open_[:400]
    assert "It fits the data exactly, but it is not certified to be the only solution." in open_[:400]
    assert "No such vector was found here." in open_
    assert "No radius is certified: that takes a uniqueness dual" in open_
    guess = check(page(of_signal(instance, unique=None, margin_kind="estimated", stability=None, radius=None)))
    assert "margin 0.25, estimated" in guess
    assert "The margin is only an estimate" in guess
    assert "the margin behind it is only estimated" in guess


def test_another_solution_is_told_with_its_distance(page) -> None:
    instance = phase_retrieval.sample(6, 1, 50, real=True)
    other = np.random.default_rng(1).standard_normal((6, 2))
    context = of_signal(instance, unique=False, alternative=(other,), stability=None, radius=None)
    X, X2 = np.outer(instance.truth, instance.truth), other @ other.T
    apart = np.linalg.norm(X - X2) / np.linalg.norm(X)
    assert context.distance == pytest.approx(apart, rel=1e-12)
    text = check(page(context))
    assert "it is not the only solution" in text[:400]
    assert f"relative distance of {told(float(apart), 2)}" in text


@pytest.mark.parametrize("space", ["tangent", "core"])
def test_radius_table_repeats_the_certificate(page, space) -> None:
    stability = replace(STABILITY, space=space)
    context = of_signal(phase_retrieval.sample(6, 1, 50), stability=stability, radius=stability.radius())
    text = check(page(context))
    c, size = context.solution.certificate, float(np.linalg.norm(np.outer(*[np.abs(context.truth)] * 2)))
    for noise in (0.0, 1e-6, 1e-4, 1e-2):
        radius = c.error_radius(noise * float(np.linalg.norm(context.problem.data)))
        assert f"{above(radius)} {above(radius / size)}" in text
    assert ("square root" in text) is (space == "core")
    assert "No condition on flatness is needed." in text


def test_the_radius_of_other_models_asks_for_flatness(page) -> None:
    text = check(page(of_network()))
    assert "Every other symmetric matrix that fits the data up to noise of a given size, and has a scaled trace" in text
    assert "The truth behind the data is among them only if it is as flat" in text


def test_alignment_is_the_best_of_all_phases() -> None:
    rng = np.random.default_rng(0)
    s, t = (rng.standard_normal(7) + 1j * rng.standard_normal(7) for _ in range(2))
    phases = np.exp(2j * np.pi * np.arange(20000) / 20000)
    best = min(float(np.linalg.norm(p * s - t)) for p in phases)
    assert np.linalg.norm(aligned(s, t) - t) == pytest.approx(best, rel=1e-6)
    assert min(float(np.linalg.norm((p * s).imag)) for p in phases) == pytest.approx(
        float(np.linalg.norm(aligned(s, None).imag)), rel=1e-6
    )
    np.testing.assert_array_equal(aligned(-t.real, t.real), t.real)


def test_signals_are_within_1_1_times_the_relative_radius(page) -> None:
    rng = np.random.default_rng(0)
    worst = 0.0
    for share in np.concatenate([np.logspace(-6, 1, 200), rng.random(200)]):
        s, t = (rng.standard_normal(3) + 1j * rng.standard_normal(3) for _ in range(2))
        t = share * t if rng.random() < 0.5 else s + share * t
        apart = np.linalg.norm(np.outer(s, s.conj()) - np.outer(t, t.conj())) / np.linalg.norm(s) ** 2
        worst = max(worst, np.linalg.norm(s - aligned(t, s)) / np.linalg.norm(s) / apart)
    assert 0.9 < worst <= 1.1
    assert "at most 1.1 times the last column" in check(page(of_signal(phase_retrieval.sample(6, 1, 50))))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("d", [6, 100])
def test_signals_are_drawn_over_the_truth(page, real, d) -> None:
    instance = phase_retrieval.sample(d, 1, 6 * d, real=real)
    text = check(page(of_signal(instance, -1.0 if real else np.exp(2j))))
    assert f"{6 * d} intensities of a {'real' if real else 'complex'} signal of {d} numbers" in text
    assert ("Imaginary part." in text) is not real
    assert f"a global {'sign' if real else 'phase'}" in text
    assert "The two agree." in text


@pytest.mark.parametrize("is_complex", [False, True])
def test_images_stand_beside_the_truth(page, is_complex) -> None:
    html = page(of_picture((9, 12), is_complex))
    text = check(html)
    assert "6 coded diffraction patterns of an image of 9 × 12 pixels" in text
    assert picture_sizes(html) == [(12, 9)] * 3
    assert ("Recovered phase" in text) is is_complex
    assert "no measurement sees 1 pixel ((1, 2))" in text
    assert "Blue pixels are undetermined." in text
    assert "On all other pixels the relative error against the truth is" in text
    assert "Where it differs" not in text


def test_an_image_that_differs_shows_where(page) -> None:
    context = of_picture((9, 12), False)
    assert "Where it differs" in check(page(replace(context, truth=context.truth + 0.1)))


def test_a_matrix_of_higher_rank_is_no_signal(page) -> None:
    instance = phase_retrieval.sample(6, 1, 50, real=True)
    U = np.random.default_rng(0).standard_normal((6, 2))
    for factors, said in (((U,), "has rank 2, so it does not belong to a single signal"), ((U[:, :0],), "It is zero.")):
        solution = made(instance.problem, factors)
        assert said in check(page(context_of(instance.problem, solution, family=phase_retrieval.FAMILY)))


@pytest.mark.slow
def test_a_large_image_never_becomes_a_matrix(page) -> None:
    """For 256 × 256 pixels X has 65536² entries: 64 GiB."""
    tracemalloc.start()
    html = page(of_picture((256, 256), True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e8
    assert len(html) < 900_000
    check(html)


def test_covariances_are_told_by_direction(page) -> None:
    instance = covariance.sample(7, 2, 60)
    values, Q = np.linalg.eigh(instance.truth)
    solution = made(instance.problem, (Q[:, -2:] * np.sqrt(values[-2:]),), **CERTIFIED)
    text = check(page(context_of(instance.problem, solution, family=covariance.FAMILY, truth=instance.truth)))
    assert "60 sketches of a 7 × 7 covariance matrix" in text
    assert "Recovered covariance" in text
    share = 100 * values[-1] / values[-2:].sum()
    assert f"1 {told(values[-1])} {told(share)} %" in text


def test_complex_matrices_are_shown_by_their_modulus(page) -> None:
    rng = np.random.default_rng(0)
    A = fm.measurements.RankOne(rng.standard_normal((40, 4)) + 1j * rng.standard_normal((40, 4)))
    U = rng.standard_normal((4, 2)) + 1j * rng.standard_normal((4, 2))
    problem = fm.Problem(A, A.forward_factors(U, U), fm.Gram())
    context = context_of(problem, made(problem, (U,)), family=covariance.FAMILY, truth=U @ U.conj().T)
    html = page(context)
    check(html)
    assert "modulus" in html
    assert "The two agree." in html


def test_networks_show_neurons_signs_and_fresh_inputs(page) -> None:
    context = of_network()
    text = check(page(context))
    assert "2 hidden neurons with output weight +1 and 1 hidden neuron with output weight −1" in text
    assert "2 positive and 1 negative" in text
    assert "Error on fresh inputs" in text
    values = np.linalg.eigvalsh(context.truth)
    html = page(context)
    for name, value in (("+1", values[-1]), ("+2", values[-2]), ("−1", values[0])):
        assert f"{name}: {words.number(float(value))}" in html


def test_error_on_fresh_inputs_is_that_of_the_network(page) -> None:
    context = of_network(noise=0.1)
    x = np.random.default_rng(0).standard_normal((500, 8)) * np.sqrt(np.mean(context.problem.measurement.left**2))
    teacher, student = ([xi @ M @ xi for xi in x] for M in (context.truth, context.truth + 0.1 * np.eye(8)))
    error = np.linalg.norm(np.subtract(student, teacher)) / np.linalg.norm(teacher)
    (fact,) = view_of("quadratic-network").highlights(context)
    assert fact.value == words.number(float(error), 2)


@pytest.mark.slow
def test_networks_without_neurons_of_a_sign_or_any(page) -> None:
    problem = quadratic_network.sample(6, (1, 0), 40).problem
    U = np.random.default_rng(0).standard_normal((6, 2))
    for plus, minus in ((U, U[:, :0]), (U[:, :0], U), (U[:, :0], U[:, :0])):
        context = context_of(problem, made(problem, (plus, minus)), family=quadratic_network.FAMILY)
        assert f"{plus.shape[1]} positive and {minus.shape[1]} negative" in check(page(context))


def test_a_solved_split_tells_its_radius_by_how_much_worse_others_are(page) -> None:
    instance = robust_pca.sample((40, 30), 2, 1100)
    solution = fm.flat_minimum(instance.problem)
    c, size = solution.certificate, float(np.linalg.norm(solution.matrix))
    text = check(page(context_of(instance.problem, solution, family=robust_pca.FAMILY, truth=instance.truth)))
    assert c.unique
    for excess in (0.0, 1e-6, 1e-4, 1e-2):
        radius = c.error_radius(excess=excess)
        assert f"{above(radius)} {above(radius / size)}" in text
    assert "of the singular values of W are 1; the next one" in text
    assert f"stay at least {told(c.margin)} below" in text
    assert "For data with noise in every cell no radius is known here." in text
    limited = replace(instance.problem, loss=Absolute(tau=float(np.abs(solution.parts["sparse"]).sum())))
    text = check(page(context_of(limited, fm.flat_minimum(limited), family=robust_pca.FAMILY)))
    assert "with errors within their limit" in text


@pytest.mark.sampled(1)
@pytest.mark.parametrize("tau", [None, 100.0])
def test_gross_errors_are_counted_and_shown(page, tau) -> None:
    context, S = of_split(tau=tau)
    text = check(page(context))
    rows, cols = context.problem.measurement.rows, context.problem.measurement.cols
    count, missing = np.count_nonzero(S), 600 - len(rows)
    assert f"gross errors in {count} cells" in text
    assert f"{missing} cells are missing" in text
    assert f"{told(100 * count / len(cols))} % of the cells observed." in text
    assert f"Most in one row Of 20 cells. {np.count_nonzero(S, axis=1).max()}" in text
    assert told(float(np.abs(S).sum()), 6) in text
    assert "Certified: no split into low rank and gross errors is better." in text
    formula = "nuclear norm ‖X‖_* of" if tau else f"sum ‖X‖_* + {1 / np.sqrt(30):.4g} · ‖S‖₁ of"
    assert formula in text
    assert "All of them" not in text


def test_without_the_sparse_part_it_is_what_the_low_rank_leaves(page) -> None:
    context, S = of_split()
    bare = replace(context, solution=replace(context.solution, parts={}))
    assert f"gross errors in {np.count_nonzero(S)} cells" in check(page(bare))


def test_splits_without_errors_and_without_holes(page) -> None:
    context, _ = of_split(share=0.0, missing=0.0)
    text = check(page(context))
    assert "gross errors in 0 cells" in text
    assert "all cells of a 30 × 20 matrix" in text


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("kind", "count"), [("image", 5), ("frames", 5), ("table", 0)])
def test_pictures_and_frames_of_a_split(page, kind, count) -> None:
    picture = None if kind == "table" else lambda matrix: np.clip(matrix, 0, 1)
    context, _ = of_split(kind=kind, picture=picture)
    html = page(context)
    text = check(html)
    assert len(picture_sizes(html)) == count
    assert ("The first, the middle and the last frame." in text) is (kind == "frames")


def test_an_image_without_the_way_to_make_others(page) -> None:
    context, _ = of_split(kind="image")
    html = page(replace(context, image=np.full((30, 20), 0.5), observed_image=np.full((30, 20), 0.5)))
    assert "The low rank image, 30 pixels high and 20 wide." in html
    assert "Heat map of the gross errors." in html
    check(html)


@pytest.mark.slow
def test_a_large_split_shows_tiles(page) -> None:
    text = check(page(of_split((200, 170), missing=0.0)[0]))
    assert "Share of the cells in error, tile by tile." in text


@pytest.mark.slow
def test_lowest_rank_found_is_never_called_flat(page, above) -> None:
    found = {"rank": 2, "status": "not_certified", "relative_residual": 1e-14, "seconds": 0.5, "relative_error": 2e-13}
    text = check(page(replace(above, summary={"reweighted": found})))
    assert "Lowest rank found; not flat, not certified" in text
    assert "What is proved no solution is flatter nothing about the rank" in text
    assert told(2e-13, 2) in text
    assert "Lowest rank found" not in check(page(replace(above, summary={"reweighted": None})))

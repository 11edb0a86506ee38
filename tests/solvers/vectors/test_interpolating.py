"""Positive semidefinite fits by vectors, from the problem to the certificate: edges, and answers that are honest."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.families.phase_retrieval import diffraction, octanary_masks
from flatmin.solvers.vectors.interpolating import another_interpolant
from flatmin.testing import check_solution
from tests.solvers.vectors.instances import distance, measured

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@pytest.mark.sampled(7)
@pytest.mark.parametrize(("d", "rank"), [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (3, 3), (5, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_tiny_covariances(d, rank, seed):
    for m in (1, 2, d, 2 * d, d * (d + 1) // 2 + 2):
        instance = fm.families.covariance.sample(d, rank, m, seed=seed)
        s = fm.flat_minimum(instance.problem)
        check_solution(s, instance.problem)
        assert s.certificate.holds
        if s.certificate.unique and instance.problem.metric[0].rank == d:  # else there are directions nothing sees
            error = np.linalg.norm(s.matrix - instance.truth)
            assert error <= s.certificate.radius + 1e-9 * np.linalg.norm(instance.truth)


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_tiny_signals(d, real):
    for m in (1, 2 * d, 4 * d):
        problem = fm.families.phase_retrieval.sample(d, 1, m, real=real).problem
        check_solution(fm.flat_minimum(problem), problem)


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 1), (2, 3)])
def test_tiny_images(shape):
    instance = diffraction(np.ones(shape), octanary_masks(3, shape))
    s = fm.flat_minimum(instance.problem)
    assert s.certificate.holds
    assert s.signal.shape == (np.prod(shape),)


def test_pixels_that_no_mask_sees_are_told_and_do_not_disturb_the_rest():
    masks = octanary_masks(5, (6, 6))
    masks[:, 1, 2] = 0
    truth = np.random.default_rng(0).standard_normal((6, 6))
    s = fm.flat_minimum(diffraction(truth, masks).problem)
    assert [list(index) for index in s.undetermined] == [[8], [8]]
    assert s.certificate.unique
    seen, signal = np.delete(truth.ravel(), 8), np.delete(s.signal, 8)
    assert s.signal[8] == 0
    assert abs(abs(np.vdot(signal, seen)) - np.vdot(seen, seen)) <= 1e-9 * np.vdot(seen, seen)


def test_unseen_pixels_at_sizes_where_only_products_are_used(monkeypatch):
    monkeypatch.setattr("flatmin.proofs.cone_certificate.LARGEST_WHOLE", 10)
    masks = octanary_masks(6, (6, 6))
    masks[:, 0, :2] = 0
    s = fm.flat_minimum(diffraction(np.random.default_rng(0).standard_normal((6, 6)), masks).problem)
    assert (s.certificate.unique, s.certificate.margin_kind) == (True, "cholesky")


def test_vectors_that_see_nothing_cannot_explain_data():
    blind = fm.measurements.CodedDiffraction(np.zeros((2, 4)))
    s = fm.flat_minimum(fm.Problem(blind, np.ones(8), fm.Gram()))
    assert (s.status, s.rank) == (fm.Status.inconsistent_data, 0)
    assert fm.flat_minimum(fm.Problem(blind, np.zeros(8), fm.Gram())).certificate.holds


def test_negative_intensities_are_inconsistent():
    A = fm.families.phase_retrieval.sample(4, 1, 30).problem.measurement
    assert fm.flat_minimum(fm.Problem(A, -np.ones(30), fm.Gram())).status is fm.Status.inconsistent_data


def test_below_the_threshold_the_second_solution_is_in_hand():
    """A truth that is found may not be the only one that fits: unique is False only with another one in hand."""
    found = 0
    for seed in range(6):
        problem = fm.families.phase_retrieval.sample(20, 1, 30, real=True, seed=seed).problem
        s = fm.flat_minimum(problem)
        proof = s.certificate
        assert proof.unique is not True
        if proof.unique is False:
            found += 1
            other = fm.certify(problem, proof.alternative, proof.dual)
            assert other.holds
            assert np.linalg.norm(fm.Gram().matrix(proof.alternative) - s.matrix) > 1e-3 * np.linalg.norm(s.matrix)
    assert found >= 3


def test_the_uniqueness_dual_is_a_proof_that_a_stranger_can_check():
    instance = fm.families.covariance.sample(12, 2, 100)
    s = fm.flat_minimum(instance.problem)
    x = instance.problem.measurement.left
    W = (x.T * s.certificate.uniqueness_dual) @ x
    values = np.linalg.eigvalsh(W)
    assert np.linalg.norm(W @ instance.truth) <= 1e-10 * np.linalg.norm(W) * np.linalg.norm(instance.truth)
    assert abs(values[:2]).max() <= 1e-10 * values[-1]
    assert values[2] > 1e-3 * values[-1]


@pytest.mark.slow
def test_perturbed_uniqueness_duals_never_prove_a_second_solution_away():
    """Two solutions are known; no dual vector may certify either as the only one."""
    rng = np.random.default_rng(0)
    problem = fm.families.phase_retrieval.sample(4, 1, 6, real=True).problem
    s = fm.flat_minimum(problem)
    assert s.certificate.unique is False
    for scale in (1e-6, 1e-3, 1.0):
        for _ in range(300):
            noise = rng.standard_normal(6)
            proof = fm.certify(problem, s.factors, s.certificate.dual, uniqueness_dual=scale * noise)
            assert proof.unique is not True


def test_a_least_misfit_reached_to_the_last_digit_needs_no_further_step():
    """The first vector sees nothing and its datum is negative; the gradient vanishes exactly where the second fits."""
    x = np.zeros((2, 5))
    x[1] = 0.17617625209328883, 0.828417134677465, -0.9575432916505224, 0.0, 1.5017531276058615
    problem = fm.Problem(fm.measurements.RankOne(x), [-0.0008161875116994011, 5.603209756739595], fm.Gram())
    s = fm.flat_minimum(problem)
    assert s.status is fm.Status.inconsistent_data
    np.testing.assert_allclose(problem.residual(s.factors), [-problem.data[0], 0], atol=1e-12)


def test_the_radius_of_small_images_is_linear_in_rounding():
    truth = np.random.default_rng(0).standard_normal((8, 8))
    s = fm.flat_minimum(diffraction(truth, octanary_masks(8, (8, 8))).problem)
    assert s.certificate.stability.space == "tangent"
    assert s.certificate.radius <= 1e-8 * np.linalg.norm(truth) ** 2


@pytest.mark.sampled(1)
@pytest.mark.parametrize("made", ["taken", "weighted"])
def test_parts_of_coded_diffraction_are_solved(made):
    A = fm.measurements.CodedDiffraction(octanary_masks(8, (6, 6)))
    rng = np.random.default_rng(0)
    s = rng.standard_normal(36) + 1j * rng.standard_normal(36)
    A = A.take(np.arange(7 * 36)) if made == "taken" else A.weighted(rng.uniform(1, 2, A.size))
    solution = fm.flat_minimum(fm.Problem(A, A.forward_factors(s[:, None], s[:, None]), fm.Gram()))
    assert solution.status is fm.Status.unique_flat_minimum
    found = solution.signal
    assert np.linalg.norm(found * np.vdot(found, s) / abs(np.vdot(found, s)) - s) < 1e-6 * np.linalg.norm(s)


@pytest.mark.parametrize(("m", "exists"), [(30, True), (90, False)])
def test_another_interpolant_exists_only_below_the_threshold(m, exists):
    A, S, b = measured(20, m, 1, float)
    other = another_interpolant(A, b, S, clock=Clock())
    assert (other is not None) == exists
    if exists:
        np.testing.assert_allclose(A.forward_factors(other, other), b, rtol=1e-7)
        assert distance(other, S) > 1e-3


def test_an_image_that_is_too_large_to_factorize_is_proved_unique(monkeypatch):
    monkeypatch.setattr("flatmin.proofs.cone_certificate.LARGEST_WHOLE", 10)
    monkeypatch.setattr("flatmin.proofs.margins.LARGEST_FORMED", 10)
    monkeypatch.setattr("flatmin.solvers.vectors.uniqueness_dual.LARGEST_RAISED", 10)
    truth = np.random.default_rng(0).random((24, 24))
    problem = diffraction(truth, octanary_masks(8, (24, 24))).problem
    s = fm.flat_minimum(problem)
    assert s.status is fm.Status.unique_flat_minimum
    assert s.certificate.margin_kind == "probabilistic"
    assert s.certificate.margin > 0.05
    assert distance(s.signal.reshape(-1, 1), truth.reshape(-1, 1)) * np.linalg.norm(truth) ** 2 <= s.certificate.radius
    assert s.certificate.radius < 1e-4 * np.linalg.norm(truth) ** 2

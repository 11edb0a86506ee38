"""Dense noise beside gross errors: the penalised split against cvxpy, and its certificate against what is wrong."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.robust.certificate import dense_part, robust_certificate
from flatmin.solvers.robust.pursuit import Corrupted, _Rounds

SAMPLE = fm.families.robust_pca.sample


def made(*, tau=False, seed=0, shape=(10, 8), rank=2, m=None, noise=0.1, corruption=0.1):
    """Return an instance with noise and errors, in the form with a weight or with half of what the truth leaves."""
    instance = SAMPLE(shape, rank, m, noise=noise, seed=seed, corruption=corruption)
    problem = instance.problem
    left = problem.data - problem.measurement.forward(instance.truth)
    loss = fm.losses.Absolute(tau=0.5 * float(np.abs(left).sum()) if tau else None)
    return replace(instance, problem=replace(problem, loss=loss))


def referee(problem, alpha):
    """Return the least objective over X and S, and where it is."""
    Y, seen, A = np.zeros(problem.shape), np.zeros(problem.shape), problem.measurement
    Y[A.rows, A.cols], seen[A.rows, A.cols] = problem.data, 1.0
    X, S = cp.Variable(problem.shape), cp.Variable(problem.shape)
    objective = cp.sum_squares(cp.multiply(seen, Y - X - S)) / A.size + 4 * alpha * cp.normNuc(X)
    weight, constraints = problem.loss.weight_for(problem.shape), []
    if weight is None:
        constraints = [cp.norm1(S) <= problem.loss.tau]
    else:
        objective += 4 * alpha * weight * cp.norm1(S)
    program = cp.Problem(cp.Minimize(objective), constraints)
    program.solve(solver=cp.CLARABEL)
    return program.value, X.value, seen * S.value


@pytest.mark.sampled(4)
@pytest.mark.parametrize("alpha", [1e-3, 0.03, 0.3])
@pytest.mark.parametrize("tau", [False, True], ids=["weight", "tau"])
@pytest.mark.parametrize("m", [None, 60], ids=["all", "missing"])
def test_the_penalised_split_is_the_best_one(alpha, tau, m):
    problem = made(tau=tau, m=m).problem
    s = fm.flat_minimum(problem, alpha=alpha)
    value, X, S = referee(problem, alpha)
    c = s.certificate
    assert (s.status, c.objective) == (fm.Status.regularized_minimum, "penalised")
    assert abs(c.relative_gap) <= 1e-11
    assert c.value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(s.low_rank, X, atol=2e-3)
    np.testing.assert_allclose(s.sparse, S, atol=2e-3)


def test_without_noise_it_tends_to_the_exact_split():
    problem = made(shape=(30, 25), rank=1, noise=0.0).problem
    exact = fm.flat_minimum(problem)
    near = [fm.flat_minimum(problem, alpha=alpha) for alpha in (1e-3, 1e-5)]
    first, second = (np.linalg.norm(s.low_rank - exact.low_rank) for s in near)
    assert second == pytest.approx(first / 100, rel=0.5)  # the bias is linear in alpha
    assert near[1].certificate.value / 4e-5 == pytest.approx(exact.certificate.value, rel=1e-3)


@pytest.mark.parametrize("tau", [False, True], ids=["weight", "tau"])
def test_any_dual_matrix_bounds_the_value_from_below(tau):
    problem = made(tau=tau, m=60).problem
    value = referee(problem, 0.03)[0]
    rng, best = np.random.default_rng(0), fm.flat_minimum(problem, alpha=0.03)
    for size in (1e-3, 0.1, 10.0):
        dual = best.certificate.dual + size * rng.standard_normal(len(problem.data))
        proof = robust_certificate(problem, best.factors, dual, alpha=0.03)
        assert proof.lower_bound < value
        assert not proof.holds
    assert not fm.certify(problem, best.factors, best.certificate.dual, alpha=0.04).holds
    assert fm.certify(problem, best.factors, alpha=0.03).holds


def test_the_radius_reaches_the_minimiser_from_a_rough_solution():
    reached = 0
    for seed in range(4):
        problem = made(seed=seed, shape=(40, 30), rank=1).problem
        fine = fm.flat_minimum(problem, alpha=5e-4)
        for tol in (1e-2, 1e-4, 1e-6):
            rough = fm.flat_minimum(problem, alpha=5e-4, tol=tol, max_iter=60)
            c = rough.certificate
            if c.radius is not None:
                reached += 1
                assert np.linalg.norm(rough.matrix - fine.matrix) <= c.radius
        assert fine.certificate.unique
        assert fine.certificate.radius <= 1e-3 * np.linalg.norm(fine.matrix)
    assert reached


def test_the_error_radius_holds_the_truth():
    instance = made(shape=(60, 60), rank=1, noise=0.01, corruption=0.05)
    problem = instance.problem
    s = fm.flat_minimum(problem, alpha=1e-4)
    noise = np.linalg.norm(problem.data - problem.measurement.forward(instance.truth))
    for size, excess in ((noise, 0.0), (2 * noise, 0.5)):
        radius = s.certificate.error_radius(size, excess)
        assert np.linalg.norm(s.matrix - instance.truth) <= radius < np.inf


def test_the_parts_are_the_dense_and_the_gross_part_of_what_is_left():
    problem = made(m=60).problem
    s, A = fm.flat_minimum(problem, alpha=0.03), problem.measurement
    left = problem.data - s.low_rank[A.rows, A.cols]
    dense = dense_part(problem, left, 0.03)
    level = 2 * 0.03 * A.size * problem.loss.weight_for(problem.shape)
    np.testing.assert_allclose(s.sparse[A.rows, A.cols] + dense, left, atol=1e-12)
    assert np.abs(dense).max() <= level * (1 + 1e-12)
    np.testing.assert_array_equal(s.sparse[A.rows, A.cols] != 0, np.abs(left) > level)
    np.testing.assert_allclose(dense, 2 * 0.03 * A.size * s.certificate.dual, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_units(scale):
    problem = made(shape=(20, 15)).problem
    s = fm.flat_minimum(problem, alpha=0.02)
    other = fm.flat_minimum(replace(problem, data=scale * problem.data), alpha=scale * 0.02)
    np.testing.assert_allclose(other.matrix / scale, s.matrix, atol=1e-6)


def test_extreme_errors_and_strengths():
    problem = made(shape=(30, 25), rank=1, corruption=0.0).problem
    data = problem.data.copy()
    data[7] += 1e9
    s = fm.flat_minimum(replace(problem, data=data), alpha=5e-4)
    assert s.status is fm.Status.regularized_minimum
    assert s.sparse.ravel()[7] == pytest.approx(1e9, rel=1e-6)
    large = fm.flat_minimum(problem, alpha=1e6)
    assert (large.status, large.rank, np.count_nonzero(large.sparse)) == (fm.Status.regularized_minimum, 0, 0)
    zero = fm.flat_minimum(replace(problem, data=0 * data), alpha=0.1)
    assert (zero.status, zero.rank, zero.certificate.value) == (fm.Status.regularized_minimum, 0, 0.0)


def test_the_largest_of_many_close_singular_values_is_found():
    rng, n = np.random.default_rng(0), 300
    s = np.concatenate([[1 + 2e-6], np.ones(6), 1 - 1e-6 * np.arange(1, n - 6)])
    s[n // 2 :] *= np.linspace(1, 0, n - n // 2)
    for shape in ((n, n), (n, n + 20), (n + 20, n)):
        U, V = (np.linalg.qr(rng.standard_normal((d, n)))[0] for d in shape)
        W = (U * s) @ V.T
        rounds = _Rounds(Corrupted(np.clip(W, -1, 1), None, 1.0), 0)
        assert rounds.norm(W) == pytest.approx(s[0], abs=1e-12)
        rounds.search(rounds.first(None))
        assert np.allclose(rounds._basis.T @ rounds._basis, np.eye(rounds._basis.shape[1]))

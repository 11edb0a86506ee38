"""Certificates: they hold where they should, and nothing wrong is ever certified."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flatmin as fm
from flatmin._core.facts import at_most
from flatmin.measurements import Dense, Entries
from flatmin.proofs.certificate import LARGEST_CHANCE, LARGEST_GAP, LARGEST_RESIDUAL
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.proofs.whitening import whiten
from flatmin.report.words import judgement
from flatmin.testing import check_solution
from tests import referee


@pytest.fixture(scope="module")
def small():
    """A problem below the recovery threshold, its flat minimum and the optimal value by cvxpy."""
    p = fm.families.matrix_sensing.sample((5, 4), 2, 9, seed=1).problem
    return p, fm.flat_minimum(p), referee.flattest(p)[0]


def test_holds_and_can_be_recomputed(instance, solution):
    check_solution(solution, instance.problem)
    proof = solution.certificate
    assert proof.holds
    assert proof.objective == "interpolating"
    assert abs(proof.relative_gap) <= LARGEST_GAP
    assert proof.relative_residual <= LARGEST_RESIDUAL
    assert proof.bound_kind == "dense"


def test_agrees_with_cvxpy(instance, solution):
    value, X = referee.flattest(instance.problem)
    assert solution.certificate.value == pytest.approx(value, rel=1e-6)
    assert solution.certificate.lower_bound <= value * (1 + 1e-6)
    if solution.certificate.unique:
        np.testing.assert_allclose(solution.matrix, X, atol=2e-3 * np.linalg.norm(X))


@given(seed=st.integers(0, 10_000), size=st.sampled_from([1e-12, 1e-3, 1, 10, 1e6]), near=st.booleans())
def test_any_dual_at_all_gives_a_bound_below_the_optimum(small, seed, size, near):
    p, s, optimum = small
    noise = size * np.random.default_rng(seed).standard_normal(p.measurement.size)
    dual = s.certificate.dual + noise if near else noise
    proof = fm.certify(p, s.factors, dual)
    assert proof.lower_bound <= optimum * (1 + 1e-7)
    assert not proof.holds or proof.value <= optimum * (1 + 2 * LARGEST_GAP)


@given(seed=st.integers(0, 10_000), size=st.sampled_from([1e-3, 0.1, 10]))
def test_no_dual_certifies_a_wrong_matrix(small, seed, size):
    p, s, optimum = small
    rng = np.random.default_rng(seed)
    rows = p.measurement.matrices().reshape(p.measurement.size, -1)
    step = rng.standard_normal(p.shape).ravel()
    step -= np.linalg.pinv(rows) @ (rows @ step)  # still interpolates
    wrong = s.matrix + size * step.reshape(p.shape)
    assert referee.objective(p, wrong) > optimum * (1 + 1e-5)
    for dual in (s.certificate.dual, rng.standard_normal(p.measurement.size)):
        proof = fm.certify(p, wrong, dual)
        assert proof.relative_residual < LARGEST_RESIDUAL
        assert not proof.holds
        assert proof.unique is None


def test_certifies_the_matrix_of_cvxpy(instance, solution):
    """cvxpy's own accuracy decides; made to fit exactly, its matrix is as good as ours."""
    p = instance.problem
    rows = p.measurement.matrices().reshape(p.measurement.size, -1)
    X = referee.flattest(p)[1]
    X = X + (np.linalg.pinv(rows) @ (p.data - rows @ X.ravel())).reshape(p.shape)
    proof = fm.certify(p, X)
    assert proof.lower_bound == pytest.approx(solution.certificate.value, rel=1e-6)
    assert proof.relative_gap < 1e-5
    assert proof.relative_residual < LARGEST_RESIDUAL
    assert fm.certify(p, solution.matrix).holds
    assert fm.certify(p, tuple(solution.factors), solution.certificate.dual).holds


def test_a_non_flat_interpolant_is_refused(instance, solution):
    p = instance.problem
    rows = p.measurement.matrices().reshape(p.measurement.size, -1)
    X = (np.linalg.pinv(rows) @ p.data).reshape(p.shape)
    proof = fm.certify(p, X)
    assert proof.relative_residual < LARGEST_RESIDUAL
    assert not proof.holds
    assert proof.value == pytest.approx(referee.objective(p, X))
    assert proof.relative_gap == pytest.approx(1 - solution.certificate.value / proof.value, rel=1e-3)


def test_a_non_interpolating_matrix_is_refused(instance, solution):
    """However small its trace is, and whether or not its gap is negative."""
    for X in (0.9 * solution.matrix, (1 + 1e-7) * solution.matrix, np.zeros(instance.problem.shape)):
        proof = fm.certify(instance.problem, X, solution.certificate.dual)
        assert not proof.holds
        assert proof.relative_residual > LARGEST_RESIDUAL
        assert proof.unique is None


def test_a_misfit_hidden_behind_large_data_is_refused():
    """A relative residual of 1e-10 can hide half of the trace: the gap is then −1, and nothing is certified."""
    weights = np.array([1e-10, 1.0])
    p = fm.Problem(fm.measurements.Entries([0, 1], [0, 1], (2, 2), weights=weights), [1e10, 1.0])
    optimal = weights / 4
    assert fm.certify(p, np.diag([1e20, 1.0]), optimal).holds
    proof = fm.certify(p, np.diag([1e20, 0.0]), optimal)
    assert proof.relative_residual < LARGEST_RESIDUAL
    assert proof.relative_gap == pytest.approx(-1)
    assert not proof.holds


def test_a_perturbed_dual_is_refused(instance, solution):
    dual = solution.certificate.dual
    noise = np.random.default_rng(0).standard_normal(len(dual))
    for wrong in (dual + 0.01 * np.linalg.norm(dual) / np.linalg.norm(noise) * noise, 0.99 * dual, -dual, 0 * dual):
        proof = fm.certify(instance.problem, solution.factors, wrong)
        assert not proof.holds
        assert proof.lower_bound < solution.certificate.lower_bound


def test_a_dual_that_is_too_large_is_scaled_back(instance, solution):
    proof = fm.certify(instance.problem, solution.factors, 7 * solution.certificate.dual)
    assert proof.holds
    assert proof.dual_norm == pytest.approx(7)
    assert (proof.unique, proof.q) == (solution.certificate.unique, solution.certificate.q)
    assert proof.margin == pytest.approx(solution.certificate.margin, abs=1e-6)
    assert proof.lower_bound == pytest.approx(solution.certificate.lower_bound)


def test_an_unproved_norm_never_certifies(small, monkeypatch):
    p, s, _ = small
    monkeypatch.setattr("flatmin.linalg.operator_norm.DENSE", 1)
    monkeypatch.setattr("flatmin.linalg.operator_norm.CHOLESKY", 1)
    monkeypatch.setattr("flatmin.linalg.operator_norm.FACTORED", 1)
    proof = certificate_of(p, s.factors, s.certificate.dual, randomized=False)
    assert (proof.bound_kind, proof.failure_probability) == ("estimated", None)
    assert abs(proof.relative_gap) <= LARGEST_GAP
    assert not proof.holds
    assert (proof.unique, proof.q, proof.injectivity, proof.margin) == (None, None, None, None)


def test_random_starts_certify_but_for_a_stated_chance(small, monkeypatch):
    p, s, _ = small
    monkeypatch.setattr("flatmin.linalg.operator_norm.DENSE", 1)
    monkeypatch.setattr("flatmin.linalg.operator_norm.FACTORED", 1)
    proof = certificate_of(p, s.factors, s.certificate.dual)
    assert (proof.bound_kind, proof.margin_kind) == ("probabilistic", "probabilistic")
    assert 0 < proof.failure_probability <= LARGEST_CHANCE
    assert proof.holds
    assert (proof.unique, proof.q) == (s.certificate.unique, s.certificate.q)
    assert 1 - 1e-9 <= proof.dual_norm <= 1 + 1e-6
    assert 0 < proof.margin <= s.certificate.margin
    check_solution(dataclasses.replace(s, certificate=proof), p)
    sure = proof.sure()
    assert (sure.bound_kind, sure.holds, sure.unique, sure.failure_probability) == ("estimated", False, None, None)
    assert s.certificate.sure() is s.certificate
    proved = fm.certify(p, s.factors, s.certificate.dual, randomized=False)
    assert (proved.bound_kind, proved.holds, proved.failure_probability) == ("cholesky", True, None)


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 3.0])
@pytest.mark.parametrize("power", [1.0, 0.0])
def test_penalised(small, alpha, power):
    p = small[0]
    value, X = referee.flattest(p, alpha=alpha, power=power)
    s = fm.flat_minimum(p, alpha=alpha, metric_power=power)
    check_solution(s, p)
    assert s.status is fm.Status.regularized_minimum
    assert s.certificate.objective == "penalised"
    assert s.certificate.value == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(s.matrix, X, atol=1e-3 * np.linalg.norm(X) + 1e-4)


def test_penalised_bound_holds_for_any_dual(small):
    p, s, _ = small
    value = referee.flattest(p, alpha=0.1)[0]
    for seed in range(20):
        dual = 10.0 ** (seed % 5 - 2) * np.random.default_rng(seed).standard_normal(p.measurement.size)
        assert certificate_of(p, s.factors, dual, alpha=0.1).lower_bound <= value * (1 + 1e-7)


@pytest.mark.parametrize("alpha", [0.03, 0.3])
@pytest.mark.parametrize("power", [1.0, 0.5])
def test_a_penalised_solution_is_certified_as_such(small, alpha, power):
    """By its own dual vector or by one that is looked for, and never as a solution of another problem."""
    p = small[0]
    s = fm.flat_minimum(p, alpha=alpha, metric_power=power)
    for dual in (s.certificate.dual, None):
        proof = fm.certify(p, s.factors, dual, alpha=alpha, metric_power=power)
        assert proof.holds
        assert proof.objective == "penalised"
        assert fm.certify(p, s.matrix, dual, alpha=alpha, metric_power=power).holds
        assert not fm.certify(p, s.factors, dual, alpha=2 * alpha, metric_power=power).holds
    assert not fm.certify(p, s.factors, s.certificate.dual).holds
    other = fm.flat_minimum(p, alpha=3 * alpha, metric_power=power)
    assert not fm.certify(p, s.factors, other.certificate.dual, alpha=alpha, metric_power=power).holds
    assert not fm.certify(p, other.factors, s.certificate.dual, alpha=alpha, metric_power=power).holds


@pytest.mark.parametrize("alpha", [np.inf, np.nan, -1, "much", None, True])
def test_no_penalty_of_that_strength(small, alpha):
    p, s, _ = small
    for call in (
        lambda: fm.flat_minimum(p, alpha=alpha),
        lambda: fm.certify(p, s.factors, alpha=alpha),
        lambda: fm.certify(p, s.factors, s.certificate.dual, alpha=alpha),
    ):
        with pytest.raises(fm.InputError, match=r"alpha is .*, expected a finite number of at least 0"):
            call()


def test_whitening_divides_by_the_metric(instance):
    whitened, _ = whiten(instance.problem)
    T = whitened.matrices()
    (_, W1), (_, W2) = referee.roots(instance.problem)
    np.testing.assert_allclose(T, W1 @ instance.problem.measurement.matrices() @ W2, atol=1e-9)


@pytest.mark.parametrize(
    ("candidate", "dual", "message"),
    [
        (np.ones((2, 2)), None, "expected"),
        ((np.ones((5, 1)), np.ones((3, 1))), None, "expected"),
        (np.full((5, 4), np.nan), None, "NaN"),
        (np.ones((5, 4)), np.ones(3), r"dual has shape \(3,\), expected \(9,\)"),
        (np.ones((5, 4)), np.full(9, np.nan), "NaN"),
        (np.ones((5, 4)), 1j * np.ones(9), "complex"),
    ],
)
def test_candidates_that_do_not_fit_are_refused(small, candidate, dual, message):
    with pytest.raises(fm.InputError, match=message):
        fm.certify(small[0], candidate, dual)


def test_scalars_leave_out_the_arrays(solution):
    scalars = solution.certificate.scalars()
    assert {"dual", "alternative", "uniqueness_dual"}.isdisjoint(scalars)
    assert all(v is None or isinstance(v, bool | int | float | str) for v in scalars.values())


class TestWords:
    """What is printed says what is proved, in a few lines, whatever the size of the problem."""

    def test_a_certificate_says_what_is_proved(self, instance):
        proof = fm.flat_minimum(instance.problem).certificate
        lines = repr(proof).splitlines()
        assert lines[0] == "Certificate"
        assert len(lines) == 1 + len(proof.facts()) <= 10
        assert max(map(len, lines)) < 120
        for part in (
            "no solution has a smaller value",
            f"{proof.lower_bound:.10g}",
            "dense",
            "yes",
            at_most(proof.radius),
        ):
            assert part in repr(proof)
        assert "array" not in repr(proof)

    def test_where_nothing_is_proved_it_says_so(self, instance):
        s = fm.flat_minimum(instance.problem)
        proof = certificate_of(instance.problem, s.factors, 0.5 * s.certificate.dual)
        assert proof.facts()["proved"] == "nothing"
        assert proof.facts()["unique"] == "undecided"
        assert proof.facts()["radius"] == "none"

    def test_other_flat_minima_penalties_and_chances_have_words(self):
        p = fm.Problem(fm.measurements.Dense(np.eye(3)[None]), [2.0])
        proof = fm.flat_minimum(p).certificate
        assert proof.unique is False
        assert "another flat minimum" in repr(proof)
        proof = fm.flat_minimum(p, alpha=0.1).certificate
        assert "no matrix has a smaller value" in repr(proof)
        assert "fails with probability 2e-11" in repr(replace(proof, failure_probability=2e-11))

    def test_notebooks_show_a_table_of_the_same(self, instance):
        proof = fm.flat_minimum(instance.problem).certificate
        html = proof._repr_html_()
        assert html.startswith("<table>")
        assert html.count("<tr>") == len(proof.facts())


def weakly_seen(share: float) -> fm.Problem:
    """Return exact data about a matrix of rank one; one direction of the columns is seen by this share of others."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    A = (rng.standard_normal((20, 6, 5)) * np.array([1, 1, 1, 1, share])) @ Q.T
    X = rng.standard_normal((6, 1)) @ rng.standard_normal((1, 4)) @ Q[:, :4].T
    return fm.Problem(Dense(A), np.einsum("mij,ij->m", A, X))


@pytest.mark.parametrize(("share", "unseen"), [(1.0, 0), (1e-14, 1), (0.0, 1)])
def test_a_certificate_says_how_many_directions_count_as_unseen(share, unseen):
    solution = fm.flat_minimum(weakly_seen(share))
    c = solution.certificate
    assert (c.holds, c.unseen, c.scalars()["unseen"]) == (True, unseen, unseen)
    among = "matrices that vanish in 1 direction, which measurements see by less than 1e-12 or not at all"
    for shown in (str(c), str(solution), c._repr_html_()):
        assert (among in shown) is bool(unseen)
    assert among not in str(replace(c, holds=False))


def test_unmeasured_rows_count_as_unseen_directions_too():
    A = Entries(np.repeat(np.arange(3), 4), np.tile(np.arange(4), 3), (5, 4))
    problem = fm.Problem(A, np.outer(np.arange(1.0, 4), np.ones(4)).ravel())
    assert "vanish in 2 directions" in fm.flat_minimum(problem).certificate.scope


def test_a_bound_above_the_value_betrays_an_inaccurate_operator():
    from scipy.sparse.linalg import LinearOperator

    rng = np.random.default_rng(1)
    A, wrong = rng.standard_normal((40, 48)), 3e-9 * rng.standard_normal((40, 48))
    X = rng.standard_normal((8, 1)) @ rng.standard_normal((1, 6))

    def certificate(adjoint):
        operator = LinearOperator(A.shape, matvec=lambda v: A @ v, rmatvec=lambda y: adjoint.T @ y, dtype=float)
        measurement = fm.measurements.FromLinearOperator(operator, X.shape)
        return fm.flat_minimum(fm.Problem(measurement, measurement.forward(X))).certificate

    assert certificate(A).holds
    proof = certificate(A + wrong)
    assert proof.is_contradicted
    assert not proof.holds
    assert "computes too inaccurately" in str(proof)
    assert judgement(proof).startswith("Not certified: the lower bound exceeds the value")


@pytest.mark.parametrize("share", [0.5, 0.01, 1e-4, 0.0])
def test_a_bound_above_the_value_of_a_misfit_betrays_nothing(share):
    p = fm.families.matrix_sensing.sample((6, 5), 1, 40, seed=0).problem
    solution = fm.flat_minimum(p)
    proof = fm.certify(p, tuple(share * F for F in solution.factors), dual=solution.certificate.dual)
    assert proof.relative_gap < -1
    assert not proof.holds
    assert not proof.is_contradicted

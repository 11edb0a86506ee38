"""Rounding: certificates of problems whose condition or cancellation hides the answer, against exact arithmetic."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from benchmarks.adversary.oracle import exact, flat_fit, upper_bound
from scipy.optimize import brentq

import flatmin as fm
from flatmin.measurements import Dense, Entries
from flatmin.proofs.cone_certificate import certificate_of


def ill_conditioned(seed, condition):
    """Two integer measurements of a 3 × 2 matrix, almost blind to one combination of its rows."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    A = np.round(3e8 * (Q * [1.0, rng.uniform(0.3, 1), 1 / condition]) @ Q.T @ rng.standard_normal((2, 3, 2)))
    X = rng.integers(-3, 4, (3, 2)).astype(float)
    return fm.Problem(Dense(A), np.einsum("mij,ij->m", A, X))


@pytest.mark.parametrize("condition", [1e2, 1e3, 1e4, 1e5, 1e6, 1e7])
@pytest.mark.parametrize("seed", [0, 9, 19])
def test_a_lower_bound_is_below_the_value_of_a_fit_in_exact_arithmetic(seed, condition):
    p = ill_conditioned(seed, condition)
    solution = fm.flat_minimum(p)
    proof, (fit, value) = solution.certificate, flat_fit(p)
    assert proof.bound_kind == "estimated" or Fraction(proof.lower_bound) <= value
    if proof.unique and value <= Fraction(proof.value):
        apart = np.array([[float(x) for x in row] for row in fit]) - solution.matrix
        assert np.linalg.norm(apart) <= proof.radius


def test_a_condition_that_hides_the_answer_proves_nothing_and_says_so():
    proof = fm.flat_minimum(ill_conditioned(9, 1e6)).certificate
    assert not proof.holds
    assert proof.rounding > 1e-6
    assert proof.is_hidden_by_rounding
    assert "rounding hides" in repr(proof)


def test_a_moderate_condition_does_not_prevent_a_certificate():
    proof = fm.flat_minimum(ill_conditioned(9, 1e3)).certificate
    assert (proof.holds, proof.rigor) == (True, "rounded")


@pytest.mark.parametrize("condition", [1e2, 1e4, 1e6, 2.5e7])
def test_signed_models_count_the_error_of_their_metric(condition):
    rng = np.random.default_rng(3)
    Q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    P = (Q * [1.0, 0.5, 1 / condition]) @ Q.T
    A = np.round(1e8 * P @ rng.standard_normal((2, 3, 3)) @ P)
    A += A.transpose(0, 2, 1)
    p = fm.Problem(Dense(A), A[:, 0, 0] - A[:, 1, 1], fm.SignedGram())
    proof = fm.flat_minimum(p).certificate
    assert proof.bound_kind == "estimated" or Fraction(proof.lower_bound) <= flat_fit(p)[1]


class TestForgedDuals:
    """Parts of ± 2^53 of a dual vector cancel, so that ``⟨b, λ⟩`` in floating point is rounding alone."""

    problem = fm.Problem(Entries([0] * 6 + [1, 2], [0] * 4 + [1, 2, 0, 0], (3, 3)), np.full(8, 3.0))
    dual = np.array([2.0**53, 1, 1, -(2.0**53), 0, 0, 0, 0])

    def wrong(self):
        """Return factors of value 32 that fit exactly, where 4 is the flattest value."""

        def factors(y):
            return np.array([[1.0, 0], [1, 1], [1, 1]]), np.array([[3.0, 0], [3, y], [3, y]])

        return factors(brentq(lambda y: fm.flatness(self.problem, factors(y)).fibre_minimum - 32, 0, 1000))

    def test_another_matrix_is_flatter(self):
        right = np.array([[1.0, 0, 0], [1, 1e-4, 0], [1, 0, 1e-4]])
        assert float(upper_bound(self.problem, exact(np.full((3, 3), 3.0)), right)) < 8

    def test_the_forgery_is_refused(self):
        proof = fm.certify(self.problem, self.wrong(), self.dual)
        assert not proof.holds
        assert proof.residual_reach > 1
        assert proof.lower_bound < 4

    def test_no_scale_or_order_of_the_parts_helps(self):
        rng, factors = np.random.default_rng(0), self.wrong()
        for _ in range(50):
            dual = 2.0 ** rng.integers(-60, 60) * np.concatenate([rng.permutation(self.dual[:4]), self.dual[4:]])
            proof = certificate_of(self.problem, factors, dual)
            assert not proof.holds
            assert proof.lower_bound <= 4 * (1 + 1e-9)

    def test_the_command_refuses_it_too(self, tmp_path, capsys):
        from flatmin.cli import main

        L, R = self.wrong()
        np.savez(
            tmp_path / "problem.npz",
            shape=[3, 3],
            rows=self.problem.measurement.rows,
            cols=self.problem.measurement.cols,
            values=self.problem.data,
        )
        np.savez(tmp_path / "solution.npz", L=L, R=R, dual=self.dual)
        status = main(["certify", "matrix-completion", str(tmp_path / "problem.npz"), str(tmp_path / "solution.npz")])
        assert status == 1


@pytest.mark.parametrize("power", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("seed", range(4))
def test_a_singular_full_metric_to_a_power(seed, power):
    """No measurement sees u on the left, and u is not along an axis. The power of the exact metric is the oracle."""
    rng = np.random.default_rng(seed)
    u, v = np.array([1.0, 1.0, 1.0]), np.array([2.0, -1.0, 0.0])
    T = rng.integers(-4, 5, (7, 3, 3)).astype(float)
    T = 3 * T - np.einsum("a,b,mbc->mac", u, u, T)
    X = np.outer(v, rng.integers(1, 5, 3))
    X = 3 * X - np.outer(u, u @ X)
    problem = fm.Problem(fm.measurements.Dense(T), np.einsum("mij,ij->m", T, X))
    proof = fm.flat_minimum(problem, metric_power=power).certificate
    assert problem.metric[0].rank == 2
    assert proof.holds
    with mpmath.workdps(60):
        roots = []
        for A, d in ((T, 3), (T.transpose(0, 2, 1), 3)):
            G = sum((mpmath.matrix(M.tolist()) * mpmath.matrix(M.tolist()).T for M in A), mpmath.zeros(3)) / (7 * d)
            values, Q = mpmath.eigsy(G)
            values = [w if w > mpmath.mpf(10) ** -50 else mpmath.mpf(0) for w in values]
            mean = mpmath.fsum(values) / 3
            powers = [w ** (mpmath.mpf(power) / 2) * mean ** ((1 - mpmath.mpf(power)) / 2) for w in values]
            roots.append(Q * mpmath.diag(powers) * Q.T)
        value = 4 * sum(mpmath.svd_r(roots[0] * mpmath.matrix(X.tolist()) * roots[1], compute_uv=False))
        assert mpmath.mpf(proof.lower_bound) <= value

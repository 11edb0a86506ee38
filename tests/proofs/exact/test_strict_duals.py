import numpy as np
import pytest
from scipy.optimize import brentq

import flatmin as fm
from flatmin.proofs.exact.duals import aligned
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.point import polished
from flatmin.proofs.exact.strict_duals import Outside, outside_norm
from tests.proofs.exact.integer_problems import bilinear, network, sensing


def outside_of(problem):
    """Return the part outside at a solution, with the solver's dual vector moved to the tangent space."""
    solution = fm.flat_minimum(problem)
    point = polished(ExplicitProblem.from_problem(problem), solution.factors)
    tangent, signs = point.tangent, np.sign(np.diagonal(point.C))
    P, Q = tangent.P, tangent.P * signs if tangent.hermitian else tangent.Q
    target = 2 * Q.T.reshape(-1) if tangent.hermitian else np.concatenate([P, Q]).T.reshape(-1)
    return Outside(tangent, P, Q), aligned(tangent, solution.certificate.dual, target), target


def on_the_edge(outside, dual):
    """Return a dual vector with the same part in the tangent space and a part outside of norm one."""
    change = np.random.default_rng(0).standard_normal(len(dual))
    change -= outside.tangent.dual_step(outside.tangent.adjoint(change))
    step = brentq(lambda t: outside.norm(dual + t * change) - 1, 0, 1e3 / np.linalg.norm(change))
    return dual + step * change


@pytest.mark.parametrize("problem", [bilinear(0, m=30), sensing(4, m=30), network(4, m=28)])
def test_duals_on_the_edge_become_strict(problem):
    outside, dual, target = outside_of(problem)
    if outside.norm(dual) < 1 - 1e-9:
        dual = on_the_edge(outside, dual)
    strict = outside.strict(dual)
    assert outside.norm(dual) > 1 - 1e-9
    assert outside.norm(strict) < 0.96
    np.testing.assert_allclose(outside.tangent.adjoint(strict), target, atol=1e-10)


def test_a_dual_that_is_strict_stays():
    outside, dual, _ = outside_of(sensing(m=60))
    assert outside.norm(dual) < 0.9
    assert outside.strict(dual) is dual


def test_the_gradient_is_that_of_the_norm():
    outside, dual, _ = outside_of(bilinear(0, m=30))
    rng = np.random.default_rng(0)
    value, gradient = outside._gradient(dual, 8)
    change = rng.standard_normal(len(dual))
    change -= outside.tangent.dual_step(outside.tangent.adjoint(change))
    ahead, behind = (outside._schatten(dual + h * change, 8) for h in (1e-6, -1e-6))
    assert value == pytest.approx(outside._schatten(dual, 8))
    assert (ahead - behind) / 2e-6 == pytest.approx(gradient @ change, rel=1e-6)
    np.testing.assert_allclose(outside.tangent.adjoint(gradient), 0, atol=1e-10)


def test_the_norm_outside_two_spaces():
    rng = np.random.default_rng(0)
    P, Q = (np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in (6, 5))
    Y = rng.standard_normal((6, 5))
    expected = np.linalg.norm((np.eye(6) - P @ P.T) @ Y @ (np.eye(5) - Q @ Q.T), 2)
    assert outside_norm(Y, P, Q) == pytest.approx(expected)

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact.duals import lower_bound
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.point import polished
from flatmin.proofs.exact.witness import rectangular_witness, zero_witness
from tests.proofs.exact.integer_problems import PROBLEMS, bilinear, network, sensing


def witness_of(problem, **settings):
    solution = fm.flat_minimum(problem, **settings)
    explicit = ExplicitProblem.from_problem(problem, **settings)
    return explicit, rectangular_witness(
        explicit, polished(explicit, solution.factors), None, solution.certificate.dual
    )


@pytest.mark.parametrize("name", ["sensing", "bilinear", "completion", "network"])
def test_constants_are_below_the_numbers_they_claim(name):
    explicit, witness = witness_of(PROBLEMS[name]())
    found, problem = witness.constants, explicit.problem
    L = witness.point["L"] if "L" in witness.point else witness.point["U"]
    R = witness.point.get("R", L)
    D1, D2 = problem.metric
    P, Q = D1 @ L, D2 @ R
    for g, G in zip((found["g1"], found["g2"]), explicit.squares, strict=True):
        least = np.min(G) if G.ndim == 1 else np.linalg.eigvalsh(G)[0]
        assert 0.9 * least < g < least
    signs = np.sign(np.diagonal(witness.point["C"]))
    Y = problem.whitened.adjoint(witness.duals["uniqueness"])
    np.testing.assert_allclose(Y @ Q, P * signs, atol=1e-10)
    outside = (np.eye(len(P)) - P @ P.T) @ Y @ (np.eye(len(Q)) - Q @ Q.T)
    assert 0.9 * (1 - np.linalg.norm(outside, 2)) < found["delta"] < 1 - np.linalg.norm(outside, 2)
    assert found["core"] < np.min(np.abs(np.diagonal(witness.point["C"])))
    rng = np.random.default_rng(0)
    for _ in range(50):
        H = P @ rng.standard_normal(Q.shape).T + rng.standard_normal(P.shape) @ Q.T
        H = H + H.T if explicit.cone == "symmetric" else H
        assert np.sum(problem.whitened.forward(H) ** 2) > found["sigma2"] * np.sum(H**2)
    assert "B" not in witness.absent


def test_the_claimed_range_is_that_of_all_measurements_or_fewer_cells():
    for problem in (sensing(m=50), bilinear(m=50), network(m=30)):
        _, witness = witness_of(problem)
        A = problem.measurement.matrices().reshape(problem.measurement.size, -1)
        assert 0 < witness.constants["range_g"] < np.linalg.eigvalsh(A @ A.T)[0]


def test_a_second_minimum_leaves_no_margin():
    entries = fm.measurements.Entries([0, 1], [0, 1], (2, 2))
    explicit = ExplicitProblem.from_problem(fm.Problem(entries, [1.0, 1.0]))
    point = polished(explicit, (np.ones((2, 1)), np.ones((2, 1))))
    assert "B" in rectangular_witness(explicit, point, None, np.full(2, 0.5)).absent


def test_the_zero_matrix_has_a_point_where_the_data_are_not_zero():
    for problem in (sensing(), network(), PROBLEMS["covariance"]()):
        explicit = ExplicitProblem.from_problem(problem, alpha=1e9)
        witness = zero_witness(explicit, np.ones(len(problem.data)))
        assert not any(np.any(witness.point[name]) for name in witness.point if name != "C")
        assert "B" in witness.absent
        nothing = ExplicitProblem.from_problem(
            fm.Problem(problem.measurement, 0 * problem.data, problem.parametrization)
        )
        assert zero_witness(nothing, np.ones(len(problem.data))).point is None


@pytest.mark.parametrize("name", ["sensing", "network", "covariance"])
def test_the_lower_bound_at_zero_needs_no_good_dual_vector(name):
    problem = PROBLEMS[name]()
    explicit = ExplicitProblem.from_problem(problem, alpha=1e9)
    witness = zero_witness(explicit, np.zeros(len(problem.data)))
    zero = np.mean(problem.data**2)
    assert 0.999 * zero < lower_bound(explicit, witness.duals["value"]) < 1.001 * zero

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.point import polished
from flatmin.proofs.exact.semidefinite_witness import semidefinite_witness
from tests.proofs.exact.integer_problems import phases


def dense(seed=1, d=8, m=40):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, d, d))
    A = fm.measurements.Dense(A + A.transpose(0, 2, 1))
    U = rng.standard_normal((d, 2))
    return fm.Problem(A, A.forward(U @ U.T), fm.Gram())


PROBLEMS = {
    "complex": phases,
    "real": lambda: phases(rank=2, m=70, is_complex=False),
    "complex, rank 2": lambda: phases(rank=2, m=110),
    "dense": dense,
}


def witness_of(problem, power=1.0, uniqueness=True):
    solution = fm.flat_minimum(problem, metric_power=power)
    explicit = ExplicitProblem.from_problem(problem, 0.0, power)
    U, c = polished(explicit, solution.factors).L, solution.certificate
    other = c.uniqueness_dual if uniqueness else None
    return explicit, U, semidefinite_witness(explicit, U, None, c.dual, other)


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("name", PROBLEMS)
def test_constants_are_below_the_numbers_they_claim(name, power):
    explicit, U, witness = witness_of(PROBLEMS[name](), power)
    assert not witness.absent
    A, found = explicit.problem.measurement, witness.constants
    W = A.adjoint(witness.duals["uniqueness"])
    if not explicit.trace_is_determined:
        G = explicit.squares[0]
        W = (np.diag(G) if G.ndim == 1 else G) - W
    assert np.linalg.norm(W @ U) < 1e-11 * np.linalg.norm(W) * np.linalg.norm(U)
    least = np.linalg.eigvalsh(W + found["c"] * U @ U.conj().T)[0]
    assert 0.9 * least < found["t"] < least
    assert found["u"] < np.linalg.eigvalsh(U.conj().T @ U)[0]
    rng = np.random.default_rng(0)
    for _ in range(50):
        E = rng.standard_normal(U.shape) + (1j * rng.standard_normal(U.shape) if np.iscomplexobj(U) else 0)
        H = U @ E.conj().T + E @ U.conj().T
        assert np.sum(A.forward(H) ** 2) > found["sigma2"] * np.linalg.norm(H) ** 2


def test_the_trivial_dual_is_left_to_the_checker():
    explicit, _, witness = witness_of(phases())
    assert explicit.trace_is_determined
    assert "value" not in witness.duals
    assert "value" in witness_of(dense())[2].duals


def test_a_dual_for_uniqueness_is_found_where_there_is_none():
    for name in ("complex", "real", "complex, rank 2"):
        _, _, witness = witness_of(PROBLEMS[name](), uniqueness=False)
        assert not witness.absent
        assert witness.constants["t"] > 0


def test_where_other_matrices_fit_nothing_is_claimed():
    problem = phases(2, m=24)
    assert fm.flat_minimum(problem).certificate.unique is False
    _, _, witness = witness_of(problem)
    assert "no dual matrix was found" in witness.absent["B"]
    _, _, witness = witness_of(phases(m=10))
    assert "tangent directions" in witness.absent["B"]

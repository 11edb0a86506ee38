"""Every measurement with every model where matrices are tiny, zero, complex or measured too little."""

import warnings

import numpy as np
import pytest

import flatmin as fm
from flatmin.testing import check_solution

MODELS = [
    fm.Product(),
    fm.Product(rank=1),
    fm.Gram(),
    fm.SignedGram(),
    fm.Hadamard(2),
    fm.Hadamard(3),
    fm.Chain((5,)),
    fm.Chain((5, 5)),
    fm.Chain((1,)),
]
QUESTIONS = [(0.0, 1.0), (0.0, 0.5), (0.1, 1.0), (0.1, 0.0)]


def _measurements(d, m):
    """Return a random and a zero map of every kind, for matrices with d rows."""
    rng, M = np.random.default_rng(d + 10 * m), fm.measurements

    def drawn(*shape, dtype=float):
        return rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype is complex else 0)

    symmetric = [A + A.conj().transpose(0, 2, 1) for A in (drawn(m, d, d), drawn(m, d, d, dtype=complex))]
    holes = drawn(m, d, dtype=complex)
    holes[:, 0] = 0
    return {
        "dense": M.Dense(drawn(m, d, d)),
        "symmetric": M.Dense(symmetric[0]),
        "hermitian": M.Dense(symmetric[1]),
        "vectors": M.Dense(drawn(m, d)),
        "quadratic": M.RankOne(drawn(m, d)),
        "complex quadratic": M.RankOne(drawn(m, d, dtype=complex)),
        "complex quadratic with a hole": M.RankOne(holes),
        "bilinear": M.RankOne(drawn(m, d), drawn(m, d + 1)),
        "operator": M.FromLinearOperator(drawn(m, d * d), (d, d)),
        "coded": M.CodedDiffraction(drawn(m, d, dtype=complex)),
        "coded with a hole": M.CodedDiffraction(holes),
        "entries": M.Entries([0], [d - 1], (d, d)),
        "identity": M.Identity((d, d)),
        "column": M.Identity((d, 1)),
        "zero dense": M.Dense(np.zeros((m, d, d))),
        "zero complex": M.Dense(np.zeros((m, d, d), complex)),
        "zero quadratic": M.RankOne(np.zeros((m, d))),
        "zero complex quadratic": M.RankOne(np.zeros((m, d), complex)),
        "zero operator": M.FromLinearOperator(np.zeros((m, d * d)), (d, d)),
        "zero coded": M.CodedDiffraction(np.zeros((m, d))),
    }


@pytest.mark.sampled(25)
@pytest.mark.parametrize("kind", _measurements(1, 1))
@pytest.mark.parametrize(("d", "m"), [(1, 1), (1, 3), (2, 1), (2, 5), (5, 3)])
def test_problems_at_the_edge_are_solved_or_refused_in_a_sentence(d, m, kind):
    A, rng, solved = _measurements(d, m)[kind], np.random.default_rng(0), 0
    refusals: list[str] = []
    for model in MODELS:
        for b in (rng.random(A.size), A.forward(np.ones(A.shape)), np.zeros(A.size)):
            for alpha, power in QUESTIONS:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    try:
                        p = fm.Problem(A, b, model)
                        s = fm.flat_minimum(p, alpha=alpha, metric_power=power)
                    except fm.InputError as error:
                        refusals.append(str(error))
                        continue
                    check_solution(s, p)
                    proof = fm.certify(p, s.factors, 0 * s.certificate.dual, alpha=alpha, metric_power=power)
                assert not proof.holds or s.certificate.holds
                solved += 1
    assert solved
    assert "\n" not in "".join(refusals)

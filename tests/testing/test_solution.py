"""Right solutions pass; contradictions and forged proofs are found."""

import dataclasses

import numpy as np
import pytest

import flatmin as fm
from flatmin.testing import check_solution


@pytest.fixture(scope="module")
def solved():
    p = fm.families.matrix_sensing.sample((5, 4), 1, 15).problem
    return p, fm.flat_minimum(p)


def _proof(**changes):
    return lambda s: dataclasses.replace(s, certificate=dataclasses.replace(s.certificate, **changes))


def _factor(change):
    return lambda s: dataclasses.replace(s, factors=(change(s.factors[0]), s.factors[1]))


INCONSISTENT = {
    "NaN": _factor(lambda L: L * np.nan),
    "columns, expected": lambda s: dataclasses.replace(s, factors=(s.factors[0], np.ones((4, 2)))),
    "an undetermined row or column is not zero": lambda s: dataclasses.replace(
        s, undetermined=(np.array([1]), np.array([], int))
    ),
    "relative_gap is off": _proof(relative_gap=1e-9, lower_bound=1.0),
    "holds is True, but": _proof(relative_residual=1e-3),
    "holds is True, but its gap, residual": _proof(whitened_residual=1e-3),
    "holds is False, but": _proof(holds=False),
    "holds is True, but its gap, residual and bound say False": _proof(bound_kind="estimated"),
    "is probabilistic, with failure_probability None": _proof(bound_kind="probabilistic"),
    "is probabilistic, with failure_probability 1e-06": _proof(margin_kind="probabilistic", failure_probability=1e-6),
    "but no bound is probabilistic": _proof(failure_probability=1e-11),
    "without a certificate that holds": _proof(holds=False, bound_kind="estimated"),
    "but unique is None": _proof(unique=None),
    "without a positive injectivity": _proof(injectivity=0.0),
    "below fibre_minimum": lambda s: dataclasses.replace(s, flatness=dataclasses.replace(s.flatness, scaled_trace=0.5)),
    "value is off": lambda s: dataclasses.replace(s, flatness=dataclasses.replace(s.flatness, fibre_minimum=0.5)),
}


@pytest.mark.parametrize("message", INCONSISTENT)
def test_check_solution_finds_contradictions(message, solved):
    check_solution(solved[1])
    with pytest.raises(AssertionError, match=message) as caught:
        check_solution(INCONSISTENT[message](solved[1]))
    assert "\n" not in str(caught.value)


FORGED = {
    "the relative residual is": _proof(relative_residual=1e-10),
    "value recomputed": _factor(lambda L: 0.999 * L),
    "above the proved bound": _proof(dual_norm=0.5),
    "less than the lower bound": lambda s: _proof(dual=0.5 * s.certificate.dual)(s),
    "the alternative is no other flat minimum": lambda s: _proof(alternative=s.factors)(s),
}


@pytest.mark.parametrize("message", FORGED)
def test_check_solution_recomputes_the_proof(message, solved):
    p, s = solved
    check_solution(s, p)
    forged = FORGED[message](s)
    if message == "value recomputed":  # a consistent forgery: the factors of another matrix, with its own residual
        residual = p.residual(forged.factors)
        forged = _proof(relative_residual=float(np.linalg.norm(residual) / np.linalg.norm(p.data)), holds=False)(forged)
        forged = dataclasses.replace(forged, status=fm.Status.not_certified)
        forged = _proof(unique=None)(forged)
    check_solution(forged)
    with pytest.raises(AssertionError, match=message):
        check_solution(forged, p)


def test_a_solution_of_another_problem_is_found_out(solved):
    other = fm.families.matrix_sensing.sample((5, 4), 1, 15, seed=9).problem
    with pytest.raises(AssertionError, match="Solution"):
        check_solution(solved[1], other)

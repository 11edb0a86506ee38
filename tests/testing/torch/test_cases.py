"""Cases of known trace: dense, symmetric, with the traces that are stated, and reproducible."""

import pytest
import torch

from flatmin.testing.torch import trace_cases

CASES = trace_cases(60, seed=2)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_is_a_symmetric_matrix_with_the_stated_trace(case):
    H = case.operator
    assert H.dtype == torch.float64
    assert torch.equal(H, H.mT)
    assert H.trace().item() == pytest.approx(case.trace, rel=1e-10, abs=1e-10 * H.norm().item())


def test_spectra_are_of_all_kinds():
    spectra = {case.name: torch.linalg.eigvalsh(case.operator) for case in CASES}
    assert len(spectra) == len(CASES)
    definite = {name for name, s in spectra.items() if s[0] > -1e-9 * s[-1]}
    assert {"similar", "power law 1/i", "rank one", "low rank", "linear model"} <= definite
    indefinite = spectra.keys() - definite
    assert {"both signs, similar", "both signs, decaying", "product of factors", "quadratic network"} <= indefinite
    assert (spectra["low rank"].abs() > 1e-9).sum() == 4


def test_a_seed_repeats_and_another_one_does_not():
    for first, again, other in zip(CASES, trace_cases(60, seed=2), trace_cases(60, seed=3), strict=True):
        assert torch.equal(first.operator, again.operator)
        assert not torch.equal(first.operator, other.operator)

"""Offsets: their equations at other strengths, and the shortcut for residuals, against solves without either."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.offsets import equations as offset_equations
from flatmin.solvers.offsets import offset_free
from flatmin.solvers.offsets.equations import OffsetEquations
from flatmin.solvers.offsets.offset_free import OffsetFree


def entries_of(shape, m, weighted, seed=0):
    rng = np.random.default_rng(seed)
    weights = 10 ** rng.uniform(-3, 1, m) if weighted else None
    return fm.measurements.Entries(rng.integers(0, shape[0], m), rng.integers(0, shape[1], m), shape, weights)


@pytest.mark.parametrize("largest", [16_000_000, 0])  # products as arrays, and sparse
@pytest.mark.parametrize(
    ("before", "after"), [((1.0, 1.0), (7.0, 0.3)), ((1e9, 2.0), (1e-6, 1e5)), ((None, 1.0), (None, 4.0))]
)
def test_other_strengths_are_those_of_equations_set_up_anew(before, after, largest, monkeypatch):
    monkeypatch.setattr(offset_equations, "LARGEST_BLOCK", largest)
    rng = np.random.default_rng(1)
    for shape, weighted, constant in (((9, 6), False, True), ((5, 12), True, True), ((8, 8), True, False)):
        entries = entries_of(shape, 40, weighted)
        changed = OffsetEquations.from_entries(entries, constant, *before).with_strengths(*after)
        anew = OffsetEquations.from_entries(entries, constant, *after)
        h = (float(rng.standard_normal()), *(rng.standard_normal(d) for d in shape))
        for one, other in zip(changed.solve(h), anew.solve(h), strict=True):
            np.testing.assert_array_equal(one, other)
        assert changed.pulled == anew.pulled
        assert changed.unknowns == anew.unknowns


@pytest.mark.parametrize("kappas", [(5.0, 2.0), (1e-6, 1e5), (0.0, 3.0), (0.0, 0.0), (None, 0.5)])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_offsets_left_is_expanded_without_a_solve(kappas, weighted, monkeypatch):
    """Sums of a residual vanish, and so do the offsets that they would have; those of any other vector do not."""
    entries = entries_of((40, 30), 700, weighted)
    A, rng = OffsetFree(entries, OffsetEquations.from_entries(entries, True, *kappas)), np.random.default_rng(2)
    residual, other = A.reduce(3 + rng.standard_normal(700)), rng.standard_normal(A.size)
    quick = A.expand(residual), A.expand(other), A.expand(residual + 1e-10 * other)
    solves = []
    solve = OffsetEquations.solve
    monkeypatch.setattr(OffsetEquations, "solve", lambda self, h: solves.append(h) or solve(self, h))
    A.expand(residual)
    assert not solves
    A.expand(residual + 1e-10 * other)
    assert len(solves) == 1
    monkeypatch.setattr(offset_free, "VANISHING", -1.0)
    slow = A.expand(residual), A.expand(other), A.expand(residual + 1e-10 * other)
    assert len(solves) == 4
    for one, another in zip(quick, slow, strict=True):
        np.testing.assert_allclose(one, another, rtol=0, atol=1e-12 * np.linalg.norm(another))


@pytest.mark.parametrize("factorized", [True, False])
def test_compiled_passes_agree_with_numpy(factorized, monkeypatch):
    """Large problems take compiled loops; a small one is made to take them, too."""
    rng = np.random.default_rng(3)
    monkeypatch.setattr(offset_equations, "LARGEST_FACTORIZED", 4000 if factorized else 0)
    for shape in ((9, 6), (5, 12)):
        for weighted in (False, True):
            for constant, rows, columns in ((True, 2.0, 3.0), (False, 0.0, 1.0), (True, None, 2.0), (True, 0.0, 0.0)):
                entries, y = entries_of(shape, 60, weighted), rng.standard_normal(60)
                found = []
                for many in (50_000, 1):
                    monkeypatch.setattr(offset_equations, "MIN_COMPILED_CELLS", many)
                    equations = OffsetEquations.from_entries(entries, constant, rows, columns)
                    h = equations.sums(y)
                    found.append((*h, *equations.solve(h), equations.spread(equations.solve(h))))
                for one, other in zip(*found, strict=True):
                    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-11)

"""The Gram matrix of entries on a tangent space: its form and its proved smallest eigenvalue, against dense ones."""

import numpy as np
import pytest

from flatmin.measurements import Entries
from flatmin.proofs.tangent.tangent_cells import CellElimination, CellGram
from tests.cones.samples import frame

CASES = {"tall": (12, 9, False), "wide": (9, 13, False), "weighted": (12, 9, True)}


def _sample(name, m=85, q=2, seed=0):
    d1, d2, weighted = CASES[name]
    rng = np.random.default_rng(seed)
    cells = rng.choice(d1 * d2, m, replace=False)
    cells[:4] = cells[4:8]  # some cells are measured twice
    entries = Entries(*np.divmod(cells, d2), (d1, d2), rng.uniform(0.2, 3, m) if weighted else None)
    return entries, frame(rng, d1, q), frame(rng, d2, q)


def _dense(gram):
    """Return the matrix of the form on (E, F)."""
    n = gram.U.size + gram.V.size
    rows = []
    for x in np.eye(n):
        E, F = x[: gram.V.size].reshape(gram.V.shape), x[gram.V.size :].reshape(gram.U.shape)
        rows.append(np.concatenate([gram.forward(E, F), np.sqrt(gram.gauge) * (gram.V.T @ E).ravel()]))
    return np.array(rows) @ np.array(rows).T


@pytest.mark.parametrize("name", CASES)
def test_elimination_proves_what_is_true_and_nothing_else(name):
    gram = CellGram.from_entries(*_sample(name))
    values = np.linalg.eigvalsh(_dense(gram))
    for share in (0.0, 0.5, 0.99, 1 - 1e-9):
        assert CellElimination.at(gram, share * values[0]) is not None
    for share in (1 + 1e-12, 1 + 1e-6, 1.1, 3.0):
        assert CellElimination.at(gram, share * values[0]) is None
    assert values[0] <= CellElimination.at(gram, 0.0).smallest_eigenvalue() * (1 + 1e-9) <= 1.5 * values[0]


@pytest.mark.parametrize("name", CASES)
def test_solve_inverts_the_form(name):
    gram, rng = CellGram.from_entries(*_sample(name)), np.random.default_rng(1)
    e, f = rng.standard_normal(gram.V.shape), rng.standard_normal(gram.U.shape)
    E, F = CellElimination.at(gram, 0.0).solve(e, f)
    solution = np.linalg.solve(_dense(gram), np.concatenate([e.ravel(), f.ravel()]))
    np.testing.assert_allclose(np.concatenate([E.ravel(), F.ravel()]), solution, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_injectivity_is_a_lower_bound_near_the_true_one(name, seed):
    entries, U, V = _sample(name, seed=seed)
    left, right = (np.linalg.qr(F, mode="complete")[0] for F in (U, V))
    basis = [np.outer(a, b) for i, a in enumerate(left.T) for j, b in enumerate(right.T) if i < 2 or j < 2]
    true = np.linalg.svd(np.array([entries.forward(H) for H in basis]).T, compute_uv=False)[-1]
    assert 0.9 * true <= CellGram.from_entries(entries, U, V).injectivity() <= true


def test_rows_and_columns_without_cells_do_not_count():
    entries, U, V = _sample("tall")
    wider = Entries(entries.rows + 2, entries.cols + 1, (16, 11))
    padded = np.vstack([np.zeros((2, 2)), U, np.zeros((2, 2))]), np.vstack([np.zeros((1, 2)), V, np.zeros((1, 2))])
    found = [CellGram.from_entries(*case).injectivity() for case in ((entries, U, V), (wider, *padded))]
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_maps_that_are_not_injective_prove_nothing():
    entries, U, V = _sample("tall")
    assert CellGram.from_entries(entries.take(np.arange(30)), U, V) is None, "fewer cells than unknowns"
    lonely = np.zeros((12, 2))
    lonely[:2] = np.eye(2)  # the rows of U vanish where a column is seen
    seen = entries.take((entries.rows >= 2) | (entries.cols != 0))
    assert CellGram.from_entries(seen, lonely, V).injectivity() == 0.0


def test_large_forms_are_left_alone(monkeypatch):
    monkeypatch.setattr("flatmin.proofs.tangent.tangent_cells.LARGEST_ORDER", 10)
    assert CellGram.from_entries(*_sample("tall")) is None

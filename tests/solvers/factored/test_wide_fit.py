"""Exact fits at ranks with more degrees of freedom than data: quickly, and next to where they began."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.cones.rectangular import StackedProduct
from flatmin.solvers.factored.refine import fit_widely, is_wide


@pytest.fixture(scope="module")
def below():
    """A model of 60×50 entries, too few for rank 20, the data of a matrix of that rank, and factors near to it."""
    rng = np.random.default_rng(0)
    d1, d2, rank, count = 60, 50, 20, 900
    entries = fm.measurements.Entries(*np.divmod(np.sort(rng.choice(d1 * d2, count, replace=False)), d2), (d1, d2))
    U, V = (np.linalg.qr(rng.standard_normal((d, rank)))[0] for d in (d1, d2))
    model = StackedProduct(entries, 1.7)
    x = model.stack(U, np.geomspace(1, 1e-4, rank), V)
    b = model.value(x)
    return model, b, x + 1e-6 * rng.standard_normal(x.shape)


def test_the_fit_is_exact_near_and_as_narrow(below):
    model, b, near = below
    fitted, misfit = fit_widely(model, b, near, 1e-13)
    residual = np.linalg.norm(model.value(near) - b) / np.linalg.norm(b)
    L, R = model.split(fitted)
    rows, cols = model.whitened.rows, model.whitened.cols
    assert residual > 1e-7
    assert np.linalg.norm(1.7 * (L @ R.T)[rows, cols] - b) <= 1e-12 * np.linalg.norm(b)
    assert misfit <= 1e-13
    assert fitted.shape == near.shape
    (P, Q), U = model.split(near), model.canonical(near)[0]
    assert np.linalg.norm(L @ R.T - P @ Q.T) < 1e-4 * np.linalg.norm(P @ Q.T)
    assert np.linalg.norm(U @ (U.T @ L) - L) < 0.1 * np.linalg.norm(L)


def test_a_step_is_the_least_one_in_the_tangent_space(below):
    model, b, near = below
    U, s, V = model.canonical(near)
    rows, cols = model.whitened.rows, model.whitened.cols
    J = np.zeros((len(b), (60 + 50) * 20))
    for i, (r, c) in enumerate(zip(rows, cols, strict=True)):
        J[i, 20 * r : 20 * r + 20] = V[c]
        J[i, 1200 + 20 * c : 1220 + 20 * c] = U[r]
    step = np.linalg.lstsq(1.7 * J, b - model.value(near), rcond=None)[0]
    M1, M2 = step[:1200].reshape(60, 20), step[1200:].reshape(50, 20)
    P, t, Q = np.linalg.svd((U * s) @ V.T + M1 @ V.T + U @ M2.T)
    expected = (P[:, :20] * t[:20]) @ Q[:20]
    L, R = model.split(fit_widely(model, b, near, 1e-3 * np.linalg.norm(b - model.value(near)) / np.linalg.norm(b))[0])
    assert np.linalg.norm(L @ R.T - expected) < 1e-3 * np.linalg.norm(step)


def test_data_that_nothing_near_fits_keep_the_best_point(below):
    model, _, near = below
    rng = np.random.default_rng(1)
    b = rng.standard_normal(900)
    fitted, misfit = fit_widely(model, b, near, 1e-13)
    assert np.linalg.norm(model.value(fitted) - b) == pytest.approx(misfit * np.linalg.norm(b), rel=1e-6)
    assert misfit <= np.linalg.norm(model.value(near) - b) / np.linalg.norm(b)


def test_who_is_wide(below):
    model, _, near = below
    assert not is_wide(model, near), "it has few entries"
    rng = np.random.default_rng(2)
    entries = fm.measurements.Entries(*np.nonzero(rng.random((120, 120)) < 0.2), (120, 120))
    many = StackedProduct(entries)
    assert is_wide(many, np.zeros((240, 30)))
    assert not is_wide(many, np.zeros((240, 3)))
    dense = StackedProduct(fm.measurements.Dense(rng.standard_normal((200, 20, 20))))
    assert not is_wide(dense, np.zeros((40, 15)))


def test_flat_minimum_far_below_the_threshold():
    instance = fm.families.matrix_completion.sample((160, 150), 3, 2100, seed=0)
    s = fm.flat_minimum(instance.problem)
    assert s.certificate.holds
    assert s.rank > 10
    assert s.certificate.relative_residual < 1e-12

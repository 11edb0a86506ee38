"""Random bounds hold, are close, and their streams are separate."""

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array
from scipy.sparse.linalg import aslinearoperator

from flatmin.linalg.random_starts import (
    complement_norm_bound,
    extreme_eigenvalue_bound,
    normal_starts,
    product_rounding,
    starts_at_once,
    stored_entries,
)
from flatmin.linalg.subspaces import couplings


@pytest.mark.parametrize("form", [np.asarray, csr_array, aslinearoperator])
@pytest.mark.parametrize("shape", [(80, 60), (60, 80)])
def test_the_norm_on_complements_is_bounded(form, shape):
    rng = np.random.default_rng(0)
    values = np.concatenate([[1.0, 1.0], np.linspace(0.6, 0.1, 20)])
    U, V = (np.linalg.qr(rng.standard_normal((d, len(values))))[0] for d in shape)
    S = U * values @ V.T
    parts = couplings(S, U[:, :2], V[:, :2])
    upper, lower = complement_norm_bound(form(S), U[:, :2], V[:, :2], parts[0], parts[1], 1.0, 0.9975, (0, 0))
    assert lower <= 0.6 * (1 + 1e-10)
    assert 0.6 <= upper < 1
    assert 1 - upper >= 0.69 * (1 - lower)


def test_a_norm_well_above_the_scale_is_bounded_in_few_steps():
    rng = np.random.default_rng(3)
    S = rng.standard_normal((900, 700))
    S *= 1.4 / np.linalg.norm(S, 2)
    counted = []

    class Operator:
        shape, dtype, T = S.shape, S.dtype, S.T

        def __matmul__(self, x):
            counted.append(x.shape[1])
            return S @ x

    none = np.zeros((900, 0)), np.zeros((700, 0))
    parts = np.zeros((0, 700)), np.zeros((900, 0))
    upper, lower = complement_norm_bound(Operator(), *none, *parts, 1.0, np.inf, (0, 0))
    assert lower <= 1.4 * (1 + 1e-10)
    assert 1.4 <= upper <= 1 + (lower - 1) / 0.9
    assert len(counted) < 60


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_both_ends_of_a_spectrum_are_bounded(sign):
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((90, 90)))[0]
    values = np.concatenate([[1.0], np.linspace(0.5, -0.7, 89)])
    upper, lower = extreme_eigenvalue_bound(Q * values @ Q.T, Q[:, :1], sign, 1.0, 0.9975, (0, 0))
    true = 0.5 if sign > 0 else 0.7
    assert lower <= true * (1 + 1e-10) <= upper < 1


def test_streams_differ_and_are_repeatable():
    S = np.eye(5)
    first, again, other = (normal_starts(S, 3, stream) for stream in ((0, 0), (0, 0), (0, 1)))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)
    assert np.iscomplexobj(normal_starts(S.astype(complex), 3, (0, 0)))
    assert starts_at_once(S) > starts_at_once(aslinearoperator(S))


def test_rounding_bounds_agree_between_dense_and_sparse():
    S = random_array((40, 30), density=0.2, random_state=np.random.default_rng(2), format="csr")
    np.testing.assert_array_equal(stored_entries(S, 0), np.count_nonzero(S.toarray(), axis=1))
    np.testing.assert_array_equal(stored_entries(S, 1), np.count_nonzero(S.toarray(), axis=0))
    sparse, dense = product_rounding(S, 2, 1.0), product_rounding(S.toarray(), 2, 1.0)
    assert 0 < sparse <= dense
    x = np.random.default_rng(3).standard_normal(30).astype(np.longdouble)
    x /= np.linalg.norm(x)
    exact = S.toarray().astype(np.longdouble) @ x
    assert float(np.linalg.norm(S @ x.astype(float) - exact)) <= sparse + 1e-16


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("skew", [0.0, 1e-7])
def test_the_rounding_of_products_includes_columns_that_are_not_orthonormal(dtype, skew):
    """Against products with exact projectors, in extended precision."""
    rng, p = np.random.default_rng(2), 3
    kinds = (1, 1j) if dtype is complex else (1,)
    S, U, V, x = (
        sum(kind * rng.standard_normal(shape) for kind in kinds) for shape in ((40, 30), (40, p), (30, p), (30, 9))
    )
    U, V, long = np.linalg.qr(U)[0] * (1 - skew), np.linalg.qr(V)[0] * (1 - skew), np.clongdouble
    x /= np.linalg.norm(x, axis=0)
    found = x - V @ (V.conj().T @ x)
    found = S @ found - U @ ((U.conj().T @ S) @ found)

    def outside(F, y):
        F = F.astype(long)
        F = F @ (1.5 * np.eye(p, dtype=long) - F.conj().T @ F / 2)  # a step towards the polar factor, error skew²
        return y - F @ (F.conj().T @ y)

    exact = outside(U, S.astype(long) @ outside(V, x.astype(long)))
    missed = float(np.max(np.sqrt(np.sum(np.abs(found - exact) ** 2, axis=0))))
    defect = max(np.linalg.norm(F.conj().T @ F - np.eye(p)) for F in (U, V))
    assert missed <= product_rounding(S, p, 1.0, skew=defect)
    if skew:
        assert missed > product_rounding(S, p, 1.0)

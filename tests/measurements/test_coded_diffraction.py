"""Coded diffraction against its definition by fast transforms, and what must survive at image size."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.measurements import CodedDiffraction, RankOne
from flatmin.measurements import coded_diffraction as module
from flatmin.measurements.base import _Congruence
from flatmin.testing import check_measurement


def masks_of(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


@pytest.mark.parametrize("size", [(7,), (4, 6)])
def test_intensities_are_squared_transforms_of_masked_signals(size):
    rng = np.random.default_rng(0)
    masks, s = masks_of(rng, 3, *size), masks_of(rng, *size)
    want = np.abs(np.fft.fftn(masks.conj() * s, axes=tuple(range(1, 1 + len(size))))) ** 2
    column = s.reshape(-1, 1)
    got = CodedDiffraction(masks).forward_factors(column, column)
    assert np.isrealobj(got)
    np.testing.assert_allclose(got, want.ravel(), rtol=1e-12)


@pytest.mark.parametrize("size", [(7,), (2, 3)])
def test_agrees_with_dense_vectors(size):
    rng = np.random.default_rng(1)
    A = CodedDiffraction(masks_of(rng, 2, *size))
    B = RankOne(A.vectors())
    n = A.shape[0]
    X, y, U = masks_of(rng, n, n), rng.standard_normal(A.size), masks_of(rng, n, 2)
    np.testing.assert_allclose(A.forward(X), B.forward(X), atol=1e-12)
    np.testing.assert_allclose(A.adjoint(y), B.adjoint(y), atol=1e-12)
    np.testing.assert_allclose(A.amplitudes(U), B.amplitudes(U), atol=1e-12)
    np.testing.assert_allclose(A.norms(), B.norms())
    np.testing.assert_allclose(A.traces(), B.traces())
    for got, want in zip(A.gram_diagonals(), B.gram_diagonals(), strict=True):
        np.testing.assert_allclose(np.diag(got), want, atol=1e-10)


def test_adjoint_operator_acts_on_vectors_and_conjugates():
    rng = np.random.default_rng(2)
    A = CodedDiffraction(masks_of(rng, 3, 5))
    y, v = rng.standard_normal(A.size), masks_of(rng, 5)
    W = A.adjoint(y)
    operator = A.adjoint_operator(y)
    np.testing.assert_allclose(operator @ v, W @ v, atol=1e-12)
    np.testing.assert_allclose(operator @ v.real, W @ v.real, atol=1e-12)
    np.testing.assert_allclose(operator.conj() @ v, W.conj() @ v, atol=1e-12)
    np.testing.assert_allclose(operator.T.T @ v, W @ v, atol=1e-12)
    np.testing.assert_allclose(operator.toarray(), W, atol=1e-12)
    np.testing.assert_allclose(operator.T.toarray(), W.T, atol=1e-12)


def test_whitening_by_a_diagonal_stays_in_the_family():
    rng = np.random.default_rng(3)
    A = CodedDiffraction(masks_of(rng, 2, 3, 2))
    D = Metric(rng.uniform(0.5, 2, 6))
    whitened = A.congruence(D, Metric(D.values.copy()))
    assert isinstance(whitened, CodedDiffraction)
    check_measurement(whitened)
    assert isinstance(A.congruence(D, D.power(-1)), _Congruence)


def test_pixels_that_no_mask_sees_are_undetermined():
    masks = np.ones((2, 2, 3))
    masks[:, 1, 2] = 0
    D = CodedDiffraction(masks).metric()[0]
    assert D.is_diagonal
    np.testing.assert_array_equal(D.undetermined, [5])


def test_images_never_form_matrices_and_dense_routes_refuse():
    A = CodedDiffraction(masks_of(np.random.default_rng(4), 2, 256, 256))
    s = np.ones((256 * 256, 1))
    assert A.forward_factors(s, s).shape == (2 * 65536,)
    assert (A.adjoint_operator(np.ones(A.size)) @ s[:, 0]).shape == (65536,)
    with pytest.raises(InputError, match="GiB"):
        A.adjoint(np.ones(A.size))
    with pytest.raises(InputError, match="GiB"):
        A.forward(s)


def test_rank_one_stays_rank_one():
    rng = np.random.default_rng(5)
    A, D = RankOne(masks_of(rng, 6, 3)), Metric.root(np.eye(3) + 0.1)
    for derived in (A.congruence(D, D), A.take(np.array([2, 0])), A.weighted(np.arange(6.0))):
        assert derived.is_rank_one
        check_measurement(derived)
    assert not A.weighted(-np.ones(6)).is_rank_one
    assert not A.congruence(D, D.power(-1)).is_rank_one
    check_measurement(A.weighted(-np.ones(6)))


def test_masks_that_are_multiples_of_each_other_make_a_single_pattern():
    rng = np.random.default_rng(0)
    mask = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    other = np.where(np.arange(16).reshape(4, 4) == 5, 1.001 * mask, mask)
    for masks, single in (
        ([mask], True),
        ([mask, 2j * mask, 0 * mask], True),
        ([mask, other], False),
        ([mask.real, mask.imag], False),
        ([1e-9 * mask, other], False),
    ):
        assert CodedDiffraction(masks).is_single_pattern is single
    assert not CodedDiffraction([[1.0, 0, 0]]).is_single_pattern  # the phase of a single pixel is all that is lost


class TestTheAdjointAsAnOperator:
    """Its norm and rounding errors are bounded, which proofs by random starts need."""

    @pytest.mark.parametrize("shape", [(3, 24), (4, 6, 5)])
    def test_norm_and_rounding_are_bounded(self, shape):
        rng = np.random.default_rng(0)
        masks = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        A = CodedDiffraction(masks * rng.uniform(0.2, 2, shape))
        W = A.adjoint_operator(rng.standard_normal(A.size))
        dense, x = W.toarray(), rng.standard_normal(A.shape[0]) + 1j * rng.standard_normal(A.shape[0])
        x /= np.linalg.norm(x)
        assert np.linalg.norm(dense, 2) <= W.norm_bound <= 20 * np.linalg.norm(dense, 2)
        fast, slow = (M.adjoint_operator(W.weights) @ x.astype(M.dtype) for M in (A, A.single()))
        assert 0 < np.linalg.norm(fast - dense @ x) <= W.rounding
        assert W.rounding < np.linalg.norm(slow - fast) < 1e-5 * W.norm_bound

    def test_masks_are_transformed_in_parts(self, monkeypatch):
        rng = np.random.default_rng(1)
        A, x = CodedDiffraction(rng.standard_normal((5, 4, 3))), rng.standard_normal((12, 2))
        waves, W = A.amplitudes(x), A.adjoint_operator(rng.standard_normal(60))
        whole = W @ x
        monkeypatch.setattr(module, "PIXELS_AT_ONCE", 24)
        np.testing.assert_array_equal(A.amplitudes(x), waves)
        np.testing.assert_allclose(W @ x, whole, rtol=1e-14)


def derivative_rank(masks, rng):
    """Return the rank of the derivative of the intensities at a random signal."""
    n = masks.shape[1]
    A = np.concatenate([np.fft.fft(np.eye(n), axis=0) * mask.conj() for mask in masks])
    z = A @ (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    pulled = z.conj()[:, None] * A
    sizes = np.linalg.svd(np.hstack([pulled.real, -pulled.imag]), compute_uv=False)
    return np.count_nonzero(sizes > 1e-9 * sizes[0])


def test_counts_reject_only_masks_that_do_not_determine_a_signal():
    rng = np.random.default_rng(0)
    rejected = undetermined = 0
    for _ in range(300):
        q, n = rng.integers(1, 5), rng.integers(3, 9)
        masks = (rng.random((q, n)) < rng.uniform(0.2, 1)) * rng.choice([1, 1j, -1, 2.0], (q, n))
        pixels = np.count_nonzero(masks.any(axis=0))
        if pixels < 2:
            continue
        A = CodedDiffraction(masks)
        fails = A.n_parts > 1 or A.max_independent < 2 * pixels - 1
        lacks = derivative_rank(masks, rng) < 2 * pixels - 1
        assert lacks or not fails
        rejected, undetermined = rejected + fails, undetermined + lacks
    assert rejected > 0.8 * undetermined > 20


def test_parts_are_pixels_that_no_mask_joins():
    A = CodedDiffraction([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]])
    assert A.n_parts == 2
    assert A.max_independent == 6
    assert CodedDiffraction([[1, 1, 0, 0], [0, 1, 1, 1]]).n_parts == 1

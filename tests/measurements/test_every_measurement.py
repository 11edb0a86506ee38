"""What holds for every measurement map, found through the registry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatmin import measurements
from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.measurements.base import _Congruence, _Selection
from flatmin.testing import check_measurement
from tests.measurements.samples import ALWAYS_COMPLEX, COMPLEX, SAMPLES, sample

FOUND = measurements.names()
KINDS = [(name, float) for name in FOUND if name not in ALWAYS_COMPLEX]
KINDS += [(name, complex) for name in sorted(COMPLEX)]
kinds = pytest.mark.parametrize(("name", "dtype"), KINDS, ids=lambda v: getattr(v, "__name__", v))


def test_every_measurement_has_a_sample():
    assert set(SAMPLES) <= set(FOUND)
    assert all(name in SAMPLES or hasattr(measurements.find(name), "sample") for name in FOUND)


@kinds
@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 5)), m=st.integers(1, 12), seed=st.integers(0, 999))
def test_check_measurement(name, dtype, shape, m, seed):
    A = sample(name, np.random.default_rng(seed), shape, m, dtype)
    assert A.dtype == dtype
    check_measurement(A, seed=seed)


@kinds
def test_block_size_does_not_change_the_metric(name, dtype, monkeypatch):
    A = sample(name, np.random.default_rng(0), (4, 3), 9, dtype)
    whole = [np.asarray(D) for D in A.metric()]
    monkeypatch.setattr("flatmin.measurements.base.BLOCK", 24)
    for D, want in zip(A.metric(), whole, strict=True):
        np.testing.assert_allclose(np.asarray(D), want, atol=1e-12)


@kinds
def test_describes_itself(name, dtype):
    A = sample(name, np.random.default_rng(0), (4, 3), 9, dtype)
    assert len(A) == A.size
    assert repr(A) == f"{name}(shape={A.shape}, size={A.size})"
    assert A.nbytes >= 0


@pytest.mark.parametrize("name", FOUND)
def test_accepts_integers_and_float32(name):
    A = sample(name, np.random.default_rng(0), (4, 3), 9, float)
    X, y = np.arange(np.prod(A.shape)).reshape(A.shape), np.arange(A.size)
    for dtype in (np.int64, np.float32):
        np.testing.assert_allclose(A.forward(X.astype(dtype)), A.forward(X.astype(float)), rtol=1e-6)
        np.testing.assert_allclose(A.adjoint(y.astype(dtype)), A.adjoint(y.astype(float)), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(COMPLEX))
def test_complex_maps_are_no_linear_operators(name):
    A = sample(name, np.random.default_rng(0), (2, 2), 3, complex)
    with pytest.raises(InputError, match="complex"):
        A.as_linear_operator()


def test_derived_maps_pass_the_same_checks():
    rng = np.random.default_rng(1)
    A = measurements.FromLinearOperator(rng.standard_normal((7, 12)), (4, 3))
    P1, P2 = Metric(rng.uniform(1, 2, 4)), Metric.root(np.eye(3) + 0.1)
    whitened, part = A.congruence(P1, P2), A.take(np.array([3, 0, 0]))
    assert isinstance(whitened, _Congruence)
    assert isinstance(part, _Selection)
    for derived in (whitened, part, whitened.take(np.array([True] * 5 + [False] * 2)), part.congruence(P1, P2)):
        check_measurement(derived)


def test_unknown_names_are_refused_with_a_list():
    with pytest.raises(AttributeError, match=r"no attribute 'Nonsense'.*Dense"):
        measurements.Nonsense  # noqa: B018

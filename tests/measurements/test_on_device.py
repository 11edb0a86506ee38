"""Measurements of tensors agree with those of NumPy arrays, pass gradients, and end in the same certificate."""

import numpy as np
import pytest

import flatmin as fm
from flatmin import measurements
from flatmin.errors import InputError
from tests.measurements.samples import sample

torch = pytest.importorskip("torch")
pytest.importorskip("array_api_compat")

KINDS = [(name, dtype) for name in ("Dense", "RankOne") for dtype in (float, complex)]
KINDS += [("CodedDiffraction", complex), ("Identity", float), ("Mask", float)]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")),
]


def drawn(rng, shape, dtype):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("precision", "tol"), [("double", 1e-12), ("single", 2e-4)])
@pytest.mark.parametrize(("name", "dtype"), KINDS)
def test_products_agree_with_numpy(name, dtype, precision, tol, device):
    rng = np.random.default_rng(1)
    A = sample(name, rng, (4, 3), 7, dtype)
    d1, d2 = A.shape
    L, R, y = drawn(rng, (d1, 2), dtype), drawn(rng, (d2, 2), dtype), rng.standard_normal(A.size)

    def put(values):
        tensor = torch.asarray(values, device=device)
        return tensor if precision == "double" else tensor.to(torch.complex64 if tensor.is_complex() else torch.float32)

    B, X = A.on(put(y)), L @ R.conj().T
    found = [B.forward(put(X)), B.adjoint(put(y)), B.forward_factors(put(L), put(R))]
    for tensor, want in zip(found, (A.forward(X), A.adjoint(y), A.forward_factors(L, R)), strict=True):
        assert isinstance(tensor, torch.Tensor)
        assert torch.finfo(tensor.dtype).bits == (64 if precision == "double" else 32)
        np.testing.assert_allclose(tensor.cpu().resolve_conj().numpy(), want, rtol=tol, atol=tol * abs(want).max())
    if name == "CodedDiffraction":
        V = drawn(rng, (A.size, 2), complex)
        np.testing.assert_allclose(B.amplitudes(put(L)).cpu().numpy(), A.amplitudes(L), rtol=tol, atol=50 * tol)
        np.testing.assert_allclose(B.superposition(put(V)).cpu().numpy(), A.superposition(V), rtol=tol, atol=50 * tol)


def test_weighted_entries():
    A = measurements.Entries([2, 0, 1], [0, 1, 1], (3, 2), weights=[2.0, -1.0, 0.5])
    y, X = np.array([1.0, 2.0, 3.0]), np.arange(6.0).reshape(3, 2)
    B = A.on(torch.asarray(y))
    assert np.array_equal(B.forward(torch.asarray(X)), A.forward(X))
    assert np.array_equal(B.adjoint(torch.asarray(y)), A.adjoint(y))


@pytest.mark.parametrize("family", ["matrix-sensing", "matrix-completion"])
def test_descent_with_tensors_ends_in_the_same_certificate(family):
    instance = fm.families.find(family).sample((6, 5), 1, 26, seed=3)
    flattest = fm.flat_minimum(instance.problem)
    A, b = instance.problem.measurement, torch.asarray(instance.problem.data)
    L, R = (torch.asarray(F + 1e-3).requires_grad_() for F in flattest.factors)
    B, optimizer = (
        A.on(b),
        torch.optim.LBFGS([L, R], max_iter=500, tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe"),
    )

    def loss():
        optimizer.zero_grad()
        value = torch.mean((B.forward_factors(L, R) - b) ** 2)
        value.backward()
        return value

    optimizer.step(loss)
    assert loss() < 1e-14, "gradients pass through the products"
    dual = flattest.certificate.dual
    ours, theirs = (fm.certify(instance.problem, (L, R), dual), flattest.certificate)
    on_host = fm.certify(instance.problem, (L.detach().numpy(), R.detach().numpy()), dual)
    assert ours.value == on_host.value
    assert ours.lower_bound == on_host.lower_bound == pytest.approx(theirs.lower_bound, rel=1e-12)


def test_what_has_no_products_for_tensors():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="products for NumPy only"):
        sample("FromLinearOperator", rng, (3, 2), 4, float).on(torch.ones(1))
    with pytest.raises(InputError, match="measured more than once"):
        measurements.Entries([0, 0], [1, 1], (2, 2)).on(torch.ones(1))
    with pytest.raises(InputError, match="floating-point"):
        measurements.Identity((2, 2)).on(torch.ones(1, dtype=torch.int64))
    with pytest.raises(InputError, match="expected one of NumPy, PyTorch"):
        measurements.Identity((2, 2)).on([1.0])


def test_a_name_gives_a_map_no_products():
    class Dense(measurements.Measurement):
        shape, size, dtype = (2, 2), 1, np.dtype(float)

        def forward(self, X):
            return X[:1, 0]

        def adjoint(self, y):
            return y[0] * np.outer([1.0, 0.0], [1.0, 0.0])

    with pytest.raises(InputError, match="products for NumPy only"):
        Dense().on(torch.ones(1))

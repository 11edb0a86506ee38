"""Bounds of extreme eigenvalues against dense spectra: outer ones fail as seldom as they say, inner ones never."""

import pytest
import torch
from scipy.stats import binom

import flatmin as fm
from flatmin.errors import InputError
from flatmin.nn.spectrum.eigenvalue import largest_eigenvalue
from tests.nn.networks import classes, conv, dense, dense_gauss_newton, inputs, mlp


def gaussian(n, seed=0):
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def diagonal(*parts):
    return torch.diag(torch.cat([torch.as_tensor(p, dtype=torch.float64).reshape(-1) for p in parts]))


N = 40
SPECTRA = {
    "bulk": (gaussian(N) + gaussian(N).T) / (2 * N**0.5),
    "one outlier": diagonal(torch.linspace(-1, 1, N - 1), 10.0),
    "one that hides behind the bulk": diagonal(torch.linspace(-1, 1, N - 1), 1.05),
    "two that look like one": diagonal(torch.zeros(N - 2), 1.0, 1.01),
    "low rank": gaussian(N)[:, :3] @ gaussian(N)[:, :3].T,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_bounds_fail_as_seldom_as_they_say(name, end):
    """Over starts, for failure probabilities large enough to be seen; the inner bound never fails."""
    A, trials = SPECTRA[name], 100
    exact = float(torch.linalg.eigvalsh(A)[-1 if end == "largest" else 0])
    for failure in (0.5, 0.1):
        for products in (3, 7):
            settings = {"failure": failure, "max_products": products, "tol": 1e-12, "end": end}
            found = [largest_eigenvalue(A, seed=s, **settings) for s in range(trials)]
            sign = 1 if end == "largest" else -1
            assert all(sign * e.value <= sign * exact + 1e-12 for e in found)
            failures = sum(not e.lower <= exact <= e.upper for e in found)
            assert failures <= binom.ppf(1 - 1e-4, trials, failure)


def test_the_bound_is_not_wider_than_it_must_be():
    """Where one eigenvalue stands apart, bounds of failure 1/2 fail every second time: the test above can fail."""
    A = SPECTRA["one outlier"]
    found = [largest_eigenvalue(A, failure=0.5, max_products=4, tol=1e-12, seed=s) for s in range(150)]
    assert sum(e.upper < 10 for e in found) > binom.ppf(1e-4, 150, 0.45)


@pytest.mark.parametrize("end", ["largest", "smallest"])
def test_the_iteration_ends_when_the_bounds_are_as_close_as_asked(end):
    A = SPECTRA["bulk"]
    exact = float(torch.linalg.eigvalsh(A)[-1 if end == "largest" else 0])
    found = largest_eigenvalue(A, tol=1e-6, end=end)
    assert found.lower <= exact <= found.upper
    assert found.upper - found.lower <= 1e-6 * abs(exact) * 1.01
    assert found.value == pytest.approx(exact, rel=1e-6)
    loose = largest_eigenvalue(A, tol=0.3, end=end)
    assert loose.n_products < found.n_products
    assert loose.upper - loose.lower > 1e-6
    assert loose.lower <= exact <= loose.upper


def test_bad_arguments_are_one_sentence():
    A = SPECTRA["bulk"]
    with pytest.raises(InputError, match="end is 'middle'"):
        largest_eigenvalue(A, end="middle")
    with pytest.raises(InputError, match=r"failure is 1\.0, expected a number between 0 and 1"):
        largest_eigenvalue(A, failure=1.0)
    with pytest.raises(InputError, match="tol is 0, expected a positive finite number"):
        largest_eigenvalue(A, tol=0)
    with pytest.raises(InputError, match="max_products is 0"):
        largest_eigenvalue(A, max_products=0)
    for seed in (-1, 1.5, None, 2**70):
        with pytest.raises(InputError, match=r"seed is .*expected a whole number"):
            largest_eigenvalue(A, seed=seed)
    with pytest.raises(InputError, match="expected a square one"):
        largest_eigenvalue(A[:3])
    with pytest.raises(InputError, match="not symmetric"):
        largest_eigenvalue(gaussian(N))


def test_one_dimension_and_nothing():
    assert largest_eigenvalue(torch.tensor([[-3.0]]).double()).upper == pytest.approx(-3)
    zero = largest_eigenvalue(torch.zeros(5, 5).double())
    assert (zero.lower, zero.value, zero.upper) == pytest.approx((0, 0, 0), abs=1e-300)


@pytest.mark.parametrize("make", [mlp, conv])
@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
def test_a_networks_eigenvalues_are_those_of_its_dense_matrix(make, of):
    model, loss, x, y = make(), torch.nn.CrossEntropyLoss(), inputs(), classes()
    model.eval()
    state = torch.get_rng_state()
    exact = torch.linalg.eigvalsh((dense if of == "hessian" else dense_gauss_newton)(model, loss, x, y))
    for end, wanted in (("largest", exact[-1]), ("smallest", exact[0])):
        found = fm.nn.largest_eigenvalue(model, loss, (x, y), of=of, end=end)
        assert found.lower <= float(wanted) <= found.upper
        assert found.upper - found.lower < 2e-3 * float(exact[-1])
        assert (found.of, found.end) == (of, end)
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


def test_single_precision_bounds_hold():
    model, loss, x, y = mlp(), torch.nn.CrossEntropyLoss(), inputs(), classes()
    exact = float(torch.linalg.eigvalsh(dense(model, loss, x, y))[-1])
    found = fm.nn.largest_eigenvalue(model.float(), loss, (x.float(), y))
    assert found.lower <= exact <= found.upper

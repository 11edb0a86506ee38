"""Densities, shares and moments of dense spectra: intervals cover, and quadratures err by no more than they say."""

import numpy as np
import pytest
import torch
from scipy.special import stdtrit
from scipy.stats import binom, kstest

import flatmin as fm
from flatmin.errors import InputError
from flatmin.nn.spectrum import density
from flatmin.nn.spectrum.density import spectral_density
from tests.nn.networks import classes, dense, dense_gauss_newton, inputs, mlp


def gaussian(n, seed=0):
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def diagonal(*parts):
    return torch.diag(torch.cat([torch.as_tensor(p, dtype=torch.float64).reshape(-1) for p in parts]))


WIDE = diagonal(torch.linspace(0, 1, 196) ** 2, -2.0, 5.0, 8.0, 9.0)
LAMBDA = WIDE.diagonal().numpy()


def smooth(grid, width):
    return np.exp(-(((grid[:, None] - LAMBDA) / width) ** 2) / 2).mean(1) / width / np.sqrt(2 * np.pi)


def test_each_quadrature_errs_by_less_than_its_bound():
    """Against the spectral measure of each probe itself, known for a diagonal matrix; a short one errs visibly."""
    width = 0.3
    for steps, visible in ((5, True), (60, False)):
        found = spectral_density(WIDE, probes=3, steps=steps, width=width, seed=1)
        generator = torch.Generator().manual_seed(1)
        V = torch.randn(200, 3, generator=generator, dtype=torch.float64)
        measure = (V**2 / (V**2).sum(0)).mean(1).numpy()
        kernel = np.exp(-(((found.grid[:, None] - LAMBDA) / width) ** 2) / 2) / width / np.sqrt(2 * np.pi)
        error = np.abs(kernel @ measure - found.density).max()
        assert error <= found.quadrature_error + 1e-12
        assert bool(error > 1e-4) == visible
        assert bool(found.quadrature_error > 1e-3) == visible


@pytest.mark.slow
def test_intervals_cover_density_distribution_and_moments():
    """With 8 probes, also near single eigenvalues that stand apart, where the law of the error is skewed."""
    grid, trials = np.array([-2.0, -1.0, 0.05, 0.3, 0.9, 3.0, 8.5]), 80
    share, exact = (grid[:, None] >= LAMBDA).mean(1), np.array([(LAMBDA**p).mean() for p in (1, 2, 3, 4)])
    covered, moments, met = np.zeros((2, grid.size)), np.zeros(4), np.zeros(grid.size)
    t = stdtrit(8, 0.975)
    for s in range(trials):
        found = spectral_density(WIDE, probes=8, steps=25, grid=grid, width=0.5, seed=s)
        half = t * found.std_error + found.quadrature_error
        covered[0] += np.abs(found.density - smooth(grid, 0.5)) <= half
        covered[1] += (found.cumulative_low <= share) & (share <= found.cumulative_high)
        met += np.abs(found.cumulative - share) < 1e-9
        moments += np.abs(found.moments - exact) <= t * found.moments_std_error
    fewest = binom.ppf(1e-3, trials, 0.95)
    assert (covered >= fewest).all()
    assert (moments >= fewest).all()
    assert (moments <= trials - 1).any()
    assert (met[2:5] < 0.2 * trials).all()


def test_the_whole_density_is_one_and_lies_within_the_bounds():
    found = spectral_density(WIDE, probes=6, steps=50)
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=1e-3)
    assert found.lower <= -2
    assert found.upper >= 9
    assert np.all(np.diff(found.cumulative) >= -1e-12)
    assert found.cumulative[0] == pytest.approx(0, abs=1e-3)
    assert found.cumulative[-1] == pytest.approx(1, abs=1e-3)
    value, error = found.mean_of(lambda x: x**2)
    assert value == pytest.approx(found.moments[1])
    assert error == pytest.approx(found.moments_std_error[1])
    assert found.plot().get_yscale() == "log"


def test_where_the_iteration_ends_by_itself_only_chance_is_left():
    found = spectral_density(diagonal(torch.zeros(150), torch.ones(50)), probes=20, steps=40, grid=[-0.5, 0.5, 1.5])
    assert found.n_products == 40
    assert found.quadrature_error == 0
    assert found.cumulative_low[1] < 0.75 < found.cumulative_high[1]
    assert found.cumulative_high[1] - found.cumulative_low[1] < 0.1
    assert (found.cumulative[0], found.cumulative[2]) == (0, 1)


def test_quantiles_of_a_wigner_matrix_follow_the_semicircle():
    n = 400
    A = (gaussian(n, 3) + gaussian(n, 3).T) / (2 * n) ** 0.5
    found = spectral_density(A, probes=10, steps=80)
    x = found.grid
    inside = np.clip(x / 2, -1, 1)
    circle = 0.5 + inside * np.sqrt(1 - inside**2) / np.pi + np.arcsin(inside) / np.pi
    assert np.abs(found.cumulative - circle).max() < 0.04
    assert ((found.cumulative_low <= circle) & (circle <= found.cumulative_high)).mean() > 0.9
    assert kstest(torch.linalg.eigvalsh(A).numpy(), lambda t: np.interp(t, x, found.cumulative)).statistic < 0.04


def test_nothing_is_a_peak_at_zero():
    found = spectral_density(torch.zeros(5, 5).double())
    assert np.isfinite(found.density).all()
    assert found.moments == pytest.approx(np.zeros(4))


def test_bad_arguments_are_one_sentence():
    with pytest.raises(InputError, match="probes is 0"):
        spectral_density(WIDE, probes=0)
    with pytest.raises(InputError, match=r"steps is 2\.5"):
        spectral_density(WIDE, steps=2.5)
    with pytest.raises(InputError, match="seed is None"):
        spectral_density(WIDE, seed=None)
    with pytest.raises(InputError, match="width is -1"):
        spectral_density(WIDE, width=-1)
    with pytest.raises(InputError, match="grid has shape"):
        spectral_density(WIDE, grid=[[0.0]])


@pytest.mark.parametrize("of", ["hessian", "gauss_newton"])
def test_a_networks_moments_are_those_of_its_dense_matrix(of):
    model, loss, x, y = mlp(), torch.nn.CrossEntropyLoss(), inputs(), classes()
    exact = torch.linalg.eigvalsh((dense if of == "hessian" else dense_gauss_newton)(model, loss, x, y)).numpy()
    found = fm.nn.spectral_density(model, loss, (x, y), of=of, probes=6, steps=20)
    assert abs(found.moments[0] - exact.mean()) < 6 * found.moments_std_error[0]
    assert found.lower <= exact[0] <= exact[-1] <= found.upper
    assert found.of == of


class Interrupted:
    """An operator whose products end with an interrupt after some calls."""

    def __init__(self, calls, size=200):
        self.H, self.calls = torch.diag(torch.linspace(0, 1, size, dtype=torch.float64)), calls
        self.shape, self.dtype, self.device = self.H.shape, self.H.dtype, self.H.device

    def __matmul__(self, vectors):
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return self.H @ vectors


@pytest.mark.parametrize(("at_once", "calls", "probes", "products"), [(5, 20, 5, 100), (1, 45, 2, 45), (1, 30, 1, 30)])
def test_an_interrupt_returns_the_density_of_the_probes_so_far(at_once, calls, probes, products, monkeypatch):
    """It ends all probes, also those that would run after the present ones."""
    monkeypatch.setattr(density, "PROBE_MEMORY", at_once * 8 * 200 * 30)
    found = spectral_density(Interrupted(calls), probes=5, steps=30, seed=1)
    assert (found.n_probes, found.n_products) == (probes, products)
    truth = np.linspace(0, 1, 200)
    shares = (truth <= found.grid[:, None]).mean(1)
    assert ((found.cumulative_low - 1e-9 <= shares) & (shares <= found.cumulative_high + 1e-9)).mean() > 0.9
    assert found.lower <= 0
    assert found.upper >= 1
    with pytest.raises(KeyboardInterrupt):
        spectral_density(Interrupted(0), probes=5, steps=30)

"""Products a few at a time: interrupts of every estimator of a trace, and the line of progress."""

import io

import numpy as np
import pytest
import torch

from flatmin._core.progress import listening
from flatmin.nn import hessian_diagonal, largest_eigenvalue, spectral_density
from flatmin.nn.estimators import spending
from flatmin.nn.estimators.spending import at_once, multiplied
from flatmin.nn.spectrum.trace import operator_trace
from tests.nn.networks import classes, inputs, mlp

N = 200
ROTATION = torch.linalg.qr(torch.randn(N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
H = ROTATION @ torch.diag(torch.arange(1, N + 1).double() ** -1) @ ROTATION.T


class Interrupted:
    """An operator whose products end with an interrupt after some calls."""

    def __init__(self, calls, H=H):
        self.H, self.calls = H, calls
        self.shape, self.dtype, self.device = H.shape, H.dtype, H.device

    def __matmul__(self, vectors):
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return self.H @ vectors


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(spending, "_VECTORS_AT_ONCE", 4)


def test_products_are_those_of_the_operator():
    V = torch.randn(N, 70, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.allclose(multiplied(H, V), H @ V, atol=1e-14)
    assert multiplied(H, V[:, :0]).shape == (N, 0)
    assert at_once(H) == 32


def test_an_interrupt_keeps_the_first_products(few, caplog):
    V = torch.ones(N, 10, dtype=torch.float64)
    assert multiplied(Interrupted(2), V).shape == (N, 8)
    assert multiplied(Interrupted(0), V).shape == (N, 0)
    assert "10 products, of which 8 are used" in caplog.text


METHODS = ["hutchinson", "hutch++", "xtrace", "xnystrace", "auto"]


@pytest.mark.parametrize("calls", [2, 5, 9, 12, 13, 17])
@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_returns_an_estimate_of_the_products_so_far(method, calls, few):
    wholes = {"half": slice(N // 2), "rest": slice(N // 2, N)}
    found = operator_trace(Interrupted(calls), method=method, max_products=72, blocks=wholes, seed=3)
    assert found.n_products == 4 * calls
    assert found.covers(H.trace().item())
    assert found.groups["half"].value + found.groups["rest"].value == pytest.approx(found.value, rel=1e-9)
    if method == "hutch++":
        assert found.method == ("hutchinson" if calls <= 12 else "hutch++")
    with pytest.raises(KeyboardInterrupt):
        operator_trace(Interrupted(1), method=method, max_products=72)


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_ends_the_search_for_a_target(method, few):
    found = operator_trace(Interrupted(9), method=method, target_std_error=1e-6, seed=3)
    assert found.n_products == 36
    assert found.covers(H.trace().item())


@pytest.mark.sampled(3)
@pytest.mark.parametrize("method", ["hutch++", "xtrace", "xnystrace"])
@pytest.mark.parametrize("calls", [5, 12])
def test_intervals_after_an_interrupt_cover(method, calls, few):
    found = [operator_trace(Interrupted(calls), method=method, max_products=72, seed=s) for s in range(300)]
    errors = np.array([f.value for f in found]) - H.trace().item()
    assert abs(errors.mean()) < 4 * errors.std() / 300**0.5
    assert np.mean([f.covers(H.trace().item()) for f in found]) > 0.91


class Terminal(io.StringIO):
    """A terminal that keeps what is written on it."""

    def isatty(self):
        return True


def test_a_long_measurement_shows_its_progress(monkeypatch, few):
    clock = iter(range(100))
    monkeypatch.setattr(spending.time, "monotonic", lambda: next(clock))
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    operator_trace(H, method="hutchinson", max_products=20)
    assert "4 of 20 products  about 5 s left" in terminal.getvalue()
    assert terminal.getvalue().endswith("20 of 20 products\r\x1b[K")
    operator_trace(H, method="hutchinson", target_std_error=0.5)
    assert "28 products" in terminal.getvalue() or "24 products" in terminal.getvalue()


def test_short_ones_and_those_without_a_terminal_show_nothing(monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    operator_trace(H, method="hutchinson", max_products=20)
    assert not terminal.getvalue()
    monkeypatch.setattr(spending, "EARLY", 0.0)
    monkeypatch.setattr("sys.stderr", quiet := io.StringIO())
    operator_trace(H, method="hutchinson", max_products=20)
    assert not quiet.getvalue()


def test_every_measure_tells_a_listener(monkeypatch):
    monkeypatch.setattr(spending, "EARLY", 0.0)
    network = mlp(), torch.nn.CrossEntropyLoss(), (inputs(), classes())
    for measure in (largest_eigenvalue, spectral_density, hessian_diagonal):
        heard = []
        with listening(heard.append):
            measure(*network)
        assert heard
        assert heard[-1]["total"] is None or heard[-1]["products"] <= heard[-1]["total"]

"""Every estimator: unbiased, repeatable, within its budget, block by block; its interval covers, its target is met."""

import numpy as np
import pytest
import torch
from scipy import stats

from flatmin.errors import InputError
from flatmin.nn.estimators import ESTIMATORS, TraceRequest
from flatmin.nn.estimators._auto import auto

N = 60
ROTATION = torch.linalg.qr(torch.randn(N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
SPECTRA = {
    "both signs": torch.cat([torch.tensor([9.0, -4.0]), torch.linspace(-1, 2, N - 2)]).double(),
    "decaying": 0.85 ** torch.arange(N).double(),
}
MATRICES = {name: ROTATION @ torch.diag(s) @ ROTATION.T for name, s in SPECTRA.items()}
H = MATRICES["both signs"]
SEMIDEFINITE = H @ H / 9
BLOCKS = {"first": slice(0, 10), "rest": torch.arange(10, N)}
ALL = ESTIMATORS | {"auto": auto}


def runner(name):
    own = SEMIDEFINITE if name == "xnystrace" else H
    return lambda A=own, seed=0, **limits: ALL[name](TraceRequest(A, torch.Generator().manual_seed(seed), **limits))


@pytest.fixture(params=ALL)
def estimator(request):
    return runner(request.param)


@pytest.fixture(params=sorted(set(ALL) - {"exact"}))
def random(request):
    return runner(request.param)


def test_the_blocks_add_up_and_a_seed_repeats(estimator):
    r = estimator(max_products=N, blocks=BLOCKS)
    assert sum(g.value for g in r.groups.values()) == pytest.approx(r.value, abs=1e-9)
    assert r == estimator(max_products=N, blocks=BLOCKS)
    assert r.n_products <= N
    assert estimator(max_products=N).value == pytest.approx(r.value)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("name", sorted(set(ALL) - {"exact"}))
def test_values_are_unbiased_and_intervals_cover_of_all_and_of_blocks(name, matrix):
    A, run, trials = MATRICES[matrix], runner(name), 400
    if name == "xnystrace" and matrix == "both signs":
        A = SEMIDEFINITE
    found = [run(A, seed, max_products=32, blocks=BLOCKS) for seed in range(trials)]
    for key, rows in {None: slice(None), **BLOCKS}.items():
        trace = A.diagonal()[rows].sum().item()
        parts = [r.groups[key] if key else r for r in found]
        errors = np.array([r.value - trace for r in parts])
        assert abs(errors.mean()) < 4 * errors.std() / trials**0.5
        assert stats.binom.cdf(sum(r.covers(trace) for r in parts), trials, 0.94) > 1e-3
        stated = np.sqrt(np.mean([r.std_error**2 for r in parts]))
        assert 0.8 < stated / errors.std() < 1.25


def test_a_target_is_met_or_the_limit_reached(random):
    found = random(target_std_error=1.5)
    assert 0 < found.std_error <= 1.5
    assert found.n_products >= 24
    limited = random(target_std_error=1e-3, max_products=30)
    assert limited.n_products <= 30
    assert limited.std_error > 1e-3
    # Who stopped is trusted less: freedom of the first look, not of all vectors.
    width = (found.interval[1] - found.value) / found.std_error
    assert width >= stats.t.ppf(0.975, 24) - 1e-9


@pytest.mark.parametrize("matrix", [torch.eye(N).double() * 3, torch.zeros(N, N).double()])
def test_multiples_of_the_identity(random, matrix):
    found = random(matrix, max_products=30)
    assert found.covers(matrix.trace().item())
    assert found.value == pytest.approx(matrix.trace().item(), abs=1e-6)
    assert found.std_error < 1e-5


@pytest.mark.parametrize("limit", [0, -3, 2.5, True])
def test_a_limit_that_cannot_be_used_is_refused(estimator, limit):
    with pytest.raises(InputError, match="max_products"):
        estimator(max_products=limit)


@pytest.mark.parametrize("target", [0, -1.0, np.inf, np.nan, "small"])
def test_a_target_that_cannot_be_used_is_refused(estimator, target):
    with pytest.raises(InputError, match="target_std_error"):
        estimator(target_std_error=target)


def test_too_few_products_are_refused(random):
    with pytest.raises(InputError, match="no reliable interval"):
        random(max_products=7)


def test_products_that_are_not_finite_are_refused(estimator):
    with pytest.raises(InputError, match="finite"):
        estimator(H * 1e308 * 10, max_products=N)
    with pytest.raises(InputError, match="square"):
        estimator(H[:, :3])


def test_single_precision_is_accumulated_in_double(random):
    found, double = random(SEMIDEFINITE.float(), max_products=40), random(SEMIDEFINITE, max_products=40)
    assert found.value == pytest.approx(double.value, abs=1e-4 * SEMIDEFINITE.norm().item())
    assert found.std_error == pytest.approx(double.std_error, rel=1e-3)

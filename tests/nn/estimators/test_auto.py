"""The choice between Hutch++ and Hutchinson: right where it is clear, without bias where it is close, and counted."""

import numpy as np
import pytest
import torch

import flatmin as fm
from flatmin.nn.estimators import TraceRequest, hutch_pp, hutchinson
from flatmin.nn.estimators._auto import auto

N = 300
RANKS = torch.arange(1.0, N + 1, dtype=torch.float64)
SIGNS = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(N // 2)
DECAYING = {"squares": RANKS**-2, "signed": SIGNS * RANKS**-1.5, "ten": torch.where(RANKS <= 10, 1.0, 0.02).double()}
FLAT = {"signs": SIGNS, "alike": 1 + 0.1 * SIGNS, "slow": SIGNS * RANKS**-0.15, "zero": 0 * SIGNS}


def draw(seed):
    return torch.Generator().manual_seed(seed)


def estimates(eigenvalues, method, seeds, products=100):
    H = torch.diag(eigenvalues)
    return [method(TraceRequest(H, draw(seed), max_products=products)) for seed in seeds]


@pytest.mark.parametrize("name", [*DECAYING, *FLAT])
def test_a_clear_case_is_decided(name):
    eigenvalues = (DECAYING | FLAT)[name]
    found = estimates(eigenvalues, auto, range(20))
    assert {e.method for e in found} == {"hutch++" if name in DECAYING else "hutchinson"}
    assert max(e.n_products for e in found) <= 100
    assert sum(e.covers(eigenvalues.sum().item()) for e in found) >= 15


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["squares", "signs"])
def test_it_is_as_good_as_the_better_one(name):
    eigenvalues = (DECAYING | FLAT)[name]
    truth = eigenvalues.sum().item()
    error = {
        method: np.std([e.value - truth for e in estimates(eigenvalues, method, range(200))])
        for method in (auto, hutchinson, hutch_pp)
    }
    assert error[auto] < 1.25 * min(error.values())
    assert max(error.values()) > 1.3 * min(error.values())


@pytest.mark.slow
def test_an_indefinite_matrix_with_some_larger_eigenvalues_gains_a_little():
    """As the Hessian of an untrained network: a third of the products for Q would be too much, none too little."""
    eigenvalues = SIGNS * RANKS**-0.5
    truth, seeds = eigenvalues.sum().item(), range(1500)
    error = {
        method: np.std([e.value - truth for e in estimates(eigenvalues, method, seeds)])
        for method in (auto, hutchinson)
    }
    assert error[auto] < 0.97 * error[hutchinson]


@pytest.mark.slow
@pytest.mark.parametrize("power", [0.33, 0.36, 0.4])
def test_the_choice_makes_no_bias(power):
    found = estimates(RANKS**-power, auto, range(4000), 60)
    errors = np.array([e.value for e in found]) - (RANKS**-power).sum().item()
    share = np.mean([e.method == "hutch++" for e in found])
    assert 0.02 < share < 0.98
    assert abs(errors.mean()) < 3.3 * errors.std() / np.sqrt(len(errors))


def test_every_product_is_counted_in_every_group():
    class Counting:
        shape, dtype, device = (N, N), torch.float64, torch.device("cpu")
        spent = 0

        def __init__(self, eigenvalues):
            self.eigenvalues = eigenvalues

        def __matmul__(self, V):
            self.spent += V.shape[1]
            return self.eigenvalues[:, None] * V

    blocks = {"first": slice(0, 100), "last": slice(100, N)}
    for eigenvalues in (*DECAYING.values(), *FLAT.values()):
        for limits in ({"max_products": 10}, {"max_products": 61}, {"target_std_error": 3.0}):
            operator = Counting(eigenvalues)
            found = auto(TraceRequest(operator, draw(0), blocks=blocks, **limits))
            assert found.n_products == operator.spent <= limits.get("max_products", np.inf)
            assert {g.n_products for g in found.groups.values()} == {operator.spent}
            assert sum(g.value for g in found.groups.values()) == pytest.approx(found.value, abs=1e-9)
            assert found.std_error <= limits.get("target_std_error", np.inf)


def test_limits_and_numbers_that_cannot_be_used():
    H = torch.diag(RANKS)
    for limits in ({"max_products": 7}, {"target_std_error": 0}, {"target_std_error": torch.nan}):
        with pytest.raises(fm.InputError, match="expected"):
            auto(TraceRequest(H, draw(0), **limits))
    for bad in (torch.nan, torch.inf):
        with pytest.raises(fm.InputError, match="finite"):
            auto(TraceRequest(bad * H, draw(0)))

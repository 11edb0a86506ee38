"""Every estimator: unbiased, repeatable, within its budget, block by block."""

import pytest
import torch

from flatmin.errors import InputError
from flatmin.nn.estimators import ESTIMATORS

N = 40
ROTATION = torch.linalg.qr(torch.randn(N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
SPECTRUM = torch.cat([torch.tensor([9.0, -4.0]), torch.linspace(-1, 2, N - 2)]).double()
H = ROTATION @ torch.diag(SPECTRUM) @ ROTATION.T
BLOCKS = {"first": slice(0, 10), "rest": torch.arange(10, N)}


@pytest.fixture(params=ESTIMATORS)
def estimator(request):
    return lambda A=H, seed=0, **limits: ESTIMATORS[request.param](
        A, generator=torch.Generator().manual_seed(seed), **limits
    )


def test_the_blocks_add_up_and_a_seed_repeats(estimator):
    r = estimator(max_products=40, blocks=BLOCKS)
    assert sum(g.value for g in r.groups.values()) == pytest.approx(r.value, abs=1e-9)
    assert r == estimator(max_products=40, blocks=BLOCKS)
    assert r.n_products <= 40


@pytest.mark.parametrize("limit", [0, -3, 2.5, True])
def test_a_limit_that_cannot_be_used_is_refused(estimator, limit):
    with pytest.raises(InputError, match="max_products"):
        estimator(max_products=limit)

"""XTrace: shares of the products, against its definition, and on a matrix whose rank it finds."""

import numpy as np
import pytest
import torch
from scipy import stats

from flatmin.errors import InputError
from flatmin.nn.estimators import TraceRequest, x_trace
from tests.nn.estimators.test_every_estimator import ROTATION, H, N


def test_a_matrix_of_low_rank_has_no_error():
    low = ROTATION[:, :4] @ torch.diag(torch.tensor([5.0, 3.0, 2.0, 1.0]).double()) @ ROTATION[:, :4].T
    found = x_trace(TraceRequest(low, torch.Generator().manual_seed(0), max_products=24))
    assert found.value == pytest.approx(11, rel=1e-9)
    assert found.std_error < 1e-6


def test_it_is_the_mean_over_vectors_left_out_of_the_basis():
    """The definition, with a basis for each vector, of a run that spends half of its products on the basis."""
    found = x_trace(TraceRequest(H, torch.Generator().manual_seed(1), max_products=20))
    V = torch.randn(N, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    V *= N**0.5 / torch.linalg.vector_norm(V, dim=0)
    estimates = []
    for i in range(10):
        others = torch.cat([V[:, :i], V[:, i + 1 :]], 1)
        Q = torch.linalg.qr(H @ others).Q
        g = V[:, i] - Q @ (Q.T @ V[:, i])
        g *= (N - Q.shape[1]) ** 0.5 / torch.linalg.vector_norm(g)
        estimates.append(((Q.T @ H @ Q).trace() + g @ H @ g).item())
    assert found.value == pytest.approx(np.mean(estimates), rel=1e-9)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("share", [0.05, 0.2, 0.35])
def test_xtrace_with_a_smaller_share(share):
    found = [
        x_trace(TraceRequest(H, torch.Generator().manual_seed(seed), max_products=40), share=share)
        for seed in range(300)
    ]
    trace = H.trace().item()
    errors = np.array([r.value - trace for r in found])
    assert abs(errors.mean()) < 4 * errors.std() / 300**0.5
    assert stats.binom.cdf(sum(r.covers(trace) for r in found), 300, 0.94) > 1e-3
    assert {r.n_products for r in found} == {40}


@pytest.mark.parametrize("share", [0, -0.1, 0.6, np.nan])
def test_a_share_that_cannot_be_used_is_refused(share):
    with pytest.raises(InputError, match="share is"):
        x_trace(TraceRequest(H), share=share)

"""The exact trace: any matrix in pieces, its cost, and its limit."""

import pytest
import torch

from flatmin.errors import InputError
from flatmin.nn.estimators import TraceRequest, exact


@pytest.mark.parametrize("n", [1, 63, 64, 65, 130])
def test_the_trace_and_the_blocks_of_a_matrix_of_any_size(n):
    A = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = exact(TraceRequest(A + A.T, blocks={"first": slice(0, 1), "odd": torch.arange(1, n, 2)}))
    assert found.value == pytest.approx(2 * A.trace().item(), rel=1e-12)
    assert found.groups["first"].value == 2 * A[0, 0].item()
    assert found.groups["odd"].value == pytest.approx(2 * A.diagonal()[1::2].sum().item(), rel=1e-12, abs=1e-14)
    assert (found.n_products, found.std_error, found.interval) == (n, 0.0, (found.value, found.value))


def test_fewer_products_than_rows_are_refused():
    with pytest.raises(InputError, match="max_products is 4, expected at least 5, one for each row"):
        exact(TraceRequest(torch.eye(5), max_products=4))

"""The dual norm of Hermitian cones for operators that are known by their products."""

import numpy as np
import pytest
from scipy.sparse.linalg import aslinearoperator

from flatmin.cones import Semidefinite, Symmetric


@pytest.mark.parametrize(("cone", "want"), [(Semidefinite(), 0.5), (Symmetric(), 3.0)])
@pytest.mark.parametrize("dtype", [float, complex])
def test_large_operators_have_the_value_of_the_array(cone, want, dtype):
    values = np.concatenate([np.linspace(-1, 0.4, 448), [0.5, -3.0]])
    S = np.diag(values).astype(dtype)
    if dtype is complex and cone == Symmetric():
        return
    assert cone.largest_value(aslinearoperator(S)) == pytest.approx(want, rel=1e-8)
    assert cone.largest_value(S) == pytest.approx(want)

"""Products with a distributed matrix are those of the sparse one."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from .conftest import dealt, sample

SHAPE, REG = (70, 50), 0.1


@pytest.fixture(scope="module")
def triples():
    return sample(SHAPE)


def test_products_with_a_matrix_that_is_dealt_out(triples):
    i, j, values = triples
    rng, ones = np.random.default_rng(5), tuple(np.ones(d) for d in SHAPE)
    zero = tuple(np.zeros((d, 1)) for d in SHAPE)
    S = csr_array((values, (i, j)), shape=SHAPE)
    with dealt(*triples, SHAPE).residual(*zero) as residual, residual.matrix(ones, 60) as matrix:
        assert matrix.shape == (70, 60)
        F, G = rng.standard_normal((60, 2)), rng.standard_normal((70, 4))
        assert np.allclose(matrix @ F, S @ F[:50])
        assert np.allclose((matrix.T @ G)[:50], S.T @ G)
        assert not (matrix.T @ G)[50:].any()
        assert matrix.products == [2, 4, 4]
        with pytest.raises(ValueError, match="meets one of shape"):
            matrix @ G
        assert np.allclose(residual.collected(ones).toarray(), S.toarray())

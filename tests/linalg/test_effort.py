"""Efforts: how many products an iteration may take."""

import math

import numpy as np
import pytest
from scipy.sparse import eye_array
from scipy.sparse.linalg import aslinearoperator

from flatmin.linalg.effort import LARGEST_DENSE, Effort, ExhaustedError


def test_products_are_counted_until_none_is_left():
    effort = Effort(4.0)
    effort.spend()
    effort.spend(17)
    assert effort.left == 0.0
    with pytest.raises(ExhaustedError):
        effort.spend()
    Effort().spend(10**9)


def test_the_limit_grows_with_the_matrix_and_with_its_zeros():
    square = np.ones((80, 80))
    assert Effort.before_eigenpairs(square).left == 20
    assert Effort.before_triplets(np.ones((80, 1000))).left == Effort.before_triplets(square).left
    assert Effort.before_eigenpairs(eye_array(80, format="csr")).left == 20 * 80 / 5


def test_what_is_not_formed_has_no_limit():
    assert Effort.before_eigenpairs(aslinearoperator(np.ones((80, 80)))).left == math.inf
    side = math.isqrt(LARGEST_DENSE) + 1
    assert Effort.before_triplets(eye_array(side, format="csr")).left == math.inf


def test_an_iteration_that_would_take_more_than_is_left_does_not_begin():
    effort = Effort(4.0)
    effort.afford(4.0)
    assert effort.left == 4.0
    with pytest.raises(ExhaustedError):
        effort.afford(4.1)
    Effort().afford(1e300)

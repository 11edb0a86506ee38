"""Maps made from another one: weighted, restricted and between metrics, against their sensing matrices."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.linalg.metric import Metric
from flatmin.measurements import Dense, FromLinearOperator, RankOne
from flatmin.testing import check_measurement


def _maps():
    rng = np.random.default_rng(0)
    T = rng.standard_normal((6, 4, 3))
    P1, P2 = (Metric.root((F := rng.standard_normal((d, d + 1))) @ F.T) for d in (4, 3))
    plain = FromLinearOperator(T.reshape(6, -1), (4, 3))
    w, index = rng.uniform(0.5, 2, 6), np.array([4, 1, 1])
    return {
        "weighted": (plain.weighted(w), w[:, None, None] * T),
        "restricted": (plain.take(index), T[index]),
        "whitened": (plain.congruence(P1, P2), P1.dense @ T @ P2.dense),
        "weighted, whitened": (plain.weighted(w).congruence(P1, P2), w[:, None, None] * (P1.dense @ T @ P2.dense)),
        "whitened, restricted": (plain.take(index).congruence(P1, P2), P1.dense @ T[index] @ P2.dense),
    }


@pytest.mark.parametrize("name", _maps())
def test_a_wrapped_map_has_the_wrapped_sensing_matrices(name):
    A, T = _maps()[name]
    np.testing.assert_allclose(A.matrices(), T, atol=1e-12)
    np.testing.assert_allclose(A.norms(), np.linalg.norm(T, axis=(1, 2)))
    for found, want in zip(A.metric(), Dense(T).metric(), strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(want), atol=1e-10)
    check_measurement(A)


def test_rank_one_survives_weights_that_are_not_negative():
    A = RankOne(np.random.default_rng(1).standard_normal((5, 3)))
    assert A.weighted(np.arange(5.0)).is_rank_one
    assert not A.weighted(np.arange(5.0) - 1).is_rank_one
    assert A.take(np.array([0, 2])).is_rank_one


def test_what_a_map_does_not_have_is_refused():
    A = Dense(np.ones((2, 3, 2)))
    for call in (lambda: A.amplitudes(np.ones((3, 1))), lambda: A.superposition(np.ones((2, 1))), A.traces):
        with pytest.raises(InputError, match="expected"):
            call()
    with pytest.raises(InputError, match="linear over the reals"):
        Dense(np.ones((2, 3, 3)) * 1j).as_linear_operator()

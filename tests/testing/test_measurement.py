"""Right measurements pass, and every kind of mistake is named."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.linalg.metric import Metric
from flatmin.measurements import Dense, Entries, Measurement, RankOne
from flatmin.testing import check_measurement, check_solution


def _dense(dtype=float, m=6):
    rng = np.random.default_rng(0)
    return rng.standard_normal((m, 4, 3)) + (1j * rng.standard_normal((m, 4, 3)) if dtype is complex else 0)


def _broken(base, **methods):
    return type("Broken", (base,), methods)


def _unconjugated(self, X):
    return np.tensordot(self.tensor, X).real


def _in_place(self, X):
    X *= 2
    return Dense.forward(self, X) / 2


def _adjoint_in_place(self, y):
    y *= 2
    return Dense.adjoint(self, y) / 2


def _shifted_blocks(self, L, R):
    return np.roll(Entries.curvature_blocks(self, L, R), 1, axis=0)


def _normal_matrix_of_the_identity(self, G, P):
    return Entries.normal_matrix(self, G, np.eye(len(P)))


DENSE = {
    "shape is": {"__init__": lambda self, T: (Dense.__init__(self, T), setattr(self, "shape", (4.0, 3)))[0]},
    "size is": {"__init__": lambda self, T: (Dense.__init__(self, T), setattr(self, "size", 0))[0]},
    "dtype is": {"__init__": lambda self, T: (Dense.__init__(self, T), setattr(self, "dtype", np.dtype("f4")))[0]},
    "linearity of forward": {"forward": lambda self, X: Dense.forward(self, X) + 1},
    "linearity of adjoint": {"adjoint": lambda self, y: Dense.adjoint(self, y) + 1},
    "forward returns complex": {"forward": lambda self, X: Dense.forward(self, X) + 0j},
    "adjoint returns complex": {"adjoint": lambda self, y: Dense.adjoint(self, y) + 0j},
    "forward changes its argument": {"forward": _in_place},
    "adjoint changes its argument": {"adjoint": _adjoint_in_place},
    "forward returns shape": {"forward": lambda self, X: Dense.forward(self, X)[:, None]},
    "adjoint returns shape": {"adjoint": lambda self, y: Dense.adjoint(self, y).T},
    "the adjoint identity": {"adjoint": lambda self, y: 2 * Dense.adjoint(self, y)},
    "contains NaN": {"forward": lambda self, X: np.nan * Dense.forward(self, X)},
    "forward_factors with 1 columns": {"forward_factors": lambda self, L, R: self.forward(-L @ R.T)},
    "forward_factors with 0 columns": {"forward_factors": lambda self, L, R: self.forward(L @ R.T) + (L.shape[1] == 0)},
    "adjoint_operator is off": {"adjoint_operator": lambda self, y: self.adjoint(y + 1)},
    "adjoint_operator has shape": {"adjoint_operator": lambda self, y: self.adjoint(y)[:2]},
    "jacobian against finite": {"jacobian": lambda self, L, R: Dense.jacobian(self, L, R)[..., ::-1]},
    "products with 2 columns": {"products": lambda self, R: Dense.products(self, R)[:, ::-1]},
    "products has shape": {"products": lambda self, R: Dense.products(self, R).transpose(0, 2, 1)},
    "jacobian has shape": {"jacobian": lambda self, L, R: Dense.jacobian(self, L, R)[..., :3]},
    r"matrices\(\d, \d\)": {"matrices": lambda self, start=0, stop=None: self.tensor[::-1][start:stop]},
    "metric, the square of D1": {"metric": lambda self: tuple(Metric(2 * np.ones(d)) for d in self.shape)},
    r"take\(int64 array\)": {"take": lambda self, index: Dense(self.tensor[np.sort(self._positions(index))])},
    "merged, A = Q A'": {"merged": lambda self: (Dense(self.tensor[::-1]), np.eye(self.size))},
    "merged, Qᵀ Q = I": {"merged": lambda self: (Dense(self.tensor / 2), 2 * np.eye(self.size))},
    "congruence with full": {"congruence": lambda self, P1, P2: Dense(P1 @ self.tensor)},
    "as_linear_operator": {"as_linear_operator": lambda self: Dense(-self.tensor).as_linear_operator()},
}


@pytest.mark.parametrize("message", DENSE)
def test_check_measurement_names_what_is_wrong(message):
    with pytest.raises(AssertionError, match=message) as caught:
        check_measurement(_broken(Dense, **DENSE[message])(_dense()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: _broken(Dense, forward=_unconjugated)(_dense(complex)), "the adjoint identity"),
        (
            lambda: _broken(RankOne, forward_factors=lambda self, L, R: self.forward(L @ R.T))(
                *[_dense(complex)[0]] * 2
            ),
            "forward_factors",
        ),
        (
            lambda: _broken(RankOne, congruence=lambda self, P, Q: RankOne(self.left @ P, self.right @ Q))(
                *[_dense(complex)[0]] * 2
            ),
            "congruence with full matrices",
        ),
        (
            lambda: _broken(Dense, products=lambda self, R: Dense.products(self, R).conj())(_dense(complex)),
            "products with 2 columns",
        ),
        (
            lambda: _broken(Entries, curvature_blocks=_shifted_blocks)([0, 0, 1, 3], [0, 2, 2, 0], (4, 3)),
            "curvature_blocks at row",
        ),
        (
            lambda: _broken(Entries, normal_matrix=_normal_matrix_of_the_identity)(
                *np.indices((3, 3)).reshape(2, 9), (3, 3)
            ),
            "normal_matrix against finite differences",
        ),
        (
            lambda: _broken(Entries, gram_diagonals=lambda self: (np.ones(4), np.ones(3)))([0, 1], [0, 1], (4, 3)),
            "metric, the square of D1",
        ),
    ],
)
def test_check_measurement_in_complex_and_sparse_arithmetic(broken, message):
    with pytest.raises(AssertionError, match=message):
        check_measurement(broken())


@pytest.mark.parametrize("error", [1e-6, 1e-3])
def test_check_measurement_finds_small_mistakes(error):
    broken = _broken(Dense, adjoint=lambda self, y: Dense.adjoint(self, y) * (1 + error))
    with pytest.raises(AssertionError, match=r"the adjoint identity .* is off by .*e-0"):
        check_measurement(broken(_dense()))


class BlockMeans(Measurement):
    """The mean of every 2×2 block: all that a newcomer has to write."""

    def __init__(self, shape):
        self.shape, self.size, self.dtype = shape, shape[0] * shape[1] // 4, np.dtype(float)

    def forward(self, X):
        d1, d2 = self.shape
        return X.reshape(d1 // 2, 2, d2 // 2, 2).mean(axis=(1, 3)).ravel()

    def adjoint(self, y):
        return np.kron(y.reshape(self.shape[0] // 2, -1), np.full((2, 2), 0.25))


def test_a_newcomer_adds_a_measurement_in_one_file():
    A = BlockMeans((6, 4))
    check_measurement(A)
    b = A.forward(np.outer(np.arange(6.0), [1, 2, 3, 4]))
    s = fm.flat_minimum(fm.Problem(A, b))
    check_solution(s, fm.Problem(A, b))
    assert s.certificate.holds
    same = fm.flat_minimum(fm.Problem(Dense(A.matrices()), b))
    assert s.certificate.value == pytest.approx(same.certificate.value)
    np.testing.assert_allclose(s.matrix, np.kron(b.reshape(3, 2), np.ones((2, 2))), atol=1e-7)

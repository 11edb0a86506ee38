"""Linear operators of SciPy and PyLops as measurements, and what is refused."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import flatmin as fm
from flatmin.measurements import FromLinearOperator
from flatmin.testing import check_measurement

SHAPE = (5, 4)


def rows(m=30, width=20, seed=0):
    return np.random.default_rng(seed).standard_normal((m, width))


class WithDims:
    """An operator with the attributes of PyLops: its model has axes ``dims``."""

    def __init__(self, matrix, dims):
        self.matrix, self.dims, self.shape, self.dtype = matrix, dims, matrix.shape, matrix.dtype

    def matvec(self, x):
        return self.matrix @ x

    def rmatvec(self, y):
        return self.matrix.T @ y


def truth():
    rng = np.random.default_rng(1)
    return np.outer(rng.standard_normal(5), rng.standard_normal(4))


def test_dims_are_the_shape_of_the_matrix():
    A, X = WithDims(rows(), SHAPE), truth()
    problem = fm.Problem(A, A.matrix @ X.ravel())
    assert isinstance(problem.measurement, FromLinearOperator)
    check_measurement(problem.measurement)
    solution = fm.flat_minimum(problem)
    assert solution.status.certified
    np.testing.assert_allclose(solution.matrix, X, atol=1e-7)


@pytest.mark.parametrize("wrap", [csr_array, aslinearoperator])
@pytest.mark.parametrize("model", [fm.Gram, fm.SignedGram])
def test_square_models_know_the_shape(wrap, model):
    u, A = np.arange(1.0, 5), rows(20, 16).reshape(-1, 4, 4)
    A = (A + A.transpose(0, 2, 1)).reshape(-1, 16)
    problem = fm.Problem(wrap(A), A @ np.outer(u, u).ravel(), model())
    assert problem.shape == (4, 4)
    np.testing.assert_allclose(fm.flat_minimum(problem).matrix, np.outer(u, u), atol=1e-6)


def test_a_sparse_operator_of_known_shape_is_the_dense_measurement():
    rng = np.random.default_rng(0)
    sparse = csr_array(rng.standard_normal((15, 20)) * (rng.random((15, 20)) < 0.3))
    pair = FromLinearOperator(sparse, SHAPE), fm.measurements.Dense(sparse.toarray().reshape(15, *SHAPE))
    values = [fm.flat_minimum(fm.Problem(A, A.forward(truth()))).certificate.value for A in pair]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_pylops():
    pylops = pytest.importorskip("pylops")
    problem = fm.Problem(pylops.FirstDerivative(dims=SHAPE, axis=0), np.zeros(20))
    assert problem.shape == SHAPE
    check_measurement(problem.measurement)
    chain = pylops.Restriction(20, np.arange(0, 20, 2)) @ problem.measurement.op
    assert FromLinearOperator(chain, SHAPE).size == 10
    broken = type("Broken", (pylops.LinearOperator,), {"_matvec": lambda self, x: x})
    with pytest.raises(fm.InputError, match="expected one with rmatvec"):
        fm.Problem(broken(shape=(20, 20), dims=SHAPE, dimsd=SHAPE, dtype=float), np.zeros(20))


REFUSED = [
    (WithDims(rows(), (20,)), r"acts on 20 numbers and have 1 axes.*expected FromLinearOperator\(op, \(d1, d2\)\)"),
    (WithDims(rows(), (5, 3)), r"shape \(30, 20\), expected \(m, 15\)"),
    (csr_array(rows()), r"acts on 20 numbers, and the shape of the matrix is unknown"),
    (LinearOperator((30, 20), matvec=lambda x: np.ones(30), dtype=float), "the shape of the matrix is unknown"),
    ("text", "measurement is a str, expected a flatmin Measurement such as Dense, or a linear operator"),
    (rows(), "measurement is a ndarray, expected a flatmin Measurement"),
    (None, "measurement is a NoneType"),
]


@pytest.mark.parametrize(("op", "message"), REFUSED)
def test_refused(op, message):
    with pytest.raises(fm.InputError, match=message) as caught:
        fm.Problem(op, np.ones(30))
    assert "\n" not in str(caught.value)


def test_a_missing_adjoint_is_refused():
    forward_only = LinearOperator((30, 20), matvec=lambda x: rows() @ x, dtype=float)
    with pytest.raises(fm.InputError, match=r"no adjoint .* expected one with rmatvec"):
        fm.Problem(FromLinearOperator(forward_only, SHAPE), np.ones(30))


@pytest.mark.parametrize("change", [1e-5, 1.0])
def test_a_wrong_adjoint_is_found_and_check_measurement_is_named(change):
    wrong = rows() + change * rows(seed=2)
    op = LinearOperator((30, 20), matvec=lambda x: rows() @ x, rmatvec=lambda y: wrong.T @ y, dtype=float)
    A = FromLinearOperator(op, SHAPE)
    with pytest.raises(fm.InputError, match=r"differ by .*check_measurement\(FromLinearOperator\(op, \(5, 4\)\)\)"):
        fm.Problem(A, np.ones(30))
    with pytest.raises(AssertionError, match="adjoint identity"):
        check_measurement(A)


def test_products_that_fail_are_one_sentence():
    op = LinearOperator((30, 20), matvec=lambda x: x, rmatvec=lambda y: np.ones(20), dtype=float)
    with pytest.raises(fm.InputError, match="cannot be applied to 20 numbers"):
        fm.Problem(FromLinearOperator(op, SHAPE), np.ones(30))


def test_rounding_of_single_precision_is_no_wrong_adjoint():
    single = rows().astype(np.float32)
    op = LinearOperator((30, 20), lambda x: single @ x.astype("f4"), lambda y: single.T @ y.astype("f4"), dtype="f4")
    A = FromLinearOperator(op, SHAPE)
    assert 0 < A.adjoint_mismatch < 1e-6
    fm.Problem(A, np.ones(30))


def test_functions_may_be_written_for_vectors_only():
    def adjoint(y):
        assert y.shape == (30,)
        return rows().T @ y

    op = LinearOperator((30, 20), matvec=lambda x: rows() @ x, rmatvec=adjoint, dtype=float)
    check_measurement(FromLinearOperator(op, SHAPE))

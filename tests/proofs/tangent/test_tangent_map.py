"""The measured map on tangent spaces: injectivity, distances and least changes, against dense ones."""

import mpmath
import numpy as np
import pytest

import flatmin as fm
from flatmin.measurements import Entries
from flatmin.proofs.tangent import tangent_cells
from flatmin.proofs.tangent.tangent_cells import CellGram
from flatmin.proofs.tangent.tangent_map import TangentCells, TangentColumns, reach, tangent_map
from flatmin.proofs.whitening import WhitenedSolution
from tests.cones.samples import draw, hermitian

KINDS = ("sensing", "bilinear", "completion", "gram", "gram, complex", "signed")


def _problem(kind, rng):
    if kind == "sensing":
        return fm.families.matrix_sensing.sample((6, 5), 2, 40).problem
    if kind == "bilinear":
        return fm.families.bilinear_sensing.sample((6, 5), 2, 40).problem
    if kind == "completion":
        return fm.families.matrix_completion.sample((12, 9), 2, 85).problem
    dtype = complex if "complex" in kind else float
    A = fm.measurements.Dense(hermitian(rng, 40, 5, dtype))
    return fm.Problem(A, np.ones(40), fm.SignedGram() if kind == "signed" else fm.Gram())


@pytest.fixture(params=KINDS)
def known(request):
    """A point, the map on its tangent space, and orthonormal bases of the space and of its complement."""
    rng = np.random.default_rng(0)
    problem = _problem(request.param, rng)
    model, dtype = problem.parametrization, problem.measurement.dtype.type
    factors = tuple(draw(rng, F.shape, dtype) for F in model.random(problem.shape, 2, rng))
    point = WhitenedSolution.from_factors(problem, factors)
    U, _, V = (F[..., :2] for F in point.Z)
    return point, U, V, tangent_map(point, U, V), _basis(point, U, V, dtype)


def _basis(point, U, V, dtype):
    """Return orthonormal elements of the tangent space as rows, in real coordinates."""
    outside = [np.eye(len(F)) - F @ F.conj().T for F in (U, V)]
    rows = []
    for place in np.ndindex(*point.whitened.shape):
        for turn in (1, 1j) if dtype is complex or dtype is np.complex128 else (1,):
            E = np.zeros(point.whitened.shape, complex)
            E[place] = turn
            E = E + E.conj().T if point.cone.is_hermitian else E
            H = E - outside[0] @ E @ outside[1]
            rows.append(np.concatenate([H.real.ravel(), H.imag.ravel()]))
    _, s, Vt = np.linalg.svd(np.array(rows))
    half = Vt.shape[1] // 2
    found = [(row[:half] + 1j * row[half:]).reshape(point.whitened.shape) for row in Vt[: np.count_nonzero(s > 1e-9)]]
    return found if np.iscomplexobj(U) else [H.real for H in found]


def _coordinates(basis, M):
    return np.array([np.vdot(H, M).real for H in basis])


def test_injectivity_is_a_lower_bound_near_the_true_one(known):
    point, *_, tangent, basis = known
    true = np.linalg.svd(np.array([point.whitened.forward(H) for H in basis]).T, compute_uv=False)[-1]
    assert true > 0
    assert 0.85 * true <= tangent.injectivity <= true


def test_entries_are_not_made_dense(known):
    point, *_, tangent, _ = known
    is_table = isinstance(point.problem.measurement, fm.measurements.Entries)
    assert isinstance(tangent, TangentCells if is_table else TangentColumns)


@pytest.mark.parametrize("sign", [0.0, 1.0])
def test_distance_and_least_change(known, sign):
    point, U, V, tangent, basis = known
    dual = np.random.default_rng(1).standard_normal(point.whitened.size)
    lacking = _coordinates(basis, sign * U @ V.conj().T - point.whitened.adjoint(dual))
    assert tangent.distance(dual, sign) == pytest.approx(np.linalg.norm(lacking), rel=1e-9)
    assert tangent.distance(dual, sign) >= np.linalg.norm(lacking)
    change = tangent.least_change(dual, sign)
    columns = np.array([point.whitened.forward(H) for H in basis]).T
    np.testing.assert_allclose(change, np.linalg.lstsq(columns.T, lacking)[0], atol=1e-9 * np.linalg.norm(change))
    assert tangent.distance(dual + change, sign) <= 1e-10 * tangent.distance(dual, sign)


def test_dual_error_bounds_the_rounding_of_the_dual_matrix(known):
    """Against a sum in extended precision of the matrices as they are stored."""
    point, *_, tangent, _ = known
    dual = np.random.default_rng(2).standard_normal(point.whitened.size)
    W = [np.asarray(D.power(-1), np.clongdouble) for D in point.metric]
    exact = W[0] @ np.tensordot(np.asarray(dual, np.longdouble), point.problem.measurement.matrices(), 1) @ W[1]
    missed = float(np.sqrt(np.sum(np.abs(exact - point.whitened.adjoint(dual)) ** 2)))
    assert missed <= tangent.dual_error(dual) <= 1e-9 * np.linalg.norm(dual) * reach(point)


def test_a_metric_that_hides_the_answer_proves_nothing():
    """Rounding of the whitened map is counted: condition numbers of 1e9 on both sides leave nothing."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 6, 5)) * np.logspace(0, -9, 6)[:, None] * np.logspace(0, -9, 5)
    problem = fm.Problem(fm.measurements.Dense(A), np.ones(40))
    point = WhitenedSolution.from_factors(problem, (rng.standard_normal((6, 2)), rng.standard_normal((5, 2))))
    U, _, V = point.Z
    assert tangent_map(point, U, V).injectivity == 0.0


def test_no_map_where_there_are_fewer_measurements_than_dimensions():
    problem = fm.families.matrix_sensing.sample((6, 5), 2, 15).problem
    rng = np.random.default_rng(0)
    point = WhitenedSolution.from_factors(problem, (rng.standard_normal((6, 2)), rng.standard_normal((5, 2))))
    assert tangent_map(point, point.Z[0], point.Z[2]) is None


def _polar(F):
    """Return the polar factor of stored columns in many digits."""
    values, Q = mpmath.eigsy(F.T * F)
    return F * (Q * mpmath.diag([1 / mpmath.sqrt(w) for w in values]) * Q.T)


def _length(M):
    return mpmath.sqrt(sum(x * x for x in M))


@pytest.mark.parametrize("sign", [0.0, 1.0])
@pytest.mark.parametrize("skew", [0.0, 1e-6])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e8])
def test_distance_of_entries_holds_in_forty_digits(sign, skew, size):
    """Repeated entries whose parts cancel, and columns that are too short, are counted."""
    rng = np.random.default_rng(3)
    cells = np.repeat(rng.permutation(42)[:30], 4)
    entries = Entries(*np.divmod(cells, 6), (7, 6), rng.uniform(0.1, 10, 120))
    U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] * (1 - skew) for d in (7, 6))
    parts = rng.standard_normal((30, 2)) * size
    dual = np.column_stack([parts[:, 0], -parts[:, 0], parts[:, 1], -parts[:, 1]]).ravel() / entries.weights
    dual += 0.1 * rng.standard_normal(120)
    tangent = TangentCells(CellGram(entries, U, V))
    with mpmath.workdps(40):
        Y = mpmath.zeros(7, 6)
        for i, j, w, y in zip(entries.rows, entries.cols, entries.weights, dual, strict=True):
            Y[int(i), int(j)] += mpmath.mpf(float(w)) * mpmath.mpf(float(y))
        P, Q = (_polar(mpmath.matrix(F.tolist())) for F in (U, V))
        R = sign * P * Q.T - Y
        true = float(_length(R - (mpmath.eye(7) - P * P.T) * R * (mpmath.eye(6) - Q * Q.T)))
        computed = mpmath.matrix(entries.adjoint(dual).tolist())
        assert _length(computed - Y) <= tangent.dual_error(dual)
    assert true <= tangent.distance(dual, sign) <= true * (1 + 30 * skew) + 1e-12 * (1 + size)


def test_injectivity_of_entries_counts_columns_that_are_not_orthonormal(monkeypatch):
    """If all columns are too long, elements of the tangent space are shorter in their coordinates than they are."""
    rng = np.random.default_rng(0)
    entries = Entries(*np.divmod(np.arange(42), 6), (7, 6))
    U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] * (1 + 1e-2) for d in (7, 6))
    monkeypatch.setattr(tangent_cells, "SHARES", (1 - 1e-4,))
    monkeypatch.setattr(tangent_cells, "GAUGE", 1e6)
    found = CellGram.from_entries(entries, U, V).injectivity()
    assert 0.95 <= found <= 1  # all entries are seen

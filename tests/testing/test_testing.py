"""The public checks: right objects pass, and every kind of mistake is named."""

import dataclasses

import numpy as np
import pytest

import flatmin as fm
from flatmin.linalg.metric import Metric
from flatmin.measurements import Dense, Entries, Measurement, RankOne
from flatmin.testing import check_measurement, check_parametrization, check_solution


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


def _normal_matrix_of_the_identity(self, L, R, P):
    return Entries.normal_matrix(self, L, R, np.eye(len(P)))


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


def _gauss_newton(base, factor=1.0):
    return lambda self, w, A, D, *residual: factor * base.gauss_newton_trace(self, w, A, D)


def _lopsided(self, U, s, V, D):
    L, R = fm.Product.flattest(self, U, s, V, D)
    return 2 * L, R / 2


def _without_the_metric(self, U, s, V, D):
    return fm.Product.flattest(self, U, s, V, tuple(Metric(np.ones(len(F))) for F in (U, V)))


def _plain(self, w, D):
    return type(self).__base__.singular(self, w, tuple(Metric(np.ones(len(F))) for F in self.pair(w)))


def _single(self, w, shape):
    return tuple(F.astype(np.float32) for F in type(self).__base__.check(self, w, shape))


def _real_trace(self, w, A, D, residual):
    """Counts real coordinates only."""
    whole, plain = (f(self, w, A, D, *r) for f, r in ((fm.Gram.hessian_trace, [residual]), _GAUSS_NEWTON))
    return plain + (whole - plain) / (1 + np.iscomplexobj(w[0]))


def _all_plus(self, w, A, D, residual):
    """Columns that subtract bend the loss the other way; here they do not."""
    k = sum(self.signature(w))
    return self.gauss_newton_trace(w, A, D) + 4 * k / A.size * float(residual @ A.traces())


def _gram_of_both(self, w, D):
    """The fibre minimum of ``U₊ U₊ᵀ + U₋ U₋ᵀ``: wrong unless they are orthogonal in the metric."""
    return 8 * float(sum(np.linalg.norm(D[0] @ F) ** 2 for F in w))


_GAUSS_NEWTON = (fm.Gram.gauss_newton_trace, [])
ALIKE = {
    "width is": {"width": lambda self, factors: 3},
    "singular, U s V": {"singular": _plain},
    "balance is off": {"balance": lambda self, w: 1.0},
    "norm_excess is off": {"norm_excess": lambda self, w: 0.5},
    "float64": {"check": _single},
    "wrong shape": {"check": lambda self, w, shape: w},
}
BROKEN = [
    *((base, message, methods) for base in (fm.Product, fm.Gram, fm.SignedGram) for message, methods in ALIKE.items()),
    (fm.Product, "hessian_trace off the zero-loss", {"hessian_trace": _gauss_newton(fm.Product, 0.5)}),
    (fm.Product, "scaled_trace is off", {"scaled_trace": _gauss_newton(fm.Product)}),
    (
        fm.Product,
        "fibre_minimum is off",
        {"fibre_minimum": lambda self, w, D: 2 * fm.Product.fibre_minimum(self, w, D)},
    ),
    (fm.Product, "fibre_minimum at the flattest factors", {"flattest": _lopsided}),
    (fm.Product, "the matrix of the flattest", {"flattest": _without_the_metric}),
    (
        fm.Product,
        "gauss_newton_trace is off",
        {
            "gauss_newton_trace": lambda self, w, A, D: 1.0,
            "hessian_trace": lambda self, w, A, D, r: fm.Product.gauss_newton_trace(self, w, A, D),
        },
    ),
    (fm.Gram, "hessian_trace off the zero-loss", {"hessian_trace": _gauss_newton(fm.Gram)}),
    (fm.Gram, "hessian_trace off the zero-loss", {"hessian_trace": _real_trace}),
    (fm.Gram, "fibre_minimum is off", {"trace_factor": 4, "fibre_minimum": lambda self, w, D: 8.0}),
    (fm.SignedGram, "hessian_trace off the zero-loss", {"hessian_trace": _gauss_newton(fm.SignedGram)}),
    (fm.SignedGram, "hessian_trace off the zero-loss", {"hessian_trace": _all_plus}),
    (fm.SignedGram, "fibre_minimum is off", {"fibre_minimum": _gram_of_both}),
    (fm.Hadamard, "balance after a rotation", {"balance": lambda self, w: abs(w[0].sum())}),
    (fm.Hadamard, "norm_excess after a rotation", {"norm_excess": lambda self, w: abs(w[0].sum())}),
]


@pytest.mark.parametrize(("base", "message", "methods"), BROKEN)
def test_check_parametrization_names_what_is_wrong(base, message, methods):
    with pytest.raises(AssertionError, match=message) as caught:
        check_parametrization(_broken(base, **methods)())
    assert "\n" not in str(caught.value)


def test_check_parametrization_takes_a_problem():
    check_parametrization(fm.Problem(Dense(_dense()), np.ones(6)))
    with pytest.raises(AssertionError, match="width"):
        check_parametrization(fm.Problem(Dense(_dense()), np.ones(6), _broken(fm.Product, **ALIKE["width is"])()))


@pytest.fixture(scope="module")
def solved():
    p = fm.families.matrix_sensing.sample((5, 4), 1, 15).problem
    return p, fm.flat_minimum(p)


def _proof(**changes):
    return lambda s: dataclasses.replace(s, certificate=dataclasses.replace(s.certificate, **changes))


def _factor(change):
    return lambda s: dataclasses.replace(s, factors=(change(s.factors[0]), s.factors[1]))


INCONSISTENT = {
    "NaN": _factor(lambda L: L * np.nan),
    "columns, expected": lambda s: dataclasses.replace(s, factors=(s.factors[0], np.ones((4, 2)))),
    "an undetermined row or column is not zero": lambda s: dataclasses.replace(
        s, undetermined=(np.array([1]), np.array([], int))
    ),
    "relative_gap is off": _proof(relative_gap=1e-9, lower_bound=1.0),
    "holds is True, but": _proof(relative_residual=1e-3),
    "holds is True, but its gap, residual": _proof(whitened_residual=1e-3),
    "holds is False, but": _proof(holds=False),
    "holds is True, but its gap, residual and bound say False": _proof(bound_kind="estimated"),
    "is probabilistic, with failure_probability None": _proof(bound_kind="probabilistic"),
    "is probabilistic, with failure_probability 1e-06": _proof(margin_kind="probabilistic", failure_probability=1e-6),
    "but no bound is probabilistic": _proof(failure_probability=1e-11),
    "without a certificate that holds": _proof(holds=False, bound_kind="estimated"),
    "but unique is None": _proof(unique=None),
    "without a positive injectivity": _proof(injectivity=0.0),
    "below fibre_minimum": lambda s: dataclasses.replace(s, flatness=dataclasses.replace(s.flatness, scaled_trace=0.5)),
    "value is off": lambda s: dataclasses.replace(s, flatness=dataclasses.replace(s.flatness, fibre_minimum=0.5)),
}


@pytest.mark.parametrize("message", INCONSISTENT)
def test_check_solution_finds_contradictions(message, solved):
    check_solution(solved[1])
    with pytest.raises(AssertionError, match=message) as caught:
        check_solution(INCONSISTENT[message](solved[1]))
    assert "\n" not in str(caught.value)


FORGED = {
    "the relative residual is": _proof(relative_residual=1e-10),
    "value recomputed": _factor(lambda L: 0.999 * L),
    "above the proved bound": _proof(dual_norm=0.5),
    "less than the lower bound": lambda s: _proof(dual=0.5 * s.certificate.dual)(s),
    "the alternative is no other flat minimum": lambda s: _proof(alternative=s.factors)(s),
}


@pytest.mark.parametrize("message", FORGED)
def test_check_solution_recomputes_the_proof(message, solved):
    p, s = solved
    check_solution(s, p)
    forged = FORGED[message](s)
    if message == "value recomputed":  # a consistent forgery: the factors of another matrix, with its own residual
        residual = p.residual(forged.factors)
        forged = _proof(relative_residual=float(np.linalg.norm(residual) / np.linalg.norm(p.data)), holds=False)(forged)
        forged = dataclasses.replace(forged, status=fm.Status.not_certified)
        forged = _proof(unique=None)(forged)
    check_solution(forged)
    with pytest.raises(AssertionError, match=message):
        check_solution(forged, p)


def test_a_solution_of_another_problem_is_found_out(solved):
    other = fm.families.matrix_sensing.sample((5, 4), 1, 15, seed=9).problem
    with pytest.raises(AssertionError, match="Solution"):
        check_solution(solved[1], other)

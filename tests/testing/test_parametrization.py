"""Right parametrizations pass, and every kind of mistake is named."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.linalg.metric import Metric
from flatmin.measurements import Dense
from flatmin.testing import check_parametrization
from tests.testing.test_measurement import _broken, _dense


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

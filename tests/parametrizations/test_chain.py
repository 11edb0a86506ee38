"""``X = W_N ⋯ W_1``: its trace, and which layers are flattest."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import flatmin as fm
from flatmin.testing import check_parametrization
from tests import referee
from tests.referee import nuclear

SHAPE = (4, 3)


def _maps(seed=0):
    rng = np.random.default_rng(seed)
    d1, d2 = SHAPE
    return {
        "identity": fm.measurements.Identity(SHAPE),
        "dense": fm.measurements.Dense(rng.standard_normal((7, d1, d2))),
        "rank one": fm.measurements.RankOne(rng.standard_normal((7, d1)), rng.standard_normal((7, d2))),
        "entries": fm.measurements.Entries([0, 1, 2, 2, 3], [0, 1, 2, 2, 0], SHAPE, [1.0, 2.0, 1.0, 0.5, 1.0]),
        "operator": fm.measurements.FromLinearOperator(rng.standard_normal((7, d1 * d2)), SHAPE),
    }


def _layers(widths, seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    sizes = (shape[1], *widths, shape[0])
    return tuple(rng.standard_normal((a, b)) for b, a in pairwise(sizes))


@pytest.mark.parametrize("widths", [(3,), (2, 5), (3, 4, 3)])
def test_check_parametrization(widths):
    check_parametrization(fm.Chain(widths), seed=len(widths))


@pytest.mark.parametrize("wrong", ["gauss_newton_trace", "fibre_minimum", "flattest"])
def test_the_public_check_can_fail(wrong):
    class Wrong(fm.Chain):
        def _broken(self, *arguments):
            right = getattr(fm.Chain, wrong)(self, *arguments)
            if isinstance(right, tuple):
                return 2 * right[0], right[1] / 2, *right[2:]
            return None if right is None else 1.001 * right

    setattr(Wrong, wrong, Wrong._broken)
    with pytest.raises(AssertionError):
        check_parametrization(Wrong((3, 3)))


@pytest.mark.parametrize("name", list(_maps()))
@pytest.mark.parametrize("widths", [(2,), (2, 3)])
def test_trace_is_that_of_the_dense_hessian_at_any_point(name, widths):
    A = _maps()[name]
    tensor, layers = A.matrices(), _layers(widths)
    b = np.random.default_rng(1).standard_normal(A.size)
    ends = np.cumsum([W.size for W in layers])[:-1]

    def loss(theta):
        X = np.eye(SHAPE[1])
        for part, W in zip(np.split(theta, ends), layers, strict=True):
            X = part.reshape(W.shape) @ X
        return np.mean((np.tensordot(tensor, X, 2) - b) ** 2)

    x = np.concatenate([W.ravel() for W in layers])
    along = [lambda t, e=e: loss(x + t[0] * e) for e in np.eye(len(x))]
    diagonal = [referee.hessian(line, np.zeros(1))[0, 0] for line in along]
    f = fm.flatness(fm.Problem(A, b, fm.Chain(widths)), layers)
    assert f.hessian_trace == pytest.approx(np.sum(diagonal), rel=1e-6)
    assert f.hessian_trace == f.scaled_trace


@given(seed=st.integers(0, 99), widths=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_fibre_minimum_of_the_whole_matrix(seed, widths):
    layers = _layers(widths, seed)
    problem = fm.Problem(fm.measurements.Identity(SHAPE), np.zeros(12), fm.Chain(widths))
    model, N = problem.parametrization, len(widths) + 1
    X = model.matrix(layers)
    minimum = 2 * N / 12 * 12 ** (1 / N) * nuclear(X) ** (2 * (N - 1) / N)
    f = fm.flatness(problem, layers)
    assert f.fibre_minimum == pytest.approx(minimum)
    assert f.scaled_trace >= minimum * (1 - 1e-12)
    flat = model.flattest(*model.singular(layers, problem.metric), problem.metric)
    np.testing.assert_allclose(model.matrix(flat), X, atol=1e-8 * np.linalg.norm(X))
    assert fm.flatness(problem, flat).scaled_trace == pytest.approx(minimum)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("name", "widths"),
    [("identity", (2,)), ("identity", (2, 2)), ("identity", (3, 2)), ("dense", (2,)), ("dense", (3,))],
)
def test_no_layers_of_the_same_matrix_are_flatter(name, widths):
    """Minimise numerically over all layers with the same product, from random starts far from it."""
    shape, rng = (3, 2), np.random.default_rng(0)
    M = rng.standard_normal((3, 2))
    A = fm.measurements.Identity(shape) if name == "identity" else fm.measurements.Dense(rng.standard_normal((5, 3, 2)))
    problem = fm.Problem(A, A.forward(M), fm.Chain(widths))
    model = problem.parametrization
    start = _layers(widths, shape=shape)
    ends = np.cumsum([W.size for W in start])[:-1]
    D1, D2 = (np.asarray(D) for D in problem.metric)
    minimum = model.smallest_trace(nuclear(D1 @ M @ D2), problem.metric)

    def layers(theta):
        return tuple(p.reshape(W.shape) for p, W in zip(np.split(theta, ends), start, strict=True))

    same = {"type": "eq", "fun": lambda theta: (model.matrix(layers(theta)) - M).ravel()}
    found = []
    for seed in range(4):
        x = np.concatenate([W.ravel() for W in _layers(widths, seed, shape)])
        done = minimize(
            lambda theta: model.gauss_newton_trace(layers(theta), A, problem.metric),
            x,
            constraints=same,
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-12},
        )
        if np.linalg.norm(model.matrix(layers(done.x)) - M) < 1e-6:
            found.append(done.fun)
    assert min(found) == pytest.approx(minimum, rel=1e-5)
    assert min(found) >= minimum * (1 - 1e-5)


def test_two_layers_are_a_product():
    """``X = L Rᵀ`` with L = W_2, R = W_1ᵀ: the same Hessian trace, balance and norm excess, whatever is measured."""
    layers = _layers((2,))
    for A in _maps().values():
        chain = fm.flatness(fm.Problem(A, np.zeros(A.size), fm.Chain((2,))), layers)
        product = fm.flatness(fm.Problem(A, np.zeros(A.size)), (layers[1], layers[0].T))
        assert chain.hessian_trace == pytest.approx(product.hessian_trace)
        assert chain.fibre_minimum == pytest.approx(np.sqrt(12) * product.fibre_minimum)
        assert chain.balance == pytest.approx(product.balance)
        assert chain.norm_excess == pytest.approx(product.norm_excess)


def test_the_nuclear_norm_orders_matrices_at_every_depth():
    """The fibre minimum grows with the nuclear norm, so it picks the same matrix of a set whatever the depth."""
    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal(SHAPE) * rng.uniform(0.1, 3) for _ in range(30)]
    metric = fm.Chain((3, 3)).metric(fm.measurements.Identity(SHAPE))
    order = np.argsort([nuclear(X) for X in matrices])
    for widths in ((3,), (3, 3), (3, 3, 3, 3)):
        values = [fm.Chain(widths).smallest_trace(nuclear(X) / 12, metric) for X in matrices]
        np.testing.assert_array_equal(np.argsort(values), order)


def test_norm_minimal_layers():
    """Layers that share the singular values evenly have no norm excess and are balanced, but are not the flattest."""
    U, s, Vt = np.linalg.svd(np.random.default_rng(0).standard_normal(SHAPE), full_matrices=False)
    root = np.diag(s ** (1 / 3))
    layers = root @ Vt, root, U @ root
    f = fm.flatness(fm.Problem(fm.measurements.Identity(SHAPE), np.zeros(12), fm.Chain((3, 3))), layers)
    assert f.norm_excess == pytest.approx(0, abs=1e-12)
    assert f.balance == pytest.approx(0, abs=1e-12)
    assert f.scaled_trace > 1.001 * f.fibre_minimum


def test_layers_of_zero():
    problem = fm.Problem(fm.measurements.Identity(SHAPE), np.zeros(12), fm.Chain((2, 2)))
    zero = tuple(0 * W for W in _layers((2, 2)))
    f = fm.flatness(problem, zero)
    assert f.norm_excess == f.scaled_trace == f.fibre_minimum == f.balance == 0
    assert problem.parametrization.width(zero) == 0
    lopsided = (_layers((2, 2))[0], zero[1], _layers((2, 2))[2])
    assert fm.flatness(problem, lopsided).norm_excess == np.inf
    assert fm.flatness(problem, lopsided).scaled_trace > 0


def test_isotropic_maps_are_recognized():
    """The whole matrix, however often and in whatever basis it is measured; nothing else."""
    model, rng = fm.Chain((2, 2)), np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((12, 12)))[0].reshape(12, *SHAPE)
    rows, cols = np.divmod(np.arange(24) % 12, 3)
    for A, m_gamma in (
        (fm.measurements.Identity(SHAPE), 1),
        (fm.measurements.Dense(3 * basis), 9),
        (fm.measurements.Entries(rows, cols, SHAPE), 2),
        (fm.measurements.Entries(rows, cols, SHAPE, -2 * np.ones(24)), 8),
    ):
        assert model.isotropy(model.metric(A)) == pytest.approx(m_gamma / A.size)
        np.testing.assert_allclose(np.asarray(model.metric(A)[0]), np.asarray(A.metric()[0]), atol=1e-12)
    nearly = basis + 1e-6 * rng.standard_normal(basis.shape)
    for A in (
        fm.measurements.Dense(nearly),
        fm.measurements.Dense(basis[:-1]),
        fm.measurements.Entries(rows[:-1], cols[:-1], SHAPE),
        fm.measurements.Entries(np.arange(3), np.arange(3), (3, 3)),
    ):
        assert model.isotropy(model.metric(A)) is None


def test_what_has_no_formula_says_so():
    A = _maps()["dense"]
    layers = _layers((2, 2))
    problem = fm.Problem(A, np.zeros(7), fm.Chain((2, 2)))
    assert fm.flatness(problem, layers).fibre_minimum is None
    assert fm.flatness(problem, layers).scaled_trace > 0
    with pytest.raises(fm.InputError, match="not known for 3 layers and these measurements, expected two layers or"):
        problem.parametrization.flattest(*problem.parametrization.singular(layers, problem.metric), problem.metric)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((), "widths is empty, expected the width of at least one hidden layer"),
        ((0,), "widths contains 0, expected positive whole numbers"),
        ((2, -1), "widths contains -1"),
        ((2.5,), "widths contains 2.5"),
        ("ab", "widths"),
        (None, "widths"),
        ([[2]], "widths has shape"),
    ],
)
def test_bad_widths_are_refused(widths, message):
    with pytest.raises(fm.InputError, match=message):
        fm.Chain(widths)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        (np.ones((2, 3)), r"are 3 matrices \(W_1, …, W_3\)"),
        ((np.ones((2, 3)), np.ones((4, 2))), "are 3 matrices"),
        ((np.ones((4, 2)), np.ones((2, 2)), np.ones((2, 3))), r"W_1 has shape \(4, 2\), expected \(2, 3\)"),
        ((np.ones((2, 3)), np.ones((2, 2)), np.full((4, 2), np.inf)), "W_3 contains NaN or infinity"),
        ((np.ones((2, 3)), 1j * np.ones((2, 2)), np.ones((4, 2))), "W_2 is complex"),
    ],
)
def test_factors_that_do_not_fit_are_refused(factors, message):
    with pytest.raises(fm.InputError, match=message):
        fm.Chain((2, 2)).check(factors, SHAPE)


def test_settings_are_plain_numbers():
    assert fm.Chain(5) == fm.Chain([5]) == fm.Chain(np.array([5])) == fm.Chain((5,))
    assert vars(fm.Chain([np.int64(5), 4])) == {"widths": (5, 4)}
    assert fm.Chain((5, 4)).names == ("W_1", "W_2", "W_3")

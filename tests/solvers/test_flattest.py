"""The flatness gap: never negative, zero at the flat minimum, and the excess over the flattest value at every fit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flatmin as fm
from flatmin.solvers.flattest import ROUNDING_GAP

families = fm.families


def _unseen():
    """A completion problem without observations in the first row and the last column."""
    rng = np.random.default_rng(0)
    rows, cols = np.divmod(rng.choice(30, 22, replace=False), 5)
    L, R = rng.standard_normal((7, 1)), rng.standard_normal((6, 1))
    A = fm.measurements.Entries(rows + 1, cols, (7, 6))
    return fm.Problem(A, A.forward_factors(L, R))


def _gram():
    """Positive semidefinite, measured by matrices of full rank: flatness selects."""
    rng = np.random.default_rng(1)
    T = rng.standard_normal((12, 5, 5))
    A, U = fm.measurements.Dense(T + T.transpose(0, 2, 1)), rng.standard_normal((5, 1))
    return fm.Problem(A, A.forward_factors(U, U), fm.Gram())


def _network(depth):
    X = np.random.default_rng(2).standard_normal((5, 2)) @ np.random.default_rng(3).standard_normal((2, 4))
    return fm.Problem(fm.measurements.Identity((5, 4)), X.ravel(), fm.Chain((5,) * (depth - 1)))


def _sketched_network():
    product = families.matrix_sensing.sample((6, 5), 1, 25).problem
    return fm.Problem(product.measurement, product.data, fm.Chain((7,)))


PROBLEMS = {
    "sensing": families.matrix_sensing.sample((6, 5), 1, 25).problem,
    "sensing, few": families.matrix_sensing.sample((6, 5), 1, 9).problem,
    "bilinear": families.bilinear_sensing.sample((6, 5), 1, 25).problem,
    "completion": families.matrix_completion.sample((7, 6), 1, 30).problem,
    "completion, unseen rows": _unseen(),
    "covariance": families.covariance.sample(5, 1, 14).problem,
    "phase retrieval": families.phase_retrieval.sample(5, 1, 30).problem,
    "gram": _gram(),
    "network": families.quadratic_network.sample(6, (1, 1), 20).problem,
    "robust": families.robust_pca.sample((9, 8), 1).problem,
    "robust, missing": families.robust_pca.sample((9, 8), 1, 60).problem,
    "robust, tau": replace(families.robust_pca.sample((9, 8), 1).problem, loss=fm.losses.Absolute(tau=15.0)),
    "hadamard 2": families.sparse_regression.sample(8, 2, 6).problem,
    "hadamard 4": families.sparse_regression.sample(8, 2, 6, depth=4).problem,
    "chain 2": _network(2),
    "chain 3": _network(3),
    "chain 4": _network(4),
    "chain 2, sketched": _sketched_network(),
    "nothing": fm.Problem(fm.measurements.Identity((3, 2)), np.zeros(6)),
}
FLATTEST = {name: fm.Flattest.from_problem(problem) for name, problem in PROBLEMS.items()}
every = pytest.mark.parametrize("name", PROBLEMS)


def _draw(problem, width, scale, seed):
    rng, model = np.random.default_rng(seed), problem.parametrization
    factors = model.random(problem.shape, width, rng)
    if np.issubdtype(problem.measurement.dtype, np.complexfloating):
        factors = tuple(F + 1j * G for F, G in zip(factors, model.random(problem.shape, width, rng), strict=True))
    return tuple(scale * F for F in factors)


@pytest.mark.sampled(7)
@every
@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 7),
    size=st.floats(-6, 6),
    near=st.floats(0, 1),
    seed=st.integers(0, 10**6),
)
def test_never_negative(name, width, size, near, seed):
    """Random factors of all sizes, and points between them and the flat minimum."""
    flattest = FLATTEST[name]
    problem, flat = flattest.problem, flattest.solution.factors
    random = _draw(problem, width, 10.0**size, seed)
    assert flattest.gap(random) >= 0
    if isinstance(problem.parametrization, fm.Hadamard | fm.Chain):
        moved = tuple(F + near**8 * G for F, G in zip(flat, random, strict=True))
    else:
        moved = tuple(np.hstack([F, near**8 * G]) for F, G in zip(flat, random, strict=True))
    assert flattest.gap(moved) >= 0


@every
def test_zero_at_the_flat_minimum(name):
    flattest = FLATTEST[name]
    assert flattest.holds
    assert 0 <= flattest.gap(flattest.solution.factors) < 1e-8
    assert flattest.value == pytest.approx(flattest.solution.flatness.scaled_trace, rel=1e-8)


@pytest.mark.sampled(6)
@every
def test_no_less_than_above_the_flattest_fit_of_its_own_data(name):
    """``bound(b') ≤`` the certified flattest value for the data b' that a point fits: solved anew."""
    flattest, problem = FLATTEST[name], FLATTEST[name].problem
    factors = _draw(problem, 2, 1.0, seed=4)
    fitted = problem.data + problem.loss.misfit(problem.residual(problem.check(factors)))
    own = fm.Flattest.from_problem(replace(problem, data=fitted))
    assert own.holds
    trace = fm.flatness(problem, factors).scaled_trace
    value = flattest.value or 1.0
    assert trace >= own.value * (1 - 1e-9)
    assert flattest.gap(factors) * value >= trace - own.value - 1e-9 * trace


@pytest.mark.parametrize("name", [name for name in PROBLEMS if "chain" not in name and "hadamard" not in name])
def test_at_a_fit_it_is_the_excess_over_the_flattest_value(name):
    flattest = FLATTEST[name]
    problem, flat = flattest.problem, flattest.solution.factors
    factors = _refactored(flat, np.random.default_rng(5))
    excess = fm.flatness(problem, factors).scaled_trace / (flattest.value or np.inf) - (flattest.value > 0)
    assert flattest.gap(factors) == pytest.approx(excess, rel=1e-6, abs=1e-9)


def _refactored(flat, rng):
    """Return other factors of the same matrix."""
    k = flat[0].shape[1]
    if len(flat) == 2 and flat[1].shape[1] == k and len(flat[0]) != len(flat[1]):
        G = rng.standard_normal((k, k)) + 3 * np.eye(k)
        return flat[0] @ G, flat[1] @ np.linalg.inv(G).T
    Q = np.linalg.qr(rng.standard_normal((k, k)))[0]
    return (flat[0] @ Q, *flat[1:])


def test_the_formula_for_products_against_dense_algebra():
    flattest = FLATTEST["sensing, few"]
    problem, proof = flattest.problem, flattest.solution.certificate
    T, m, (d1, d2) = problem.measurement.matrices(), problem.measurement.size, problem.shape
    roots = [
        _power(np.einsum("mij,mkj->ik", T, T) / (m * d2), 0.5),
        _power(np.einsum("mij,mik->jk", T, T) / (m * d1), 0.5),
    ]
    S = np.linalg.inv(roots[0]) @ np.tensordot(proof.dual, T, 1) @ np.linalg.inv(roots[1])
    dual = proof.dual / max(1, np.linalg.norm(S, 2))
    L, R = _draw(problem, 5, 0.3, seed=6)
    trace = 2 * np.linalg.norm(roots[0] @ L) ** 2 + 2 * np.linalg.norm(roots[1] @ R) ** 2
    expected = (trace - 4 * dual @ np.tensordot(T, L @ R.T)) / (4 * dual @ problem.data)
    assert flattest.gap((L, R)) == pytest.approx(expected, rel=1e-10)
    assert flattest.value == pytest.approx(4 * dual @ problem.data, rel=1e-10)


def _power(S, exponent):
    values, Q = np.linalg.eigh(S)
    return (Q * values**exponent) @ Q.T


@pytest.mark.parametrize("name", ["covariance", "phase retrieval"])
def test_measured_by_vectors_every_point_is_as_flat_as_its_data_allow(name):
    flattest = FLATTEST[name]
    assert flattest.gap(_draw(flattest.problem, 3, 1.0, seed=7)) < 1e-12


@pytest.mark.parametrize("name", ["sensing", "network", "robust", "hadamard 4", "chain 3"])
def test_a_bound_that_is_too_high_shows(name):
    """Negative control: with a flattest value one per cent too high the gap of the flat minimum is negative."""
    flattest = FLATTEST[name]
    proof = flattest.solution.certificate
    wrong = replace(flattest.solution, certificate=replace(proof, lower_bound=1.01 * proof.lower_bound))
    assert replace(flattest, solution=wrong).gap(wrong.factors) == pytest.approx(1 / 1.01 - 1, rel=1e-6)


def test_a_dual_that_is_not_feasible_shows():
    """Negative control: a dual vector whose norm is not accounted for makes some gaps negative."""
    flattest = FLATTEST["sensing, few"]
    proof = flattest.solution.certificate
    noise = np.random.default_rng(0).standard_normal(len(proof.dual))
    wrong = proof.dual + 0.5 * np.linalg.norm(proof.dual) * noise
    claimed = replace(proof, dual=wrong, lower_bound=4 * flattest.problem.data @ wrong)
    claim = replace(flattest.solution, certificate=claimed)
    U, _, Vt = np.linalg.svd(flattest.problem.whitened.adjoint(wrong))
    D1, D2 = flattest.problem.metric
    point = D1.power(-1) @ U[:, :1], D2.power(-1) @ Vt[:1].T
    assert replace(flattest, solution=claim).gap(point) < -ROUNDING_GAP
    honest = fm.Flattest.from_problem(flattest.problem, claim)
    assert not honest.holds
    assert honest.value < flattest.value
    assert honest.gap(point) == pytest.approx(0, abs=1e-12)


def test_a_problem_with_a_weight_becomes_the_one_with_the_limit():
    problem, flattest = PROBLEMS["robust"], FLATTEST["robust"]
    assert flattest.problem.loss.tau == pytest.approx(np.abs(flattest.solution.sparse).sum())
    assert flattest.value == pytest.approx(4 * np.linalg.svd(flattest.solution.matrix)[1].sum(), rel=1e-9)
    assert fm.Flattest.from_problem(flattest.problem).value == pytest.approx(flattest.value, rel=1e-6)
    assert FLATTEST["robust, tau"].problem is PROBLEMS["robust, tau"]
    model = fm.flatness(flattest.problem, flattest.solution.factors)
    assert model.loss < 1e-20
    assert problem.loss.tau is None


def test_a_solution_at_hand_is_judged_anew():
    problem = PROBLEMS["sensing"]
    solution = fm.flat_minimum(problem)
    assert fm.Flattest.from_problem(problem, solution).value == fm.Flattest.from_problem(problem).value
    stranger = fm.flat_minimum(families.matrix_sensing.sample((6, 5), 1, 25, seed=9).problem)
    judged = fm.Flattest.from_problem(problem, stranger)
    assert not judged.holds
    assert 0 <= judged.value <= FLATTEST["sensing"].value
    assert judged.gap(_draw(problem, 3, 1.0, seed=8)) >= 0


def test_data_that_contradict_themselves():
    """No point fits; the value is a bound nonetheless, and it is not said to be reached."""
    sample = families.matrix_sensing.sample((4, 3), 1, 30, noise=0.5).problem
    flattest = fm.Flattest.from_problem(sample)
    assert not flattest.holds
    assert flattest.gap(_draw(sample, 3, 1.0, seed=8)) >= 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
@every
def test_a_diverged_point_has_an_infinite_gap(name, bad):
    flattest = FLATTEST[name]
    factors = _draw(flattest.problem, 2, 1.0, seed=1)
    assert flattest.gap((bad * factors[0], *(bad * F for F in factors[1:]))) == np.inf


def test_bad_arguments_are_sentences():
    problem, solution = PROBLEMS["sensing"], FLATTEST["sensing"].solution
    for wrong, message in [
        (lambda: fm.Flattest.from_problem(problem.data), "problem is a ndarray"),
        (lambda: fm.Flattest.from_problem(problem, solution.factors), "solution is a tuple"),
        (lambda: fm.Flattest.from_problem(problem, solution, tol=1e-6), "one or the other"),
        (lambda: fm.Flattest.from_problem(problem, alpha=0.1), "alpha is 0.1, expected its default 0.0"),
        (lambda: fm.Flattest.from_problem(problem, metric_power=0.5), "metric_power is 0.5, expected its default 1.0"),
        (
            lambda: fm.Flattest.from_problem(replace(problem, parametrization=fm.Chain((5, 5)))),
            "not known for 3 layers",
        ),
        (lambda: FLATTEST["sensing"].gap((np.ones((6, 2)), np.ones((5, 3)))), "shape"),
        (lambda: FLATTEST["sensing"].gap((np.full((7, 2), np.nan), np.ones((5, 2)))), "shape"),
        (lambda: FLATTEST["sensing"].gap("factors"), "pair"),
    ]:
        with pytest.raises(fm.InputError, match=message):
            wrong()


def test_the_gap_is_cheap():
    """One trace and one forward map: no decomposition of any kind."""
    flattest = FLATTEST["robust"]
    factors = _draw(flattest.problem, 3, 1.0, seed=1)
    flattest.gap(factors)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("svd", "eigh", "qr", "norm"):
            patch.setattr(np.linalg, name, None if name != "norm" else np.linalg.norm)
        assert flattest.gap(factors) > 0


def test_the_function_is_the_gap_to_the_certified_value():
    problem = PROBLEMS["sensing"]
    L, R = fm.flat_minimum(problem).factors
    assert fm.flatness_gap(problem, (L, R)) == pytest.approx(0.0, abs=1e-9)
    assert fm.flatness_gap(problem, (2 * L, R / 2)) == fm.Flattest.from_problem(problem).gap((2 * L, R / 2)) > 1
    with pytest.raises(fm.InputError):
        fm.flatness_gap(problem, (L[:-1], R))

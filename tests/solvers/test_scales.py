"""Data and measurements of every scale: a function works, with numbers and no NaN, or raises `InputError`."""

import warnings

import numpy as np
import pytest

import flatmin as fm

SCALES = [10.0**k for k in (-300, -152, -150, -110, -75, -5, 0, 5, 75, 110, 150, 152, 300)]
M = fm.measurements


def _models():
    """Return by name: the map at a scale, a matrix, the parametrization and the loss."""
    r = np.random.default_rng(0)
    A, X = r.standard_normal((14, 4, 3)), np.outer(r.standard_normal(4), r.standard_normal(3))
    left, right = r.standard_normal((14, 4)), r.standard_normal((14, 3))
    s, phases = r.standard_normal(4), np.exp(1j * np.arange(4))
    masks = r.standard_normal((5, 4)) + 1j * r.standard_normal((5, 4))
    square = A[:, :3, :3] + A[:, :3, :3].transpose(0, 2, 1)
    rows, cols = np.nonzero(r.random((6, 5)) < 0.8)
    Y = np.outer(r.standard_normal(6), r.standard_normal(5))
    sparse = np.zeros((8, 1))
    sparse[[2, 5], 0] = 1, -2
    vectors = r.standard_normal((5, 8))
    signal = np.outer(s * phases, (s * phases).conj())
    plain = fm.losses.Squared()
    return {
        "dense": (lambda c: M.Dense(c * A), X, fm.Product(), plain),
        "operator": (lambda c: M.FromLinearOperator(c * A.reshape(14, -1), (4, 3)), X, fm.Product(), plain),
        "bilinear": (lambda c: M.RankOne(c * left, right), X, fm.Product(), plain),
        "two layers": (lambda c: M.Dense(c * A), X, fm.Chain((3,)), plain),
        "covariance": (lambda c: M.RankOne(c * left), np.outer(s, s), fm.Gram(), plain),
        "complex": (lambda c: M.RankOne(c * left * phases), signal, fm.Gram(), plain),
        "coded": (lambda c: M.CodedDiffraction(c * masks), signal, fm.Gram(), plain),
        "signed": (lambda c: M.RankOne(c * left), np.outer(s, s) - np.eye(4), fm.SignedGram(), plain),
        "dense gram": (lambda c: M.Dense(c * square), np.outer(s[:3], s[:3]), fm.Gram(), plain),
        "entries": (lambda c: M.Entries(rows, cols, (6, 5), np.full(len(rows), c)), Y, fm.Product(), plain),
        "three layers": (lambda c: M.Identity((4, 3)), X, fm.Chain((3, 3)), plain),
        "two vectors": (lambda c: M.Dense(c * vectors), sparse, fm.Hadamard(2), plain),
        "three vectors": (lambda c: M.Dense(c * vectors), sparse, fm.Hadamard(3), plain),
        "gross errors": (lambda c: M.Identity((6, 5)), Y, fm.Product(), fm.losses.Absolute()),
    }


MODELS = _models()


def _numbers(solution):
    scalars = {**solution.certificate.scalars(), **vars(solution.flatness)}
    return {name: x for name, x in scalars.items() if isinstance(x, float)}


def _solve(problem, alpha):
    """Return a solution after a look at its numbers."""
    s = fm.flat_minimum(problem, alpha=alpha, max_iter=60, time_limit=5)
    assert not [name for name, x in _numbers(s).items() if np.isnan(x)]
    assert all(np.isfinite(F).all() for F in s.factors)
    assert repr(s)
    return s


def _calls(problem, s):
    """Return functions of a problem, and of its solution if there is one, that are to work or to refuse."""
    calls = [lambda: fm.alpha_max(problem), lambda: fm.reweighted_minimum(problem, max_iter=60, time_limit=5)]
    if s is None:
        return calls
    strength, dual = s.settings["alpha"], s.certificate.dual

    def scaled(size):
        return tuple(size * F for F in s.factors)

    calls += [
        lambda: fm.certify(problem, s.factors, dual, alpha=strength),
        lambda: fm.certify(problem, s.factors, 1e300 * dual, alpha=strength),
        lambda: fm.flat_minimum(problem, alpha=strength, warm_start=s, max_iter=5),
        lambda: fm.refit(problem, s, max_iter=20),
    ]
    for size in (1e-300, 1e150, 1e300):
        calls += [
            lambda size=size: fm.flatness(problem, scaled(size)),
            lambda size=size: fm.certify(problem, scaled(size), dual, alpha=strength),
            lambda size=size: fm.Flattest.from_problem(problem, s).gap(scaled(size)),
        ]
    return calls


def _pairs():
    for c in SCALES:
        for d in SCALES:
            if c == 1 or d == 1 or c == d or np.isclose(c * d, 1):
                yield c, d


@pytest.mark.sampled(60)
@pytest.mark.parametrize(("c", "d"), list(_pairs()))
@pytest.mark.parametrize("model", MODELS)
def test_every_scale_works_or_is_refused(model, c, d):
    make, X, parametrization, loss = MODELS[model]
    data = make(1.0).forward(X) * d
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            problem = fm.Problem(make(c), data, parametrization, loss)
        except fm.InputError:
            assert not 1e-74 < c < 1e74 or not 1e-150 < d < 1e150
            return
        for alpha in (0.0, 0.01, "auto", 0.01 * d, 1e-300, 5e-324, 1e152):
            refused, solution = [], None
            try:
                solution = _solve(problem, alpha)
            except fm.InputError as error:
                refused.append(str(error))
            for call in _calls(problem, solution):
                try:
                    call()
                except fm.InputError as error:
                    refused.append(str(error))
            assert "\n" not in "".join(refused)


@pytest.mark.parametrize("model", MODELS)
def test_ordinary_scales_are_solved_alike(model):
    make, X, parametrization, loss = MODELS[model]
    values = []
    for c, d in ((1.0, 1.0), (2.0**30, 2.0**60), (2.0**-40, 2.0**-50)):
        s = fm.flat_minimum(fm.Problem(make(c), make(1.0).forward(X) * d, parametrization, loss))
        values.append((s.certificate.holds, s.certificate.unique, s.rank))
    assert values[0] == values[1] == values[2]


def test_what_is_out_of_range_is_said():
    make, X, *_ = MODELS["dense"]
    b = make(1.0).forward(X)
    with pytest.raises(fm.InputError, match="so small that their squares vanish; scale them"):
        fm.flat_minimum(fm.Problem(make(1e-200), b))
    with pytest.raises(fm.InputError, match=r"the flattest value is of the order .*scale the data or the measurements"):
        fm.flat_minimum(fm.Problem(make(1e120), 1e120 * b))
    with pytest.raises(fm.InputError, match=r"alpha is 10\^-3\d\d times the value that balances loss and penalty"):
        fm.flat_minimum(fm.Problem(make(1.0), 1e100 * b), alpha=1e-250)
    s = fm.flat_minimum(fm.Problem(make(1.0), b))
    with pytest.raises(fm.InputError, match="so large that squares overflow"):
        fm.flatness(fm.Problem(make(1.0), b), (1e200 * s.factors[0], s.factors[1]))
    with pytest.raises(fm.InputError, match="extreme sizes"):
        fm.flat_minimum(fm.Problem(MODELS["two vectors"][0](1e100), 1e100 * np.ones(5), fm.Hadamard(2)))

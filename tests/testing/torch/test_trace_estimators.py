"""Liars are caught, each at what it lies about, and honest estimators pass; cases have the traces they state."""

import re
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import flatmin as fm
from flatmin.nn.spectrum.trace import operator_trace
from flatmin.testing.torch import TraceCase, TraceScore, check_trace_estimator, trace_cases

CASES = {case.name: case for case in trace_cases()}
FEW = [CASES[name] for name in ("similar", "power law 1/i", "both signs, decaying", "quadratic network")]
HONEST = partial(operator_trace, method="hutchinson")


def test_the_cases_have_the_traces_they_state():
    kinds = [torch.linalg.eigvalsh(case.operator) for case in CASES.values()]
    assert sum(bool(e[0] < -1e-9) for e in kinds) >= 5  # of both signs
    for case in CASES.values():
        assert case.operator.diagonal().sum().item() == pytest.approx(case.trace, rel=1e-12)
        assert (case.operator - case.operator.T).abs().max() == 0
        assert len(case.operator) > 60  # else it would be exact
        assert case.operator.diagonal().std() < 10 * case.operator.norm()
    assert trace_cases(80)[0].operator.shape == (80, 80)
    assert not torch.equal(trace_cases(80, 1)[0].operator, trace_cases(80)[0].operator)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace", "auto"])
def test_honest_estimators_pass(method):
    check = check_trace_estimator(partial(operator_trace, method=method), FEW, trials=150)
    assert check.holds, str(check)
    assert [score.name for score in check.scores] == [case.name for case in FEW]
    assert all(score.trials == 150 and score.products == 60 for score in check.scores)


def test_an_exact_estimator_is_not_blamed_for_covering_always():
    check = check_trace_estimator(partial(operator_trace, method="exact"), FEW[:1], max_products=150, trials=60)
    assert check.holds
    assert (check.scores[0].exact, check.scores[0].coverage, check.scores[0].error < 1e-9) == (1, 1, True)


def too_narrow(operator, **limits):
    found = HONEST(operator, **limits)
    return replace(found, interval=(found.value - found.std_error, found.value + found.std_error))


def too_wide(operator, **limits):
    found = HONEST(operator, **limits)
    return replace(found, interval=(found.value - 5 * found.std_error, found.value + 5 * found.std_error))


def biased(operator, **limits):
    found = HONEST(operator, **limits)
    shift = 0.5 * found.std_error
    return replace(found, value=found.value + shift, interval=(found.interval[0] + shift, found.interval[1] + shift))


def spends_in_secret(operator, max_products, seed):
    operator @ torch.ones(operator.shape[0], 5, dtype=operator.dtype)
    return HONEST(operator, max_products=max_products - 5, seed=seed)


def spends_too_much(operator, max_products, seed):
    return HONEST(operator, max_products=2 * max_products, seed=seed)


def boasts(operator, **limits):
    return replace(HONEST(operator, **limits), n_products=10)


def has_one_seed(operator, max_products, seed):
    return HONEST(operator, max_products=max_products, seed=3)


def never_repeats(operator, max_products, seed, counter=iter(range(10**9))):  # noqa: B008
    return HONEST(operator, max_products=max_products, seed=next(counter))


def breaks_down(operator, max_products, seed):
    found = HONEST(operator, max_products=max_products, seed=seed)
    return found if seed % 10 else replace(found, value=np.nan)


LIARS = {
    too_narrow: r"of 95 % intervals 0\.[67]. cover",
    too_wide: "too wide",
    biased: "there is a bias",
    spends_in_secret: "60 products were spent, 55 stated",
    spends_too_much: "120 products were spent, 60 were allowed",
    boasts: "60 products were spent, 10 stated",
    has_one_seed: "the seed is not used",
    never_repeats: "the same seed gives another result",
    breaks_down: "not finite",
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("liar", LIARS, ids=lambda f: f.__name__)
def test_liars_are_caught_at_what_they_lie_about(liar):
    case = CASES["product of factors"]
    check = check_trace_estimator(liar, [case], trials=1000 if liar is too_wide else 300)
    assert not check.holds
    assert any(check.faults[0].startswith(case.name) and re.search(LIARS[liar], f) for f in check.faults)
    assert check.scores[0].faults[0] in str(check)
    if liar is not has_one_seed:  # which is also biased, having one value
        assert len(check.faults) == 1


def test_student_intervals_of_the_spread_are_caught_where_one_eigenvalue_dominates():
    """What most code does: the mean plus or minus t times the sample's standard error."""

    def textbook(operator, max_products, seed):
        V = torch.randn(150, max_products, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        x = (V * (operator @ V)).sum(0)
        half = 2.0 * x.std().item() / max_products**0.5
        value = x.mean().item()
        return SimpleNamespace(value=value, interval=(value - half, value + half), n_products=max_products)

    check = check_trace_estimator(textbook, [CASES["similar"], CASES["rank one"]], max_products=12, trials=600)
    assert [bool(score.faults) for score in check.scores] == [False, True]


def test_any_operator_and_result_will_do():
    class Twice:
        shape, dtype, device = (90, 90), torch.float64, torch.device("cpu")

        def __matmul__(self, V):
            return 2 * V

    check = check_trace_estimator(HONEST, [TraceCase("twice", Twice(), 180.0)], trials=50)
    assert check.holds
    assert check.scores[0].exact == 1
    wrong = TraceScore.from_results("wrong", 179.0, [HONEST(Twice(), seed=s) for s in range(50)], [100] * 50, 0.01)
    assert len(wrong.faults) == 3  # coverage, bias, one value


@pytest.mark.parametrize(
    ("key", "value"),
    [("trials", 10), ("trials", 60.0), ("max_products", 0), ("seed", -1), ("level", 1), ("level", 2.0)],
)
def test_arguments_that_cannot_be_used(key, value):
    with pytest.raises(fm.InputError, match=f"{key} is"):
        check_trace_estimator(HONEST, FEW, **{key: value})


@pytest.mark.parametrize("cases", [[], [torch.eye(3)], "similar"])
def test_cases_that_are_none(cases):
    with pytest.raises(fm.InputError, match="TraceCase"):
        check_trace_estimator(HONEST, cases)


@pytest.mark.parametrize("result", [None, 3.0, SimpleNamespace(value=1, interval=(1, 2, 3), n_products=3)])
def test_results_that_are_none(result):
    with pytest.raises(fm.InputError, match="expected"):
        check_trace_estimator(lambda operator, **limits: result, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["hutchinson", "hutch++", "xtrace", "auto"])
def test_every_case_over_many_trials(method):
    check = check_trace_estimator(partial(operator_trace, method=method), trials=2000)
    assert check.holds, str(check)

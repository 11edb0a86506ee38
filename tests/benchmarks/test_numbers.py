"""Odd numbers get a finite answer or a refusal by one sentence from every estimator and every family."""

from itertools import product

import numpy as np
import pytest
from benchmarks import numbers


@pytest.mark.sampled(30)
@pytest.mark.parametrize(("name", "change"), list(product(numbers.ESTIMATORS, numbers.INPUTS)))
def test_an_estimator_answers_or_refuses(name, change):
    assert numbers.verdict_of_estimator(name, change) in ("yes", "no")


@pytest.mark.sampled(30)
@pytest.mark.parametrize(("name", "change"), list(product(numbers.FAMILIES, numbers.INPUTS)))
def test_a_family_answers_or_refuses(name, change):
    assert numbers.verdict_of_family(name, change) in ("yes", "no")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("TraceRegressor", "one NaN"),
        ("MatrixCompletion", "complex, imaginary part 0"),
        ("PairRegressor", "all equal"),
        ("PairRegressor", "float16"),
    ],
)
def test_what_once_was_a_page_of_data_or_a_warning(name, change):
    assert numbers.verdict_of_estimator(name, change) in ("yes", "no")


def test_faults_are_noticed(monkeypatch):
    for deed, said in (
        (lambda X: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda X: np.array([np.nan]), "the answer has NaN or infinity"),
        (lambda X: np.ones(1) / np.zeros(1), "RuntimeWarning: divide by zero encountered in divide"),
    ):
        monkeypatch.setattr(numbers.fm, "Problem", lambda *parts: parts)
        monkeypatch.setattr(numbers.fm, "flat_minimum", lambda *_, deed=deed: type("Found", (), {"matrix": deed(0)}))
        assert numbers.verdict_of_family("matrix-completion", "as it is") == said

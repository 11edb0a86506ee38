"""The experiment of a function: its parameters, title and version, and what is refused."""

from functools import partial

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.lab.functions.function_experiment import FunctionExperiment

GRID = {"rank": [1], "m": [5, 10]}


def recovers(rank, m, seed):
    """Recovery of toys.

    It is not shown.
    """
    return m > 10 * rank


def other(rank, m, seed):
    return m > 5 * rank


def experiment(function=recovers, grid=GRID, repetitions=2, seed=0, title="", kept=False):
    return FunctionExperiment.from_function(function, grid, repetitions, seed, title, kept)


def test_the_title_is_given_or_that_of_the_function():
    titles = [experiment(title="Mine"), experiment(), experiment(other), experiment(partial(other))]
    assert [each.title for each in titles] == ["Mine", "Recovery of toys", "other", "partial"]
    assert experiment(lambda rank, m, seed: True).title == "lambda"


def test_arrays_become_plain_values():
    cells = experiment(grid={"rank": np.array(["a", "b"]), "m": np.arange(2)}).cells
    assert cells == ({"rank": "a", "m": 0}, {"rank": "a", "m": 1}, {"rank": "b", "m": 0}, {"rank": "b", "m": 1})
    assert {type(value) for cell in cells for value in cell.values()} == {str, int}


def test_different_code_has_different_versions_in_a_store():
    assert experiment(kept=True).version != experiment(other, kept=True).version
    assert experiment().version == experiment(other).version == "in memory"


REFUSED = [
    ({"grid": {"rank": [1]}}, "the grid is 1 parameters, expected a mapping of two parameters"),
    ({"grid": [1, 2]}, "the grid is a list, expected a mapping"),
    ({"grid": {"rank": [1], "m": ["a"]}}, "'m' has values that are no numbers; put it first"),
    ({"grid": {"rank": [], "m": [1]}}, r"rank = \[\], expected a list of values"),
    ({"grid": {"rank": 3, "m": [1]}}, "rank = 3, expected a list of values"),
    ({"grid": {"rank": [1], "n": [1]}}, "cannot be called with the keywords rank, n, seed: "),
    ({"grid": {"rank": [1], "seed": [1]}}, "keyword argument 'seed'|keywords rank, seed"),
    ({"function": lambda rank, m: True}, "cannot be called with the keywords rank, m, seed"),
    ({"function": 3}, "cannot be called with the keywords"),
    ({"repetitions": 0}, "repetitions is 0"),
    ({"seed": -1}, "seed is -1"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_refused(change, message):
    with pytest.raises(InputError, match=message) as caught:
        experiment(**change)
    assert "\n" not in str(caught.value)

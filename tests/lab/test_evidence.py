"""Evidence: parts by parameters, metrics that are lists, and paired draws."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.lab import Evidence, Result, Trial
from tests.lab.experiments import recipe_of


def evidence_of(rows):
    """Return evidence of (parameters, seed, metrics)."""
    recipe = recipe_of(paired=("method",))
    return Evidence(recipe, [Result(Trial(parameters, 0, seed), metrics) for parameters, seed, metrics in rows])


ROWS = [
    ({"a": 1, "method": "x"}, 3, {"error": 1.0, "curve": [1.0, 2.0], "stage": ["start", "end"]}),
    ({"a": 1, "method": "y"}, 3, {"error": 4.0, "curve": [5.0, 7.0], "stage": ["start", "end"]}),
    ({"a": 2, "method": "x"}, 5, {"error": None, "curve": [9.0, None], "stage": ["start", "end"]}),
]


def test_parts_have_the_wanted_parameters():
    evidence = evidence_of(ROWS)
    assert len(evidence.select(method="x")) == 2
    assert len(evidence.select(a=[1, 2], method="y")) == 1
    assert evidence.levels("a") == [1, 2]
    assert [(key, len(part)) for key, part in evidence.split("a").items()] == [((1,), 2), ((2,), 1)]
    assert evidence.select(a=3).experiment.cells == evidence.experiment.cells


def test_lists_are_joined_and_missing_numbers_left_out():
    evidence = evidence_of(ROWS)
    assert evidence.values("error").tolist() == [1.0, 4.0]
    assert evidence.values("curve").tolist() == [1.0, 2.0, 5.0, 7.0, 9.0]


def test_pairs_share_a_draw():
    evidence = evidence_of(ROWS)
    np.testing.assert_array_equal(evidence.pairs("error", "method", "x", "y"), [[1.0, 4.0]])
    np.testing.assert_array_equal(evidence.pairs("curve", "method", "x", "y"), [[1.0, 5.0], [2.0, 7.0]])
    assert evidence.pairs("error", "method", "x", "z").shape == (0, 2)


@pytest.mark.parametrize("value", ["no", [1.0], {"a": 1}])
def test_pairs_of_other_values_than_numbers_are_one_sentence(value):
    """A report on a store that was changed by hand once ended with a traceback."""
    first, second, _ = ROWS
    curves = evidence_of([first, (*second[:2], {"curve": value})])
    with pytest.raises(InputError, match=r"^the metric 'curve' has other values than numbers, expected pairs: "):
        curves.pairs("curve", "method", "x", "y")


def test_draws_are_parts_by_seed():
    draws = evidence_of(ROWS).draws()
    assert {seed: [result.trial.parameters["method"] for result in part.results] for seed, part in draws.items()} == {
        3: ["x", "y"],
        5: ["x"],
    }


def test_lists_are_unrolled_into_results():
    rows = evidence_of(ROWS).unrolled("stage")
    assert len(rows) == 6
    assert rows.select(stage="end").values("curve").tolist() == [2.0, 7.0]
    assert rows.select(stage="end", method="y").values("error").tolist() == [4.0]


def test_failed_results_are_kept_apart():
    evidence = evidence_of(ROWS)
    failed = Result(Trial({"a": 9}, 0, 0), reason="no luck")
    both = Evidence(evidence.planned, [*evidence.results, failed])
    assert len(both) == 3
    assert both.failed == [failed]
    assert both.levels("a") == [1, 2]

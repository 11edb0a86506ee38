"""The fields of a summary, as JSON and as a table."""

import json

import numpy as np

import flatmin as fm
from flatmin import families
from flatmin.cli.recovery_summary import as_json, plain, print_table, summarize


def test_json_has_plain_types_and_no_infinity():
    fields = {"a": np.arange(2), "b": (np.float64(0.5), float("nan")), "c": {1: np.inf}, "d": np.bool_(True)}
    assert plain(fields) == {"a": [0, 1], "b": [0.5, None], "c": {"1": None}, "d": True}
    assert json.loads(as_json(fields))["b"] == [0.5, None]


def test_a_table_shows_missing_values_and_truth_values_as_words(capsys):
    print_table({"rank": 2, "holds": True, "radius": None, "gap": 1.23456789e-9})
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["rank", "2"],
        ["holds", "yes"],
        ["radius", "–"],
        ["gap", "1.23457e-09"],
    ]


def test_the_error_is_there_only_if_the_truth_is():
    family = families.find("matrix-sensing")
    instance = family.sample((5, 4), 1, 20)
    solution = fm.flat_minimum(instance.problem)
    assert summarize(family, instance.problem, solution, instance.truth)["relative_error"] < 1e-7
    without = summarize(family, instance.problem, solution, None)
    assert "relative_error" not in without
    assert (without["rank"], without["reweighted"], without["noise"]) == (1, None, None)

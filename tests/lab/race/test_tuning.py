"""How step sizes and strengths are chosen."""

import dataclasses

import numpy as np
import pytest

from flatmin.lab.race import competitors, race
from flatmin.lab.race.field import Lap
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.referee import Run
from flatmin.lab.race.tuning import chosen
from tests.lab.race.small_tasks import Plain, network, task


def runs(*scores):
    return {Lap("a", 0, float(2**i), None, 10): Run({}, {}, score, 0) for i, score in enumerate(scores)}


@pytest.mark.parametrize(
    ("scores", "enough", "step"),
    [
        ((1.0, 0.5, 0.001, 0.2), 0.0, 4),  # the smallest
        ((1.0, 0.5, 0.001, 0.2), 0.3, 8),  # the largest that is good enough
        ((1.0, 0.5, 0.503, 0.6), 0.0, 4),  # as good within one per cent
        ((1.0, 0.5, 0.506, 0.6), 0.0, 2),
        ((3.0, 2.0, np.inf, np.inf), 0.1, 2),  # none is good enough
        ((np.inf, np.inf, np.inf, np.inf), 1.0, 1),
    ],
)
def test_the_rule(scores, enough, step):
    assert chosen(runs(*scores), enough).step_size == step


def test_the_rule_holds_in_a_race_and_trials_are_not_scored():
    who, Plain.starts = Plain(steps=(1 / 64, 64.0)), []
    result = race(task(), [who], budget=80, seeds=2, trials=5)
    rows = result.tuning
    assert len(rows) == 5
    assert sum(row["chosen"] for row in rows) == 1
    assert all(row["gradients"] <= 20 for row in rows)
    ratios = np.diff(np.log([row["step_size"] for row in rows]))
    assert np.allclose(ratios, np.log(8))
    assert rows[-1]["diverged"]
    best = next(row for row in rows if row["chosen"])
    good = [row for row in rows if row["loss"] <= max(task().good_score, 1.01 * min(r["loss"] for r in rows))]
    assert best["step_size"] == max(row["step_size"] for row in good if not row["diverged"])
    assert {row["step_size"] for row in result.table} == {best["step_size"]}
    # Each entry starts twice, once to see what a step costs.
    seeds = [entry.seed for entry in who.starts]
    assert seeds == [1_000_000] * 10 + [0, 0, 1, 1]


def test_units_make_step_sizes_free_of_scale():
    small, large = task(), type(task())(rescaled(task().problem, 1000.0))
    for who in (Plain(), competitors.find("label-noise"), competitors.find("trace-penalty")):
        ratio = who.unit(small) / who.unit(large)
        assert ratio == pytest.approx(1000, rel=0.02)


def rescaled(problem, factor):
    return dataclasses.replace(problem, data=factor * problem.data)


def test_strengths_are_tuned_on_networks_in_as_many_trials():
    who = competitors.find("trace-penalty")
    on_network, on_factors = who.tuning_grid(network(), 6), who.tuning_grid(task(), 6)
    assert len(on_network) == len(on_factors) == 6
    assert {strength for _, strength in on_factors} == {who.strength}
    strengths = [strength for _, strength in on_network]
    assert np.allclose(sorted(strengths), who.strength * np.logspace(-2, 1, 6))
    steps = [step for step, _ in on_network]
    assert abs(np.corrcoef(np.log(steps), np.log(strengths))[0, 1]) < 0.7


def test_on_networks_the_validation_error_decides():
    result = race(network(), [Plain(), competitors.find("trace-penalty")], budget=60, seeds=1, trials=4)
    for name in ("plain", "trace-penalty"):
        rows = [row for row in result.tuning if row["competitor"] == name]
        best = next(row for row in rows if row["chosen"])
        assert best["score"] <= 1.01 * min(row["score"] for row in rows)


@pytest.mark.parametrize(
    "settings", [{"budget": 0}, {"trials": 0}, {"points": 1}, {"seeds": ()}, {"seeds": (1_000_000,)}]
)
def test_rules_that_cannot_be_kept_are_refused(settings):
    from flatmin.errors import InputError

    with pytest.raises(InputError, match="expected"):
        Protocol(**({"budget": 10, "seeds": (0,)} | settings))

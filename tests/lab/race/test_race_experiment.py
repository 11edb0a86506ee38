"""The race as an experiment: its trials, their order, and the choice of step sizes and strengths."""

import numpy as np
import pytest

from flatmin.lab.race import COLUMNS, competitors, race
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.race_experiment import RaceExperiment, RacePlan, best_trial, run_of
from flatmin.lab.runs.executors import compute
from flatmin.lab.runs.experiment import Trial
from tests.lab.race.small_tasks import Plain, network, task


def trials(*scores):
    return [(Trial({"step_size": float(2**i)}, 0, 0), score) for i, score in enumerate(scores)]


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
    assert best_trial(trials(*scores), enough).parameters["step_size"] == step


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


@pytest.mark.slow
def test_on_networks_the_validation_error_decides():
    result = race(network(), [Plain(), competitors.find("trace-penalty")], budget=60, seeds=1, trials=4)
    for name in ("plain", "trace-penalty"):
        rows = [row for row in result.tuning if row["competitor"] == name]
        best = next(row for row in rows if row["chosen"])
        assert best["score"] <= 1.01 * min(row["score"] for row in rows)


def experiment(**settings):
    who = [competitors.find(name) for name in ("sam", "gradient-descent-large")]
    protocol = Protocol(**({"budget": 20, "seeds": (3, 4), "trials": 2} | settings))
    return RaceExperiment.from_task(task(), {one.name: one for one in who}, protocol)


def test_trials_come_before_scored_runs_which_have_the_best_settings():
    made = experiment()
    plan, results = RacePlan(made), []
    tuning = plan.next([])
    assert [trial.seed for trial in tuning] == 4 * [made.cell.protocol.tuning_seed]
    assert [trial.parameters["competitor"] for trial in tuning] == 2 * ["sam"] + 2 * ["gradient-descent-large"]
    results += [compute(made.cell, trial) for trial in tuning]
    assert (plan.done(results), plan.total()) == (4, 8)
    scored = plan.next(results)
    assert [trial.seed for trial in scored] == [3, 4, 3, 4]
    best = {name: trial.parameters["step_size"] for name, trial in made.best(scores_of(results)).items()}
    assert all(trial.parameters["step_size"] == best[trial.parameters["competitor"]] for trial in scored)
    assert {trial.key for trial in scored} <= {made.trial(cell, 0).key for cell in made.cells}
    results += [compute(made.cell, trial) for trial in scored]
    assert plan.next(results) == []
    assert plan.done(results) == plan.total()


def scores_of(results):
    return {result.trial.key: run_of(result).score for result in results}


def test_a_result_keeps_the_whole_run():
    made = experiment()
    result = compute(made.cell, RacePlan(made).next([])[0])
    run = run_of(result)
    assert run.row["competitor"] == "sam"
    assert run.trajectory["loss"][-1] == run.row["loss"]
    assert set(run.row) == set(COLUMNS)


def test_the_version_is_that_of_task_and_rules_and_codes_are_parameters():
    made = experiment()
    assert experiment(budget=30, seeds=(1,)).version == made.version
    assert experiment(points=20).version != made.version
    other = RaceExperiment.from_task(task(1), made.cell.competitors, made.cell.protocol)
    assert other.version != made.version
    changed = RaceExperiment.from_task(
        task(), {"sam": made.cell.competitors["sam"].variant(title="other")}, made.cell.protocol
    )
    codes = [{cell["code"] for cell in each.cells if cell["competitor"] == "sam"} for each in (made, changed)]
    assert len(codes[0] | codes[1]) == 2

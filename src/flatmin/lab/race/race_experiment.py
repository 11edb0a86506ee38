"""The race as an experiment of the laboratory. Each trial is a run: tuning runs come first, scored runs follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from flatmin._version import __version__
from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.referee import Run, blame, judged_run
from flatmin.lab.race.tasks import Task
from flatmin.lab.race.tasks.task import digest
from flatmin.lab.runs.experiment import Experiment, Metrics, Parameters, Trial
from flatmin.lab.runs.store import Result

__all__ = ["RaceExperiment", "RacePlan", "best_trial", "run_of"]

#: Scores within this share of the smallest one count as equal, and the largest step size among them is chosen.
EQUAL_SCORES = 0.01
#: Names of metrics that are curves begin with this prefix.
CURVE = "curve of "
#: Names of metrics that belong to the slices of the loss at the end begin with this prefix.
SLICE = "slice: "


@dataclass(frozen=True)
class _RunCell:
    """The cell of a race: one run as a function of its parameters and its seed."""

    task: Task
    competitors: Mapping[str, Competitor]
    protocol: Protocol

    def __call__(self, parameters: Parameters, seed: int) -> Metrics:
        """Return row, score and curves of a run."""
        competitor = self.competitors[str(parameters["competitor"])]
        strength = cast(float | None, parameters.get("strength"))
        entry = Entry(self.task, seed, float(parameters["step_size"]), strength)
        run = judged_run(competitor, entry, self.protocol, int(parameters["budget"]))
        curves = {CURVE + name: values for name, values in run.trajectory.items()}
        slices = {SLICE + name: values for name, values in run.slices.items()}
        return {**run.row, **curves, **slices, "score": run.score}


def run_of(result: Result) -> Run:
    """Return the run of a result that did not fail."""
    metrics = dict(result.metrics)
    curves, slices = (
        {name.removeprefix(prefix): metrics.pop(name) for name in list(metrics) if name.startswith(prefix)}
        for prefix in (CURVE, SLICE)
    )
    score = metrics.pop("score")
    return Run(metrics, curves, score, slices)


@dataclass(frozen=True)
class RaceExperiment(Experiment):
    """The runs of a race as trials. The parameters are competitor, seed, step size, strength and budget.

    The version of the experiment changes with the task and the rules, and the parameters contain a digest of the
    competitor's code. So a store never mixes runs that differ in task, rules or code.
    """

    cell: _RunCell

    @classmethod
    def from_task(cls, task: Task, competitors: Mapping[str, Competitor], protocol: Protocol) -> RaceExperiment:
        """Return the experiment with all runs that the race may need."""
        return cls("race", "A race of training algorithms.", _RunCell(task, competitors, protocol), (), repetitions=1)

    @cached_property
    def version(self) -> str:
        """A digest of the task, the rules and the version of flatmin."""
        rules = self.cell.protocol
        return digest(self.cell.task.digest, rules.version, rules.points, rules.blow_up, __version__)

    @cached_property
    def tuning(self) -> dict[str, list[Trial]]:
        """The tuning runs of each competitor, with ascending step sizes."""
        rules = self.cell.protocol
        trials = {}
        for name, competitor in self.cell.competitors.items():
            with blame(competitor):
                settings = competitor.tuning_grid(self.cell.task, rules.trials)
            trials[name] = [self._run(name, *each, rules.tuning_budget, rules.tuning_seed) for each in settings]
        return trials

    def best(self, scores: Mapping[tuple[str, int], float]) -> dict[str, Trial]:
        """Return the best tuning run of each competitor, provided that all its tuning runs have a score."""
        return {
            name: best_trial([(trial, scores[trial.key]) for trial in trials], self.cell.task.good_score)
            for name, trials in self.tuning.items()
            if all(trial.key in scores for trial in trials)
        }

    def scored(self, chosen: Trial) -> list[Trial]:
        """Return the scored runs with the settings of a tuning run."""
        rules, settings = self.cell.protocol, chosen.parameters
        name, step_size = str(settings["competitor"]), float(settings["step_size"])
        strength = cast(float | None, settings.get("strength"))
        return [self._run(name, step_size, strength, rules.budget, seed) for seed in rules.seeds]

    @cached_property
    def cells(self) -> tuple[Parameters, ...]:
        """The parameters of all tuning runs, and of the scored runs with the settings of any of them."""
        trials = [trial for own in self.tuning.values() for trial in own]
        return tuple(each.parameters for trial in trials for each in (trial, *self.scored(trial)))

    def trial(self, parameters: Parameters, repetition: int) -> Trial:
        """Return the run of a cell, whose seed is one of the parameters."""
        return Trial(parameters, repetition, int(parameters["run_seed"]))

    def _run(self, name: str, step_size: float, strength: float | None, budget: int, seed: int) -> Trial:
        strengths = {} if strength is None else {"strength": strength}
        settings: Parameters = {"competitor": name, "code": self._codes[name], "step_size": step_size, **strengths}
        return self.trial({**settings, "budget": int(budget), "run_seed": int(seed)}, 0)

    @cached_property
    def _codes(self) -> dict[str, str]:
        """A digest of the code and the settings of each competitor."""
        return {name: digest(*competitor.facts) for name, competitor in self.cell.competitors.items()}


class RacePlan:
    """The plan of a race: all tuning runs, then the scored runs with the best settings of each competitor."""

    def __init__(self, experiment: RaceExperiment) -> None:
        self.experiment = experiment

    def next(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Return the missing tuning runs, or the missing scored runs once all tuning runs are there."""
        there = {result.trial.key for result in results}
        tuning = [trial for trials in self.experiment.tuning.values() for trial in trials]
        missing = [trial for trial in tuning if trial.key not in there]
        return missing or [trial for trial in self.scored(results) if trial.key not in there]

    def done(self, results: Sequence[Result]) -> int:
        """Return how many of the results are tuning runs, or scored runs with the best settings."""
        wanted = {trial.key for trials in self.experiment.tuning.values() for trial in trials}
        wanted |= {trial.key for trial in self.scored(results)}
        return sum(result.trial.key in wanted for result in results)

    def total(self) -> int:
        """Return the number of tuning runs and scored runs."""
        rules = self.experiment.cell.protocol
        return len(self.experiment.cell.competitors) * (rules.trials + len(rules.seeds))

    def scored(self, results: Sequence[Result]) -> list[Trial]:
        """Return the scored runs of the competitors whose tuning runs are all done."""
        scores = {result.trial.key: result.metrics["score"] for result in results if result.reason is None}
        return [run for trial in self.experiment.best(scores).values() for run in self.experiment.scored(trial)]


def best_trial(scored: Sequence[tuple[Trial, float]], good_score: float = 0.0) -> Trial:
    """Return the tuning run with the largest step size whose score is good, or equal to the smallest score.

    If all runs have diverged, it is the run with the smallest step size.
    """
    smallest = min(score for _, score in scored)
    if smallest == float("inf"):
        return min((trial for trial, _ in scored), key=_step_size)
    limit = max(good_score, smallest * (1 + EQUAL_SCORES))
    return max((trial for trial, score in scored if score <= limit), key=_step_size)


def _step_size(trial: Trial) -> Any:
    return trial.parameters["step_size"]

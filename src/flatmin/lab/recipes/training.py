"""Flatness and error over training algorithms.

Thirteen algorithms train the same instances with equal budgets (`flatmin.nn.race`), each from two starts. The flatness
gap is the excess of a run's trace over the certified minimum for the data that it fits. A run fits if its loss is at
most 1 % of that of the zero prediction; other runs are left out. docs/recipes.md has the instances.

Claim: over the algorithms that fit an instance, flatness gap and error are correlated: their rank correlation within an
instance is at least 0.5 on average, in sensing, bilinear sensing, completion and robust PCA, also among algorithms with
the same initial weights. On average it exceeds the 95 % quantile for shuffled errors. The gap is more strongly
correlated with the error than the remaining loss is. Of two runs of one algorithm, the flatter one has the smaller
error in most pairs. In covariance estimation and phase retrieval the gap of every run that did not diverge is 0 up to
rounding.

Refuted by: a mean correlation below 0.5, or one that shuffled errors reach; losses as strongly correlated with the
error; flatter runs of one algorithm with smaller errors in at most half of the pairs; or a gap that is not 0 where the
data determine the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from flatmin import families
from flatmin._core.arrays import Array
from flatmin.lab.claims import Claim, shared_level
from flatmin.lab.displays import CurvesDisplay, Display, ScatterDisplay
from flatmin.lab.evidence import Evidence
from flatmin.lab.rank_correlation import claim_of_instances, rank_correlation
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Metrics, Parameters, Trial
from flatmin.lab.runs.store import Result

if TYPE_CHECKING:
    from flatmin.lab.race import FactoredTask, RaceResult

__all__ = ["RECIPE", "judge", "show", "train"]

#: Number of step sizes that each algorithm tries; each of them may spend a quarter of the budget.
TRIALS = 4


@dataclass(frozen=True)
class _Model:
    """A family: the rank of its truth, measurements per degree of freedom, and whether data determine the trace."""

    words: str
    rank: int
    multiple: float | None
    determined: bool = False


MODELS = {
    "matrix-sensing": _Model("Gaussian sensing", 2, 2.5),
    "bilinear-sensing": _Model("bilinear sensing", 2, 2.5),
    "matrix-completion": _Model("completion", 2, 3.0),
    "robust-pca": _Model("robust PCA", 1, None),
    "covariance": _Model("covariance estimation", 2, 2.5, determined=True),
    "phase-retrieval": _Model("phase retrieval", 1, 4.0, determined=True),
}
#: Further arguments of `Family.sample`.
SETTINGS: dict[str, dict[str, Any]] = {"robust-pca": {"corruption": 0.05}}
#: The algorithms by kind: those with large initial weights that use only the loss, those with large initial weights
#: and a further term, and those with smaller initial weights.
KINDS = {
    "loss": ("adam", "gradient-descent-large", "large-step", "minibatch", "orthogonalized"),
    "more": ("noise-injection", "sam", "trace-penalty", "trace-penalty-decaying", "weight-decay"),
    "small": ("gradient-descent-medium", "gradient-descent-small", "scaled-gradient"),
}
KIND_WORDS = {"small": "from smaller weights", "more": "loss and flatness or norm", "loss": "loss alone"}
#: Algorithms for families whose data determine the trace.
FEW = ("adam", "gradient-descent-large", "gradient-descent-small", "trace-penalty-decaying", "weight-decay")
#: Algorithms whose courses are shown.
SHOWN = ("gradient-descent-large", "gradient-descent-medium", "gradient-descent-small", "trace-penalty-decaying")
#: Claimed lower limit of the correlation.
CORRELATION = 0.5
#: Number of shuffles of an instance's errors, for the null distribution.
SHUFFLES = 1000
#: Gaps and errors up to this count as rounding.
ROUNDING = 1e-9


def train(parameters: Parameters, seed: int) -> Metrics:
    """Return gap, error and loss of one algorithm on one instance, from two starts."""
    task, result = _raced(parameters, seed, [str(parameters["algorithm"])], 2)
    first, second = result.table
    return {
        "flatness_gap": first["flatness_gap"],
        "relative_error": first["relative_error"],
        "loss": first["loss"] / task.zero_loss,
        "fits": bool(first["loss"] <= task.fit_loss),
        "diverged": first["diverged"],
        "rank": first["rank"],
        "gradients": first["gradients"],
        "step_size": first["step_size"],
        "second_gap": second["flatness_gap"],
        "second_error": second["relative_error"],
        "second_fits": bool(second["loss"] <= task.fit_loss),
        "error_of_flattest": task.error(task.flattest.solution.factors),
        "certified": task.flattest.holds,
    }


def _raced(parameters: Parameters, seed: int, algorithms: list[str], runs: int) -> tuple[FactoredTask, RaceResult]:
    """Return the task of an instance, and the race of algorithms on it from a number of starts."""
    from flatmin.lab.race import FactoredTask, race
    from flatmin.nn.threads import one_torch_thread

    name, d = str(parameters["family"]), int(parameters["d"])
    model, settings = MODELS[name], SETTINGS.get(name, {})
    degrees = 2 * d - 1 if model.determined else model.rank * (2 * d - model.rank)
    m = None if model.multiple is None else round(model.multiple * degrees)
    # Not the seed of the instance, from which initial weights would equal numbers in the truth.
    seeds = range(seed + 1, seed + 1 + runs)
    with one_torch_thread():
        instance = families.find(name).sample((d, d), model.rank, m, seed=seed, **settings)
        task = FactoredTask(instance.problem, instance.truth)
        return task, race(task, algorithms, budget=int(parameters["budget"]), seeds=seeds, trials=TRIALS)


@dataclass(frozen=True)
class _Instance:
    """One instance, and the algorithms that fit it."""

    seed: int
    results: list[Result]

    def column(self, metric: str) -> Array:
        """Return a metric of all algorithms, with rounding errors replaced by one value."""
        return np.maximum([result.metrics[metric] for result in self.results], ROUNDING)

    def correlation(self, metric: str = "flatness_gap") -> float | None:
        """Return the rank correlation of a metric with the error."""
        return rank_correlation(self.column(metric), self.column("relative_error"))

    def begun_alike(self) -> float | None:
        """Return the correlation of the gap over algorithms with the same initial weights."""
        alike = [result for result in self.results if result.trial.parameters["kind"] != "small"]
        return _Instance(self.seed, alike).correlation()

    def shuffled(self) -> float | None:
        """Return the correlation of the gap with shuffled errors."""
        return None if self.correlation() is None else float(self._shuffles(1)[0])

    def beyond_chance(self) -> float | None:
        """Return the correlation minus the 95 % quantile of correlations with shuffled errors."""
        found = self.correlation()
        return None if found is None else found - float(np.quantile(self._shuffles(SHUFFLES), 0.95))

    def _shuffles(self, count: int) -> Array:
        """Return rank correlations of the gap with shuffled errors."""
        gaps, errors = (rankdata(self.column(name)) for name in ("flatness_gap", "relative_error"))
        orders = np.random.default_rng(self.seed).permuted(np.tile(errors - errors.mean(), (count, 1)), axis=1)
        return np.asarray(orders @ (gaps - gaps.mean()) / np.sqrt(len(gaps) ** 2 * gaps.var() * errors.var()))

    def lead(self) -> float | None:
        """Return the correlation of the gap with the error minus that of the loss with the error."""
        gap, loss = self.correlation(), self.correlation("loss")
        return None if gap is None or loss is None else gap - loss

    def agreement(self) -> float | None:
        """Return the share of algorithms whose flatter run has the smaller error; ties count half."""
        twice = _Instance(self.seed, [result for result in self.results if result.metrics["second_fits"]])
        if not twice.results:
            return None
        flatter = np.sign(twice.column("flatness_gap") - twice.column("second_gap"))
        better = np.sign(twice.column("relative_error") - twice.column("second_error"))
        return float(np.mean((1 + flatter * better) / 2))


def _instances(evidence: Evidence) -> Iterator[_Instance]:
    """Give the instances of one family, each with the results of the algorithms that fit it."""
    for seed, draw in evidence.draws().items():
        yield _Instance(seed, [result for result in draw.results if result.metrics["fits"]])


def judge(evidence: Evidence) -> list[Claim]:
    """Return two claims for each family, three over all (their intervals hold together with 95 %), and the gaps."""
    free = {name: list(_instances(evidence.select(family=name))) for name in MODELS if not MODELS[name].determined}
    everything = [instance for instances in free.values() for instance in instances]
    claim = partial(claim_of_instances, level=shared_level(2 * len(free) + 3))
    claims = []
    mean, exceeds = "in the mean over instances", "By how much the rank correlation of gap and error exceeds"
    for name, instances in free.items():
        text = f"In {MODELS[name].words}, the rank correlation of flatness gap and error over the algorithms that fit"
        same = f"{text} an instance and begin from the same weights, {mean}"
        claims += [
            claim(f"{text} an instance, {mean}", map(_Instance.correlation, instances), above=CORRELATION),
            claim(same, map(_Instance.begun_alike, instances), above=CORRELATION),
        ]
    for text, number, limit in (
        (f"{exceeds} what 95 of 100 shuffles of the errors of an instance stay below", _Instance.beyond_chance, 0.0),
        (f"{exceeds} that of loss and error", _Instance.lead, 0.0),
        ("The share of algorithms whose flatter run of two on an instance errs less", _Instance.agreement, 0.5),
    ):
        claims.append(claim(f"{text}, {mean} of the four families", map(number, everything), above=limit))
    return claims + [_without_gap(evidence, name) for name, model in MODELS.items() if model.determined]


def _without_gap(evidence: Evidence, name: str) -> Claim:
    """Return the claim that the gap of all runs of a family is 0."""
    runs = [result.metrics for result in evidence.select(family=name).results if not result.metrics["diverged"]]
    text = f"In {MODELS[name].words}, the largest flatness gap of a run that did not diverge"
    return Claim.from_largest(text, (metrics["flatness_gap"] for metrics in runs), below=ROUNDING)


def show(evidence: Evidence) -> list[Display]:
    """Return displays of error against gap, of the correlations, and of errors in families without a gap."""
    fitting = Evidence(evidence.experiment, [result for result in evidence.results if result.metrics["fits"]])
    error: dict[str, Any] = {"y": "relative_error", "y_label": "relative error", "x_log": True, "y_log": True}
    gap = error | {"x": "flatness_gap", "x_label": "flatness gap", "by": "kind", "labels": KIND_WORDS}
    gap["caption"] = "Each point is a run of one algorithm on one instance, among those that fit."
    figures: list[Display] = []
    for name, model in MODELS.items():
        part = fitting.select(family=name)
        if len(part) and not model.determined:
            figures.append(
                ScatterDisplay.from_evidence(part, name, f"Error against flatness gap in {model.words}", **gap)
            )
    correlations = _correlations(fitting)
    if len(correlations):
        title = "Rank correlation with the error, within instances"
        caption = "Each draw is an instance. Shuffled errors are the control."
        axes: dict[str, Any] = {"x": "family", "y": "correlation", "y_label": "rank correlation", "by": "of"}
        axes["reference"] = {"claimed": CORRELATION}
        figures.append(CurvesDisplay.from_evidence(correlations, "correlation", title, caption=caption, **axes))
    determined = fitting.select(family=[name for name, model in MODELS.items() if model.determined])
    if len(determined):
        title = "Where the data determine the trace: error against loss"
        axes = {"x": "loss", "x_label": "loss over that of no answer", "by": "family"}
        axes |= {"labels": {name: model.words for name, model in MODELS.items()}}
        caption = "The gap of all these runs is 0. They differ in their loss, that is, in how well they fit."
        figures.append(ScatterDisplay.from_evidence(determined, "no-gap", title, caption=caption, **axes, **error))
    shown = evidence.select(family="matrix-sensing", algorithm=list(SHOWN))
    return figures + (_of_one_draw(shown) if len(shown) else [])


def _of_one_draw(evidence: Evidence) -> list[Display]:
    """Return the courses of a few algorithms on the first instance, and the loss around their ends."""
    from flatmin.lab.race.page.pictures import pictures
    from flatmin.lab.race.page.ranking import Ranking

    parameters, algorithms = evidence.results[0].trial.parameters, evidence.levels("algorithm")
    _, result = _raced(parameters, min(evidence.draws()), algorithms, 1)
    return [replace(display, recipe=evidence.name) for display in pictures(Ranking(result))]


def _correlations(evidence: Evidence) -> Evidence:
    """Return the correlations of instances as results, by family and by the quantity correlated with the error."""
    numbers: dict[str, Callable[[_Instance], float | None]] = {
        "gap": _Instance.correlation,
        "gap, same start": _Instance.begun_alike,
        "loss": lambda instance: instance.correlation("loss"),
        "gap, shuffled": _Instance.shuffled,
    }
    results = [
        Result(Trial({"family": model.words, "of": of}, index, instance.seed), {"correlation": number(instance)})
        for name, model in MODELS.items()
        for index, instance in enumerate(_instances(evidence.select(family=name)))
        for of, number in numbers.items()
        if not model.determined and number(instance) is not None
    ]
    return Evidence(evidence.experiment, results)


def _resolve(parameters: Parameters) -> Parameters | None:
    """Return a combination if its algorithm is of its kind and is run on the family."""
    family, algorithm = str(parameters["family"]), parameters["algorithm"]
    there = algorithm in KINDS[str(parameters["kind"])] and not (MODELS[family].determined and algorithm not in FEW)
    # The loss of robust PCA is not a mean over samples, so there are no batches.
    return parameters if there and (family, algorithm) != ("robust-pca", "minibatch") else None


def _grid(names: Iterable[str], algorithms: Iterable[str], budget: int) -> tuple[dict[str, tuple[Any, ...]], ...]:
    block = {"family": tuple(names), "d": (16,), "kind": tuple(KINDS), "algorithm": tuple(algorithms)}
    return ({**block, "budget": (budget,)},)


RECIPE = Recipe(
    "training",
    __doc__,
    train,
    grid=_grid(MODELS, [name for names in KINDS.values() for name in names], 500),
    repetitions=8,
    quick={
        "grid": _grid(("matrix-sensing", "covariance"), ("gradient-descent-large", "gradient-descent-small"), 60),
        "repetitions": 1,
    },
    resolve=_resolve,
    paired=("algorithm", "kind"),
    needs="torch",
    judge=judge,
    show=show,
)

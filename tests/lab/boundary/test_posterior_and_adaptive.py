"""Intervals, boundaries and the choice of repetitions, on simulated data."""

import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from flatmin.errors import InputError
from flatmin.lab import Adaptive, PhaseMap, Result, Store, fit_boundary, sweep, wilson
from flatmin.lab.boundary.posterior import Posterior
from tests.lab import experiments as made


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (1, 2), (50, 1000)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_inverts_the_score_test(successes, trials, level):
    """The ends are where the score statistic equals the normal quantile."""
    z = norm.ppf((1 + level) / 2)
    share = successes / trials

    def score(p):
        return (share - p) ** 2 - z**2 * p * (1 - p) / trials

    low, high = wilson(successes, trials, level)
    assert low == pytest.approx(0 if successes == 0 else brentq(score, 1e-12, share - 1e-9), abs=1e-9)
    assert high == pytest.approx(1 if successes == trials else brentq(score, share + 1e-9, 1 - 1e-12), abs=1e-9)


def test_wilson_knows_nothing_without_trials_and_refuses_nonsense():
    assert [float(end) for end in wilson(0, 0)] == [0, 1]
    for successes, trials, level in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(InputError):
            wilson(successes, trials, level)


POINTS = np.linspace(1, 4, 16)


def simulated(rng, centre, width, trials=10):
    return rng.binomial(trials, 1 / (1 + np.exp(-(POINTS - centre) / width)))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("width", [0.02, 0.1, 0.3])
def test_the_band_covers_the_boundary_as_often_as_it_says(width):
    """Over boundaries that are equally likely, 95 of 100 bands cover; 90 to 99.5 is what 200 draws may show."""
    rng = np.random.default_rng(1)
    covered, errors, halves = [], [], []
    for centre in rng.uniform(1.5, 3.5, 200):
        found = fit_boundary(POINTS, simulated(rng, centre, width), 10)
        covered.append(found.low <= centre <= found.high)
        errors.append(found.value - centre)
        halves.append((found.high - found.low) / 2)
    assert 0.9 <= np.mean(covered) <= 0.995
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(200)
    assert np.std(errors) < np.mean(halves)


def test_a_jump_between_two_points_leaves_the_gap_open():
    successes = np.where(POINTS > 2.1, 10, 0)
    found = fit_boundary(POINTS, successes, 10)
    below, above = POINTS[POINTS < 2.1].max(), POINTS[POINTS > 2.1].min()
    assert below <= found.low < found.value < found.high <= above
    assert found.value == pytest.approx((below + above) / 2, abs=0.02)


def test_success_may_end_at_the_boundary():
    successes = np.where(POINTS < 2.1, 10, 0)
    falling = fit_boundary(POINTS, successes, 10, falling=True)
    rising = fit_boundary(POINTS, 10 - successes, 10)
    assert falling == rising


@pytest.mark.parametrize("share", [0, 10])
def test_a_column_without_a_boundary_says_so(share):
    found = fit_boundary(POINTS, np.full(16, share), 10)
    assert not found.inside
    assert found.value < 1.1 if share else found.value > 3.9


def test_one_point_has_no_boundary():
    with pytest.raises(InputError, match="from 1 different points, expected at least 2"):
        fit_boundary([1, 1], [0, 1], [1, 1])


def test_information_is_greatest_where_the_outcome_is_uncertain():
    successes = np.where(POINTS > 2.1, 5, 0)
    posterior = Posterior(POINTS, successes, np.full(16, 5))
    information = posterior.information(POINTS)
    assert 0 <= information.min() < 0.01 * information.max()
    assert abs(POINTS[np.argmax(information)] - 2.1) < 0.25


def test_information_is_what_a_trial_takes_off_the_uncertainty_on_average():
    """Against its definition: entropy of what is known before, less the mean of that after either outcome."""
    successes, trials = np.array([0, 1, 3]), np.array([3, 3, 3])
    points = np.array([1.0, 2.0, 3.0])

    def known(s, n):
        weights = np.exp(Posterior(points, s, n).likelihood)
        return weights / weights.sum()

    before = known(successes, trials)
    entropy = -np.sum(before * np.log(before))
    for i in range(3):
        one = np.eye(3, dtype=int)[i]
        after = [known(successes + one, trials + one), known(successes, trials + one)]
        # The chance of success from the normalisations: of likelihoods without binomial factors.
        up = np.exp(Posterior(points, successes + one, trials + one).likelihood).sum()
        p = up / np.exp(Posterior(points, successes, trials).likelihood).sum()
        left = sum(q * -np.sum(a * np.log(a)) for q, a in zip((p, 1 - p), after, strict=True))
        expected = Posterior(points, successes, trials).information(points)[i]
        assert expected == pytest.approx(entropy - left, rel=1e-6, abs=1e-9)


# Maps


def outcomes(recipe):
    return [Result(trial, made.is_shown(trial.parameters, trial.seed)) for trial in recipe.trials()]


def test_a_map_counts_by_column():
    recipe = made.mapped()
    results = outcomes(recipe)
    results[0] = Result(results[0].trial, {}, reason="broken")
    columns = PhaseMap(recipe, results).columns
    assert [column.parameters for column in columns] == [{"d": d} for d in (40, 60, 80, 100)]
    assert sum(sum(column.trials) for column in columns) == len(results) - 1
    column = columns[2]
    for m, s, n in zip(column.along, column.successes, column.trials, strict=True):
        cell = [r for r in results if r.trial.parameters == {"d": 80, "m": m} and r.reason is None]
        assert (s, n) == (sum(r.metrics["success"] for r in cell), len(cell))
    assert column.points == pytest.approx(np.array(column.along) / 80)


def test_one_constant_for_all_columns():
    recipe = made.mapped()
    phase_map = PhaseMap(recipe, outcomes(recipe))
    pooled, one = phase_map.constant(), phase_map.constant(d=60)
    assert pooled.low <= 2 <= pooled.high
    assert pooled.high - pooled.low < 0.7 * (one.high - one.low)
    assert pooled.trials == 800
    assert one.value == pytest.approx(phase_map.columns[1].posterior.boundary().value, abs=0.01)
    with pytest.raises(InputError, match="no column of the map has these parameters"):
        phase_map.constant(d=5)


def test_a_recipe_without_a_transition_has_no_map():
    for make in (lambda recipe: PhaseMap(recipe, []), Adaptive):
        with pytest.raises(InputError, match="expected"):
            make(made.recipe_of())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_adaptive_boundary_agrees_with_the_full_grid_at_a_third_of_the_cost(tmp_path, seed):
    recipe = made.mapped(seed=seed)
    with Store(tmp_path / "full.db") as store:
        full = sweep(recipe, store).results
    with Store(tmp_path / "adaptive.db") as store:
        outcome = sweep(recipe, store, plan=Adaptive(recipe))
    assert outcome.complete
    few = outcome.results
    assert len(few) <= len(full) / 3
    outcomes_of = {r.trial.key: r.metrics for r in full}
    assert all(outcomes_of[r.trial.key] == r.metrics for r in few)
    pairs = list(zip(PhaseMap(recipe, full).columns, PhaseMap(recipe, few).columns, strict=True))
    for whole, part in ((a.posterior.boundary(), b.posterior.boundary()) for a, b in pairs):
        assert part.low <= whole.value <= part.high
        assert whole.low <= part.value <= whole.high
    whole, part = PhaseMap(recipe, full).constant(), PhaseMap(recipe, few).constant()
    assert part.value == pytest.approx(whole.value, abs=0.03)
    assert part.high - part.low < 1.5 * (whole.high - whole.low)


@pytest.mark.slow
def test_a_third_spread_evenly_is_worse_than_a_third_well_chosen(tmp_path):
    """What makes the difference is the choice: the first three repetitions of the grid leave wider bands."""
    recipe = made.mapped(seed=11)
    with Store(tmp_path / "adaptive.db") as store:
        chosen = sweep(recipe, store, plan=Adaptive(recipe, precision=0)).results
    even = [result for result in outcomes(recipe) if result.trial.repetition < 3]
    assert len(chosen) <= 1.12 * len(even)
    bands = [
        np.mean([c.posterior.boundary().high - c.posterior.boundary().low for c in PhaseMap(recipe, results).columns])
        for results in (chosen, even)
    ]
    assert bands[0] < 0.85 * bands[1]


def test_an_adaptive_sweep_stops_when_bands_are_narrow(tmp_path):
    recipe = made.mapped()
    with Store(tmp_path / "trials.db") as store:
        rough = len(sweep(recipe, store, plan=Adaptive(recipe, precision=0.1)).results)
        states = []
        fine = sweep(recipe, store, plan=Adaptive(recipe, precision=0.02), callback=states.append)
    assert rough < 0.6 * len(fine.results)
    for column in PhaseMap(recipe, fine.results).columns:
        found = column.posterior.boundary()
        full = sum(column.trials) >= int(200 / 3) - 1
        assert full or (found.inside and found.high - found.low <= 0.04 * found.value)
    assert states[-1]["done"] == len(fine.results) <= states[-1]["total"] == 4 * 66


@pytest.mark.sampled(1)
@pytest.mark.parametrize("stops", [(1,), (7, 20, 21, 100), (50,)])
def test_an_adaptive_sweep_that_was_interrupted_makes_the_same_trials(tmp_path, stops):
    recipe = made.mapped(repetitions=6)
    with Store(tmp_path / "whole.db") as store:
        whole = sweep(recipe, store, plan=Adaptive(recipe)).results
    with Store(tmp_path / "parts.db") as store:
        for count in stops:
            stop = threading.Event()
            before = len(store.results(recipe))

            def watch(state, stop=stop, left=count - before):
                if state["computed"] == left:
                    stop.set()

            outcome = sweep(recipe, store, plan=Adaptive(recipe), stop=stop, callback=watch)
            assert len(outcome.results) == count
            assert not outcome.complete
        parts = sweep(recipe, store, plan=Adaptive(recipe)).results
    assert {r.trial.key for r in parts} == {r.trial.key for r in whole}


def test_an_adaptive_sweep_counts_its_own_trials_beside_others(tmp_path):
    """In a store with another part of the full grid: the same trials are chosen, and they are what is counted."""
    recipe = made.mapped(repetitions=6)
    with Store(tmp_path / "alone.db") as store:
        alone = sweep(recipe, store, plan=Adaptive(recipe)).results
    with Store(tmp_path / "beside.db") as store:
        sweep(replace(recipe, repetitions=2), store)
        states = []
        sweep(recipe, store, plan=Adaptive(recipe), callback=states.append)
        beside = store.of_the_grid(recipe)
    assert {r.trial.key for r in alone} <= {r.trial.key for r in beside}
    assert len(alone) < len(beside)
    assert states[-1]["done"] == len(alone)


def test_a_column_of_one_cell_gets_its_share(tmp_path):
    recipe = made.mapped(grid=[{"d": [40], "m": [80]}], repetitions=9)
    with Store(tmp_path / "trials.db") as store:
        assert len(sweep(recipe, store, plan=Adaptive(recipe)).results) == 3


@pytest.mark.parametrize("arguments", [{"share": 0}, {"share": 1.5}, {"precision": -1}, {"at_once": 0}])
def test_arguments_out_of_range(arguments):
    with pytest.raises(InputError, match=re.escape("expected ≤ 1, ≥ 0, ≥ 1")):
        Adaptive(made.mapped(), **arguments)

"""Settings of experiments: grid, trials, machines and failures."""

from __future__ import annotations

from dataclasses import replace

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.pages.findings import Finding
from flatmin.lab.pages.page import experiments_page
from flatmin.lab.pages.settings import settings_of, size_of
from tests.lab.findings import EVIL, check, of_curves, of_map, of_nothing


def test_an_unfinished_sweep_says_so_and_how_much_is_there():
    curves = of_curves()
    few = Evidence(curves.planned, [*curves.results[:7], *curves.failed[:2]])
    page = experiments_page([Finding.from_evidence(few), Finding.from_evidence(of_nothing())])
    assert page.verdict.advice.startswith(
        "Only a part of the grid has been computed: curves (9 of 45 trials). Verdicts may change with the others. "
    )
    assert page.sections[0].overview.lines[0].cells[1] == "9 of 45 trials"
    assert "All numbers are from 9 of 45 trials; 2 failed." in page.sections[1].parts[0].prose
    stranger = curves.experiment.trial({"method": "flat", "noise": 7.0}, 0)
    beyond = Evidence(curves.planned, [*few.results, Result(stranger, {"error": 1.0, "gap": 1.0})])
    assert size_of(beyond) == "8 trials, 7 of the grid's 45"


def test_settings_name_the_grid_the_trials_and_the_machines(html):
    text = check(html)
    facts = [fact.value for fact in settings_of(of_curves()) if fact.name in ("Cells", "Seeds")]
    assert facts == ["9", "15"]
    for part in (
        "Parameter d 40, 60, 80, 100",
        "Parameter m 40 to 400 (78 values)",
        "Repetitions Trials of each cell. 4",
        "Seeds Different random draws. Equal for every method",
        "Trials 41 done, 4 failed. 45",
        "Store a.db and b.db",
        "In several stores Each counts once. 4 trials",
        "Computed 2023-11-14 to 2024-03-09",
        "Python 3.11 (300 trials) and not noted (2 trials)",
        "Other sources Computed with another state of flatmin's source than today's. 302 trials",
        f"trials of other versions are left out. {of_map().experiment.version}",
    ):
        assert part in text


def test_the_part_of_the_full_grid_is_that_of_the_recipe_that_is_known():
    recipe = recipes.find("figure-3")
    trials = list(recipe.trials())
    stranger = recipe.trial({"panel": "sensing", "method": "flat", "d": 11, "rank": 2, "m": 99}, 0)
    results = [Result(trial, {"success": True, "error": 0.0}) for trial in [*trials[:50], stranger]]
    page = experiments_page([replace(Finding.from_evidence(Evidence(recipe, results)), displays=())])
    facts = {fact.name: fact.value for fact in page.sections[0].parts[1].facts}
    assert facts["Part of the full grid"] == f"50 of {len(trials)}"
    assert "Part of the full grid" not in str(
        experiments_page([Finding.from_evidence(of_nothing())]).sections[0].parts[1].facts
    )


def test_failures_stand_with_their_reasons_and_how_often(html):
    text = check(html)
    assert "4 trials of 45 failed, for 1 reason." in text
    assert f"{EVIL} 4 trials method " in text
    assert "2 trials of 2 failed, for 1 reason." in text
    assert "MemoryError: no memory 2 trials a " in text

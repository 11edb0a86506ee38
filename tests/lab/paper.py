"""Made-up results of the paper's recipes: as theory has them, and changed in one way."""

from dataclasses import replace

import numpy as np

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import depth, figure_3
from flatmin.lab.recipes._recovery import degrees


def evidence_of(name, metrics, *, repetitions=10, chosen=lambda cell: True):
    """Return evidence whose metrics are a function of the cell and of a number from 0 to 1 that the draw has."""
    recipe = recipes.find(name)
    grid = [{key: [value] for key, value in cell.items()} for cell in recipe.cells if chosen(cell)]
    recipe = replace(recipe, grid=grid, repetitions=repetitions)
    results = [Result(trial, metrics(trial.parameters, random(trial.seed))) for trial in recipe.trials()]
    return Evidence(recipe, results)


def random(seed):
    return np.random.default_rng(seed).random()


def verdicts(evidence, words):
    return [claim.verdict for claim in evidence.experiment.judge(evidence) if words in claim.text]


def set_in(boundary, x, chance, width=0.02):
    """Return whether a draw succeeds, at x of a boundary that is so much sharp."""
    return bool(chance < 1 / (1 + np.exp(-np.clip((x / boundary - 1) / width, -50, 50))))


def of_figure_3(
    shift=0.0, growth=0.0, factor=1.0, certified="unique_flat_minimum", lost=0.0, off=0.0, width=0.02, uncertified=0.0
):
    """Return what is found if recovery sets in at the statistical dimension, changed in one way."""

    def metrics(cell, chance):
        boundary = factor * figure_3.predicted(cell) * (cell["d"] / 10) ** growth + off * cell["d"]
        if cell["method"] == "flat":
            boundary += shift * degrees(figure_3.PANELS[cell["panel"]][0], cell["d"], cell["rank"])
        success = set_in(boundary, cell["m"], chance, width) and chance * 0.999 >= lost
        return {"success": success, "solved": certified if chance >= uncertified else "not_certified"}

    return metrics


def at_c(c, width=0.03):
    """Return what is found if success sets in at so many measurements, in degrees, at each dimension."""

    def metrics(cell, chance):
        degrees = figure_3._scale(cell)
        return {"success": set_in(c(cell["d"]) * degrees, cell["m"], chance, width), "solved": "unique_flat_minimum"}

    return metrics


def sensing(cell):
    return cell["panel"] in ("sensing", "bilinear") and cell["d"] in (10, 20, 30, 40)


def of_figure_4(balance=-0.5, excess=-1.0, beyond=0.0, certified="flat_minimum", noise=1.0):
    """Return what is found if gaps fall as chance says, in completion to nothing where every cell is seen."""

    def metrics(cell, chance):
        m, chance = cell["m"], noise * (chance - 0.5)
        left = 1 - m / cell["d"] ** 2 if cell["panel"] == "completion" else 1.0
        gap = 0.5 * m**balance * left**0.5 * np.exp(chance)
        return {
            "norm_excess": m**excess * left * np.exp(chance) + beyond,
            "balance_gap": gap + beyond,
            "excess_bound": 4 * gap,
            "solved": certified,
            "solved_nuclear": "unique_flat_minimum",
        }

    return metrics


def of_robust_pca(falls=0.025, below=0.0, first=0.4, bumps=0.0):
    def metrics(cell, chance):
        rank = cell["rank"] * 60 / cell["d"]
        boundary = first - falls * rank + bumps * (rank == 8)
        return {"success": bool(chance < 1 / (1 + np.exp((cell["corruption"] - boundary) / 0.004)) and chance >= below)}

    return metrics


def of_depth(bias=1.0, deep=1.0, sparse=False, lost=0.0, gap=1e-9, failing=0.0, width=0.02, few=0.0):
    """Return what is found if theory is right, changed in one way: ``deep`` is how much later depth recovers."""

    def metrics(cell, chance):
        boundary = bias * depth.predicted(cell)
        if cell["panel"] == "vectors":
            if cell["depth"] > 2:
                success = cell["m"] >= cell["n"] or (sparse and cell["m"] > 40) or chance < few
            else:
                success = set_in(boundary, cell["m"], chance)
            return {"success": success and chance >= failing, "gap": gap}
        success = set_in(boundary * (deep if cell["depth"] > 2 else 1.0), cell["m"], chance, width) and chance >= lost
        return {"success": success, "gap": gap if cell["depth"] == 2 else None}

    return metrics

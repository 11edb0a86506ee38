"""Evidence with known metrics, displays of it, and what was drawn; for tests."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flatmin.lab import Evidence, Recipe, Result, Transition
from flatmin.lab.displays import BoundaryDisplay, CurvesDisplay, PhaseMapDisplay, ScatterDisplay
from flatmin.lab.displays.style import printed
from tests.lab.experiments import ABOUT, instant

METHODS = ("flat", "nuclear")
DIMENSIONS = (10, 20, 40)
MULTIPLES = (1.0, 1.5, 2.0, 2.5, 3.0)


def evidence_of(metrics, repetitions=8, **grid):
    """Return evidence of a recipe whose trials have the metrics that ``metrics(parameters, repetition)`` returns."""
    grid = grid or {"method": METHODS, "d": DIMENSIONS}
    about = Transition("m", "success", lambda parameters: 2.0 * parameters["d"]) if "m" in grid else None
    recipe = Recipe("made", ABOUT, instant, [grid], repetitions, paired=("method",), transition=about)
    results = []
    for trial in recipe.trials():
        found = metrics(trial.parameters, trial.repetition)
        if found is not None:
            results.append(Result(trial, found, seconds=0.1))
    return Evidence(recipe, results)


def noisy(parameters, repetition):
    """Return metrics that grow with d; every value is another one."""
    rng = np.random.default_rng([parameters["d"], repetition, len(parameters["method"])])
    error = parameters["d"] ** 2 / 10 * float(np.exp(rng.normal() / 2))
    return {"error": error, "gap": error / 3, "success": bool(rng.random() < 0.7), "word": "so"}


def mapped(untried=(), **changes):
    """Return evidence of a map whose success sets in at m = 4 d, within one cell."""

    def metrics(parameters, repetition):
        x = parameters["m"] / (2 * parameters["d"])
        if (parameters["d"], parameters["m"]) in untried:
            return {"other": 1.0}
        return {"success": x > 2.2 or (1.8 < x < 2.2 and repetition % 2 == 0)}

    grid = {
        "method": METHODS,
        "d": DIMENSIONS,
        "m": tuple(sorted({int(2 * d * x) for d in (10, 20) for x in MULTIPLES})),
    }
    return evidence_of(metrics, **grid | changes)


def kinds(evidence, charted):
    """Return one display of each kind; ``evidence`` is a map, ``charted`` has metrics."""
    flat = evidence.select(method="flat")
    return [
        PhaseMapDisplay.from_evidence(flat, "map", "Share of successes", predicted=lambda p: 4.0 * p["d"]),
        BoundaryDisplay.from_evidence(evidence, "boundary", "Boundary", by="method", predicted=lambda p: 4.0 * p["d"]),
        CurvesDisplay.from_evidence(charted, "curves", "Error", x="d", y="error", by="method", y_log=True),
        ScatterDisplay.from_evidence(charted, "scatter", "Both", x="gap", y="error", by="method", diagonal=True),
    ]


def painted(display):
    """Return axes with a display in the style of print."""
    with printed():
        figure = Figure(figsize=tuple(side / 72 for side in display.size), layout="constrained")
        axes = figure.add_subplot()
        display.paint(axes)
        FigureCanvasAgg(figure).draw()
    return axes


def bars(axes):
    """Return the ends of all intervals that were drawn: (x, low, high) of each line."""
    found = []
    for lines in axes.collections:
        segments = np.array(lines.get_segments())
        found.append(np.column_stack([segments[:, 0, 0], segments[:, :, 1]]))
    return found
